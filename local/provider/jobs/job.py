"""A vendor's job and its life, which its own clock drives. Vendors give the states other names.

    validating ──▶ in_progress ──▶ finalizing ──▶ completed
        │              │ └──────────(window over)──▶ expired
        │              └─(cancel)─▶ cancelling ──▶ cancelled
        └──▶ failed

Its items are done one after the other, in an order of their own. What is done when the job is cancelled or expires is
kept, and billed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from local.provider.answering import Caller
from local.provider.answers.content import Body
from local.provider.faults import JobFault
from local.provider.wire import Refused

_VALIDATED_AT, _FINALIZING_AT = 0.1, 0.95
"""Shares of a job's duration."""


class JobState(StrEnum):
    VALIDATING = "validating"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


ENDED = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.EXPIRED, JobState.CANCELLED})


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an item came to: the answer's status and body. `tokens` are prompt, cached, written and output."""

    status: int
    content: bytes
    request: bytes = b""
    tokens: tuple[int, int, int, int] = (0, 0, 0, 0)
    is_missing: bool = False
    """Whether the vendor has lost it: it is in none of the results."""


@dataclass(slots=True)
class JobItem:
    custom_id: str
    endpoint: str
    body: Body
    raw: bytes
    """The body as it came, or as it would come in a call of its own."""
    share: float = 0.0
    """When it is done, as a share of the job's working time; infinite: never."""
    fails: bool = False
    refusal: Refused | None = None
    """Why it will fail, if the call that brought it says so."""
    outcome: Outcome | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    """What the client wants to see again beside its result (Gemini)."""


@dataclass(frozen=True, slots=True)
class LineError:
    code: str
    message: str
    line: int | None = None
    param: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What a client asks for."""

    caller: Caller
    vendor: str
    items: list[JobItem]
    window_seconds: float
    window: str = ""
    """As the client wrote it."""
    endpoint: str = ""
    model: str = ""
    name: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    input_file: str = ""
    is_inline: bool = False
    """Whether its items came in the call, not in a file."""
    errors: list[LineError] = field(default_factory=list)
    """Why it will fail as a whole."""
    tokens: int = 0
    """Of its prompts, for the limit of enqueued tokens."""


@dataclass(slots=True)
class Job:
    id: str
    order: Order
    created_at: float
    seconds: float
    """What it takes if nothing goes wrong."""
    fault: JobFault | None = None
    cancel_at: float = math.inf
    cancel_seconds: float = 0.0
    errors: list[LineError] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    """Ids of its files of results, by what they hold."""
    is_deleted: bool = False
    is_settled: bool = False
    """Whether it has ended, and nothing of it is still to be run."""

    @property
    def validated_at(self) -> float:
        return self.created_at + self.seconds * _VALIDATED_AT

    @property
    def finalizing_at(self) -> float:
        return self._when_done(_FINALIZING_AT)

    @property
    def completed_at(self) -> float:
        return self._when_done(1.0)

    @property
    def expires_at(self) -> float:
        return self.created_at + self.order.window_seconds

    @property
    def ended_at(self) -> float:
        """Infinite for a job that stalls until somebody cancels it."""
        if self.errors:
            return self.validated_at
        natural = self.completed_at
        if self.cancel_at < min(natural, self._expired_at):
            return self.cancel_at + self.cancel_seconds
        return min(natural, self._expired_at)

    def state(self, now: float) -> JobState:
        if self.errors:
            return JobState.VALIDATING if now < self.validated_at else JobState.FAILED
        if self.cancel_at <= now and self.cancel_at < min(self.completed_at, self._expired_at):
            return JobState.CANCELLING if now < self.ended_at else JobState.CANCELLED
        if now >= self.completed_at and self.completed_at <= self._expired_at:
            return JobState.COMPLETED
        if now >= self._expired_at:
            return JobState.EXPIRED
        if now < self.validated_at:
            return JobState.VALIDATING
        return JobState.IN_PROGRESS if now < self.finalizing_at else JobState.FINALIZING

    def was_validated(self, now: float) -> bool:
        """False for ever if it was cancelled before."""
        return min(now, self.cancel_at, self._expired_at) >= self.validated_at

    def is_known(self, now: float) -> bool:
        """Whether the vendor still knows it."""
        return not self.is_deleted and not (self._is("vanish") and now >= self.validated_at)

    def due(self, now: float) -> Iterator[JobItem]:
        """The items that are done by now and have no outcome yet."""
        if self.errors or self._is("vanish"):
            return
        until = min(now, self.cancel_at, self._expired_at)
        start, end = self.validated_at, self.created_at + self.seconds * _FINALIZING_AT
        for item in self.order.items:
            if item.outcome is None and item.share < math.inf and start + (end - start) * item.share <= until:
                yield item

    @property
    def _expired_at(self) -> float:
        """A job that stalls does not even expire."""
        return math.inf if self._is("stall") else self.expires_at

    def _when_done(self, share: float) -> float:
        if self._is("stall") or self._is("expire"):
            return math.inf
        return self.created_at + self.seconds * share

    def _is(self, kind: str) -> bool:
        return self.fault is not None and self.fault.kind == kind
