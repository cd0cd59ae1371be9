"""What goes wrong with a request.

A fault is written as one word, in the configuration (with a probability) or in the request itself, in
`metadata.simulate` or as `user: "simulate:<words>"`, several joined by `;`:

    status:500          this status, with OpenAI's error body (429 also brings Retry-After)
    insufficient_quota  429 with this code and no Retry-After: the account has no money left
    hang                no answer at all
    stall               headers, half the body, then silence
    disconnect          the connection closes before any header
    disconnect_mid_body headers, half the body, then the connection closes
    reset               the connection is reset (RST)
    malformed:not_json  200 with words; likewise malformed:truncated, :html, :empty, :huge, :wrong_type, and :error (an
                        object that has only an `error`)

In a request a fault may end in `xN`, for the first N attempts only (`status:500x2`); attempts are counted per body.
Requests can also ask for `latency:<ms>`, `output:<tokens>`, `cached:<tokens>`, `reasoning:<tokens>` and
`retry_after:<seconds>`.

Draws depend on the seed, the body and the attempt only, never on order or time.
"""

from __future__ import annotations

import hashlib
import math
import re
import struct
from dataclasses import dataclass, field
from typing import Any

MALFORMED = ("not_json", "truncated", "html", "empty", "huge", "wrong_type", "error")
_PLAIN = ("insufficient_quota", "hang", "stall", "disconnect", "disconnect_mid_body", "reset")
_WISHES = ("latency", "output", "cached", "reasoning", "retry_after")
_WORD = re.compile(r"([a-z_]+?)(?::([a-z0-9_.]+?))?(?:x(\d+))?")
_USER_PREFIX = "simulate:"


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind` is the word before the colon; `status` is set for kind "status", `shape` for "malformed"."""

    kind: str
    status: int = 0
    shape: str = ""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a request asks of the simulator."""

    fault: Fault | None = None
    numbers: dict[str, float] = field(default_factory=dict)


NO_WISHES = Wishes()


def parse_fault(word: str) -> Fault:
    """`status:500` -> Fault. Raises ValueError for a word that is no fault."""
    kind, _, argument = word.partition(":")
    if kind == "status" and argument.isdecimal() and 400 <= int(argument) <= 599:
        return Fault("status", status=int(argument))
    if kind == "malformed" and (argument or "not_json") in MALFORMED:
        return Fault("malformed", shape=argument or "not_json")
    if kind in _PLAIN and not argument:
        return Fault(kind)
    raise ValueError(f"no such fault: {word!r}")


def wishes_of(body: dict[str, Any], attempt: int) -> Wishes:
    """What this attempt (from 1) of the request asks for. Raises ValueError for a word that it does not know."""
    metadata = body.get("metadata")
    text = metadata.get("simulate") if isinstance(metadata, dict) else None
    user = body.get("user")
    if text is None and isinstance(user, str) and user.startswith(_USER_PREFIX):
        text = user.removeprefix(_USER_PREFIX)
    if not isinstance(text, str):
        return NO_WISHES
    fault = None
    numbers = {}
    for word in text.replace(" ", "").split(";"):
        match = _WORD.fullmatch(word)
        if match is None:
            raise ValueError(f"cannot simulate {word!r}")
        kind, argument, times = match.groups()
        if kind in _WISHES:
            numbers[kind] = float(argument)
        elif times is None or attempt <= int(times):
            fault = fault or parse_fault(kind if argument is None else f"{kind}:{argument}")
    return Wishes(fault, numbers)


class Dice:
    """Draws for one attempt of one request."""

    def __init__(self, seed: int, request: bytes, attempt: int) -> None:
        key = struct.pack(">qI", seed, attempt)
        digest = hashlib.blake2b(request, digest_size=24, key=key).digest()
        self._fault, self._first, self._second = (n / 2**64 for n in struct.unpack(">QQQ", digest))

    def fault(self, faults: dict[str, float]) -> Fault | None:
        """One of `faults`, each with its probability, or none."""
        reach = 0.0
        for word, probability in faults.items():
            reach += probability
            if self._fault < reach:
                return parse_fault(word)
        return None

    def latency_ms(self, median_ms: float, sigma: float) -> float:
        """Lognormal around its median (Box and Muller's transform of two uniform draws)."""
        normal = math.sqrt(-2 * math.log(1 - self._first)) * math.cos(2 * math.pi * self._second)
        return median_ms * math.exp(sigma * normal)
