"""Candidates: the lanes that a route of items may take, what is known of them, and what they can make in time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from batchyard.core.lanes import Lane, Mode
from batchyard.core.native_history import NativeHistory
from batchyard.core.native_limits import NativeLimits
from batchyard.core.routing import Verdict
from batchyard.core.sharding import Shard

SPARE_SECONDS = 600
CAUTION = 2.0
"""Realtime gets twice the time that it should need."""
_UNKNOWN_CALLS_PER_SECOND = 10.0
_UNKNOWN_FLEX_CALLS_PER_SECOND = 2.0
"""A guess on the safe side: vendors promise nothing about flex but that it is slower, and now and then has no room."""
_FULL_SHARE = 0.8
"""A lane is given no more than it can make in this part of the time, so that it is not left too early for a dearer one,
nor too late."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What is known of a lane from earlier batches. `calls_per_second`: of its realtime; `flex_calls_per_second`: of
    its flex; None: no limit is known."""

    native: NativeHistory = field(default_factory=NativeHistory)
    calls_per_second: float | None = None
    flex_calls_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A lane that a route may take. `price_percent`: of what the same items cost at this provider in realtime, which is
    `unit_price` (in any unit, the same for all candidates of a route). `limits`: of its provider jobs, if it is native.
    `preference`: what the batch's rules put before the price, the lower the better. `forbidden`: why the batch
    may not run in the mode. `in_trouble`: nobody gets through now."""

    lane: Lane
    price_percent: int = 100
    limits: NativeLimits | None = None
    learned: Learned = field(default_factory=Learned)
    unit_price: int = 1
    preference: int = 0
    in_trouble: bool = False
    forbidden: Verdict | None = None

    @property
    def rank(self) -> tuple[int, int]:
        return self.preference, self.unit_price * self.price_percent


@dataclass(frozen=True, slots=True)
class Route:
    """Items that take the same way: their shards, and the lanes they may take, of which at least one is in
    realtime."""

    shards: tuple[Shard, ...]
    candidates: tuple[Candidate, ...]

    @property
    def items(self) -> int:
        return sum(shard.items for shard in self.shards)

    def endpoint(self, terms: Terms) -> str:
        return self.shards[0].endpoint or terms.endpoint

    @property
    def realtime(self) -> tuple[Candidate, ...]:
        return tuple(each for each in self.candidates if each.lane.mode is Mode.REALTIME)


@dataclass(frozen=True, slots=True)
class Terms:
    """What the batch asks for. `endpoint`: of items that say nothing else. `now`, `expires_at`: unix seconds.
    `is_immediate`: call by call. `keeps_margin`: a lane has to be expected to be done well before the deadline;
    `avoids_trouble`: it must not be in trouble now. `pace`: 1; less makes vendors count as faster, where clocks are
    sped up."""

    endpoint: str
    now: int
    expires_at: int
    is_immediate: bool = False
    has_ceiling: bool = False
    keeps_margin: bool = False
    avoids_trouble: bool = False
    pace: float = 1.0


def realtime_seconds(items: int, calls_per_second: float | None, pace: float) -> float:
    """How long so many items take at that rate, or at a guess. `pace`: as in Terms."""
    return items / (calls_per_second or _UNKNOWN_CALLS_PER_SECOND / pace)


def flex_seconds(items: int, calls_per_second: float | None, pace: float) -> float:
    """The same in flex."""
    return items / (calls_per_second or _UNKNOWN_FLEX_CALLS_PER_SECOND / pace)


def capacity(candidate: Candidate, terms: Terms) -> float:
    """How many items the lane makes before the deadline. Endless if its rate is not known, unless there is to be a
    margin."""
    rate = candidate.learned.calls_per_second
    if rate is None and not terms.keeps_margin:
        return math.inf
    seconds = max(0.0, terms.expires_at - terms.now - SPARE_SECONDS * terms.pace)
    rate = rate or _UNKNOWN_CALLS_PER_SECOND / terms.pace
    return rate * seconds * (1 / CAUTION if terms.keeps_margin else _FULL_SHARE)
