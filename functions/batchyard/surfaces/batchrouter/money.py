"""Amounts of money as BatchRouter shows them: a currency and a decimal text. Nothing here is ever a float."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from batchyard.core.ledger import write_dollars


class Money(TypedDict):
    """`amount`: dollars, with six decimals."""

    currency: Literal["usd"]
    amount: str


def money(picousd: int) -> Money:
    return {"currency": "usd", "amount": write_dollars(picousd)}
