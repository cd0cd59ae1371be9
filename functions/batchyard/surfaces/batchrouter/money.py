"""Amounts of money as BatchRouter shows them: a currency and a decimal text. Nothing here is ever a float."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Literal

from typing_extensions import TypedDict

from batchyard.core.usage import decimal_usd

_AMOUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,12})?")
_PICOUSD = Decimal(10**12)


class Money(TypedDict):
    """`amount`: dollars, with six decimals."""

    currency: Literal["usd"]
    amount: str


def money(picousd: int) -> Money:
    sign = "-" if picousd < 0 else ""
    return {"currency": "usd", "amount": sign + decimal_usd(abs(picousd))}


def picousd_of(amount: str) -> int | None:
    """A decimal text as pico-dollars, exactly; None if it is none."""
    return int(Decimal(amount) * _PICOUSD) if _AMOUNT.fullmatch(amount) else None
