"""JSON that belongs to customers and providers: nothing valid is refused, and no number changes on its way.

orjson reads integers beyond 64 bits, and decimals of more than 17 digits, as the nearest double. `loads` makes such a
number an `orjson.Fragment` of its own digits, which `orjson.dumps` writes as they came. And orjson refuses texts that
are valid JSON all the same: an escaped lone surrogate ("\\ud800"), and numbers too large for a double (1e400).
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

import orjson

_MOST_PARTS = 1_000_000
_FEW_PARTS_BYTES = 4_000_000
_EXACT_DIGITS = 15
"""Every number of so many digits is the same after a double has held it (IEEE 754, binary64)."""
_EXACT_INTEGER_DIGITS = 18
"""Every integer of so many digits fits into 64 bits."""
_LONG_NUMBER = b"0" * (_EXACT_DIGITS + 2)
"""The shortest text that may hold a longer number: its digits and a decimal point."""
_DIGITS_TO_ZERO = bytes.maketrans(b"123456789.", b"0000000000")


def has_too_many_parts(raw: bytes) -> bool:
    """Whether it should not be read, because of its objects and lists: each takes some two hundred bytes, however short
    it is, and a function's memory has room for a million of them. The brackets of texts count as well; of a text below
    4 MB there are never too many."""
    return len(raw) > _FEW_PARTS_BYTES and raw.count(b"{") + raw.count(b"[") > _MOST_PARTS


def loads(raw: bytes) -> Any:
    """As `orjson.loads`, but exact. Raises orjson.JSONDecodeError."""
    document = orjson.loads(raw)
    if _LONG_NUMBER not in raw.translate(_DIGITS_TO_ZERO):
        return document
    try:
        return _loads_slowly(raw)
    except RecursionError:  # deeper than orjson.dumps takes, so that nobody can send it on anyway
        return document


def loads_all(raw: bytes) -> Any:
    """All that RFC 8259 calls JSON, up to some hundred levels, every number exact. Raises ValueError."""
    try:
        return loads(raw)
    except orjson.JSONDecodeError:
        return loads_anything(raw)


def loads_anything(raw: bytes) -> Any:
    """All that RFC 8259 calls JSON, up to some hundred levels; numbers are exact only as far as orjson's are. Use it to
    look something up in a text that is itself kept as it is. Raises ValueError."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        try:
            return _loads_slowly(raw)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def dumps_anything(document: Any) -> bytes:
    """As `orjson.dumps`, but with lone surrogates and some hundred levels. Raises TypeError if it cannot be written."""
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError:
        return _dumps_slowly(document)


def _dumps_slowly(document: Any) -> bytes:
    """Names of members are written by Python's own writer only, which knows no exact numbers."""
    try:
        return orjson.dumps(_written_by_python(document))
    except orjson.JSONEncodeError:
        return json.dumps(document, separators=(",", ":")).encode()
    except RecursionError as error:
        raise TypeError("nested too deeply") from error


def _written_by_python(value: Any) -> Any:
    """`value` with those of its strings already written that have lone surrogates."""
    if isinstance(value, dict):
        return {name: _written_by_python(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_written_by_python(member) for member in value]
    if isinstance(value, str) and not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        return orjson.Fragment(json.dumps(value))
    return value


def _loads_slowly(raw: bytes) -> Any:
    return json.loads(raw.decode(), parse_int=_integer, parse_float=_decimal, parse_constant=_no_number)


def _integer(text: str) -> Any:
    return int(text) if len(text) <= _EXACT_INTEGER_DIGITS else orjson.Fragment(text)


def _decimal(text: str) -> Any:
    value = float(text)
    is_exact = len(text) <= _EXACT_DIGITS and abs(value) != float("inf")
    return value if is_exact else orjson.Fragment(text)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")
