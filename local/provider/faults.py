"""What goes wrong with a request, an item of a job, or a job.

A fault is written as one word, in the configuration (with a probability) or in the request itself, in
`metadata.simulate`, as `user: "simulate:<words>"` (Anthropic: `metadata.user_id`), or anywhere in its text as
`[simulate: <words>]`, which survives translation; several are joined by `;`:

    status:500          this status, with the vendor's error body (429 also brings Retry-After)
    insufficient_quota  429 with this code and no Retry-After: the account has no money left
    resource_unavailable 429 with this code: no room for flex calls right now
    hang                no answer at all
    stall               headers, half the body, then silence
    disconnect          the connection closes before any header
    disconnect_mid_body headers, half the body, then the connection closes
    reset               the connection is reset (RST)
    malformed:not_json  200 with words; likewise malformed:truncated, :html, :empty, :huge, :wrong_type, and :error (an
                        object that has only an `error`)
    missing             an item of a job that is in none of its results; realtime knows no such fault

An item of a job has no connection that could break: there, hang and stall keep it from being done in time, and all
that a client could not read is a 500.

    job_stall:50        the job stops for ever when half (this percentage) of its items are done
    job_expire:50       it does so, and expires when its window is over
    job_fail_items:50   half of its items fail with a 500
    job_invalid         it fails as a whole when it is validated
    job_vanish          nobody knows it any more once it runs; nothing of it is billed

Calls of a batch API may also get a `late_status:502`: they have their effect, and only then this status.

In a request a fault may end in `xN`, for the first N attempts only (`status:500x2`); attempts are counted per body.
Requests can also ask for `latency:<ms>`, `output:<tokens>`, `cached:<tokens>`, `reasoning:<tokens>`,
`retry_after:<seconds>`, and for a job that takes `job_seconds:<seconds>`. One item of a job speaks for all of it.

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
_PLAIN = (
    "insufficient_quota",
    "resource_unavailable",
    "hang",
    "stall",
    "disconnect",
    "disconnect_mid_body",
    "reset",
    "missing",
)
_OF_JOBS = ("job_stall", "job_expire", "job_fail_items", "job_invalid", "job_vanish")
_WISHES = ("latency", "output", "cached", "reasoning", "retry_after", "job_seconds")
_WORD = re.compile(r"([a-z_]+?)(?::([a-z0-9_.]+?))?(?:x(\d+))?")
_USER_PREFIX = "simulate:"
_TEXT_MARK = b"[simulate:"
_LATE = "late_"
_HALF = 50.0


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind` is the word before the colon; `status` is set for kind "status", `shape` for "malformed"."""

    kind: str
    status: int = 0
    shape: str = ""


@dataclass(frozen=True, slots=True)
class JobFault:
    """`kind` is the word without `job_`; `percent`: of the job's items."""

    kind: str
    percent: float = _HALF


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a request asks of the simulator."""

    fault: Fault | None = None
    job_fault: JobFault | None = None
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


def parse_job_fault(word: str) -> JobFault:
    """`job_stall:30` -> JobFault. Raises ValueError for a word that is no fault of a job."""
    kind, _, argument = word.partition(":")
    if kind in _OF_JOBS and (not argument or argument.isdecimal()):
        return JobFault(kind.removeprefix("job_"), float(argument) if argument else _HALF)
    raise ValueError(f"no such fault of a job: {word!r}")


def parse_call_fault(word: str) -> tuple[Fault, int | None]:
    """`disconnectx1` -> the fault, and for how many calls. Raises ValueError for a word that is no fault of a call."""
    match = _WORD.fullmatch(word)
    if match is None:
        raise ValueError(f"no such fault: {word!r}")
    kind, argument, times = match.groups()
    fault = parse_fault(f"{kind.removeprefix(_LATE)}:{argument}" if argument else kind)
    if kind.startswith(_LATE):
        fault = Fault(kind, fault.status)
    return fault, None if times is None else int(times)


def wishes_of(body: dict[str, Any], raw: bytes, attempt: int) -> Wishes:
    """What this attempt (from 1) of the request asks for. `raw` is the body as it came. Raises ValueError for a word
    that it does not know."""
    text = _wished(body, raw)
    if text is None:
        return NO_WISHES
    fault = job_fault = None
    numbers = {}
    for word in text.replace(" ", "").split(";"):
        match = _WORD.fullmatch(word)
        if match is None:
            raise ValueError(f"cannot simulate {word!r}")
        kind, argument, times = match.groups()
        if kind in _WISHES:
            numbers[kind] = float(argument)
        elif times is None or attempt <= int(times):
            name = kind if argument is None else f"{kind}:{argument}"
            if kind in _OF_JOBS:
                job_fault = job_fault or parse_job_fault(name)
            else:
                fault = fault or parse_fault(name)
    return Wishes(fault, job_fault, numbers)


def _wished(body: dict[str, Any], raw: bytes) -> str | None:
    metadata = body.get("metadata")
    user = body.get("user")
    if isinstance(metadata, dict):
        text = metadata.get("simulate")
        if isinstance(text, str):
            return text
        user = user or metadata.get("user_id")
    if isinstance(user, str) and user.startswith(_USER_PREFIX):
        return user.removeprefix(_USER_PREFIX)
    start = raw.find(_TEXT_MARK)
    if start < 0:
        return None
    start += len(_TEXT_MARK)
    return raw[start : max(start, raw.find(b"]", start))].decode("utf-8", "replace")


class Dice:
    """Draws for one attempt of one request."""

    def __init__(self, seed: int, request: bytes, attempt: int) -> None:
        key = struct.pack(">qI", seed, attempt)
        digest = hashlib.blake2b(request, digest_size=24, key=key).digest()
        self._fault, self._first, self._second = (n / 2**64 for n in struct.unpack(">QQQ", digest))

    def fault(self, faults: dict[str, float]) -> Fault | None:
        """One of `faults`, each with its probability, or none."""
        word = self.draw(faults)
        return None if word is None else parse_fault(word)

    def draw(self, words: dict[str, float]) -> str | None:
        """One of `words`, each with its probability, or none."""
        reach = 0.0
        for word, probability in words.items():
            reach += probability
            if self._fault < reach:
                return word
        return None

    def latency_ms(self, median_ms: float, sigma: float) -> float:
        """Lognormal around its median (Box and Muller's transform of two uniform draws)."""
        normal = math.sqrt(-2 * math.log(1 - self._first)) * math.cos(2 * math.pi * self._second)
        return median_ms * math.exp(sigma * normal)
