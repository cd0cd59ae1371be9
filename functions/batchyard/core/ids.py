"""Public ids: a prefix, then 26 characters that sort by creation time and cannot be guessed.

The 26 characters are a ULID (https://github.com/ulid/spec) in lower case: 48 bits of milliseconds since 1970, then 80
random bits, in Crockford's base 32. `derive_id` keeps the time of the id it derives from and replaces the random bits
by a hash, so that a step that runs twice makes the same id twice.
"""

from __future__ import annotations

import hashlib

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
"""Every result has an id of its own: two characters at a time take half as long."""
_BODY_LENGTH = 26
_TIME_LENGTH = 10
RANDOM_BYTES = 10


def new_id(prefix: str, now_ms: int, random: bytes) -> str:
    """`prefix` + ULID. `random` is 10 bytes from the caller's entropy source."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"an id takes {RANDOM_BYTES} random bytes, got {len(random)}")
    return prefix + _encode(now_ms << 80 | int.from_bytes(random, "big"), _BODY_LENGTH)


def derive_id(prefix: str, source_id: str, purpose: str) -> str:
    """The id that `purpose` (a word such as `output`) always has for `source_id`."""
    digest = hashlib.blake2b(f"{source_id}\0{purpose}".encode(), digest_size=RANDOM_BYTES).digest()
    tail = _encode(int.from_bytes(digest, "big"), _BODY_LENGTH - _TIME_LENGTH)
    return prefix + source_id[-_BODY_LENGTH:][:_TIME_LENGTH] + tail


def made_at(id: str) -> int | None:
    """The unix second at which an id was made, or the one that it derives from; None if it is no id of ours."""
    digits = [_ALPHABET.find(letter) for letter in id[-_BODY_LENGTH:][:_TIME_LENGTH]]
    if len(id) < _BODY_LENGTH or min(digits) < 0:
        return None
    return sum(digit << 5 * place for place, digit in enumerate(reversed(digits))) // 1000


def respelled(id: str, prefix: str) -> str:
    """The same id behind another prefix: BatchRouter's `bat_…` is our `batch_…`."""
    return prefix + id[-_BODY_LENGTH:]


def _encode(number: int, length: int) -> str:
    """The last `length` characters of `number`; an even length."""
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(5 * (length - 2), -1, -10)])
