"""Planning: on which lane each route of a batch runs, decided when its items are counted. Pure: everything that is
known comes in as values, and what was decided, with the reasons, comes out as one.

Of a route's candidates the cheapest one that will do is selected. Realtime always will. A native lane will, unless

    immediate        the batch is to be run call by call
    unsupported      the provider answered that it has no batch API
    endpoint         its batch API does not serve the batch's endpoint
    too_few          the route has fewer items than a job takes
    too_many_jobs    the route would make more jobs than are worth having
    concurrency      the batch has a ceiling on calls in flight, which several jobs could not keep when they come back
    too_late         what such jobs usually take does not leave realtime enough time before the deadline

A job's `escalate_at` is when it is given up: early enough for its vendor to stop it, and for all its items to be run in
realtime, at the rate that the lane is known to have, by the deadline.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from batchyard.core.jobs import STOP_PATIENCE_SECONDS, pack
from batchyard.core.lanes import Lane, Mode
from batchyard.core.native_history import NativeHistory
from batchyard.core.native_limits import NativeLimits
from batchyard.core.sharding import LaneShards, Shard

_JOBS_AT_MOST = 200
"""Of a route. The batch's row lists them."""
_UNKNOWN_CALLS_PER_SECOND = 10.0
_UNKNOWN_SHARE_OF_WINDOW = 0.25
"""Vendors promise a whole window and usually take a small part of it."""
_SPARE_SECONDS = 600
_CAUTION = 2.0
"""Realtime gets twice the time that it should need."""


class Verdict(enum.StrEnum):
    SELECTED = "selected"
    DEARER = "dearer"
    IMMEDIATE = "immediate"
    UNSUPPORTED = "unsupported"
    ENDPOINT = "endpoint"
    TOO_FEW = "too_few"
    TOO_MANY_JOBS = "too_many_jobs"
    CONCURRENCY = "concurrency"
    TOO_LATE = "too_late"


@dataclass(frozen=True, slots=True)
class Learned:
    """What is known of a lane from earlier batches. `calls_per_second`: of its realtime; None: no limit is known."""

    native: NativeHistory = field(default_factory=NativeHistory)
    calls_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A lane that a route may take. `price_percent`: of what the same items cost at their own provider in realtime.
    `limits`: of its provider jobs, if it is native."""

    lane: Lane
    price_percent: int = 100
    limits: NativeLimits | None = None
    learned: Learned = field(default_factory=Learned)


@dataclass(frozen=True, slots=True)
class Route:
    """Items that take the same way: their shards, and the lanes they may take, of which at least one is in
    realtime."""

    shards: tuple[Shard, ...]
    candidates: tuple[Candidate, ...]

    @property
    def items(self) -> int:
        return sum(shard.items for shard in self.shards)


@dataclass(frozen=True, slots=True)
class Terms:
    """What the batch asks for. `now`, `expires_at`: unix seconds. `pace`: 1; less makes vendors count as faster, where
    clocks are sped up."""

    endpoint: str
    now: int
    expires_at: int
    is_immediate: bool = False
    has_ceiling: bool = False
    pace: float = 1.0


@dataclass(frozen=True, slots=True)
class Considered:
    """Why a candidate was selected, or not."""

    lane: Lane
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Planned:
    """`lanes`: all shards of the batch by number. `considered`: each candidate of each route."""

    lanes: tuple[LaneShards, ...]
    considered: tuple[tuple[Considered, ...], ...]


def plan_lanes(routes: Sequence[Route], terms: Terms) -> Planned:
    """The lanes of a batch. `routes` in the order of their shards, which are numbered without gaps."""
    entries: list[LaneShards] = []
    considered: list[tuple[Considered, ...]] = []
    for route in routes:
        verdicts = [_verdict(candidate, route, len(routes), terms) for candidate in route.candidates]
        willing = [each for each, verdict in zip(route.candidates, verdicts, strict=True) if verdict is None]
        chosen = min(willing, key=lambda candidate: candidate.price_percent)
        entries += _entries(route, chosen, terms)
        considered.append(
            tuple(
                Considered(each.lane, Verdict.SELECTED if each is chosen else verdict or Verdict.DEARER)
                for each, verdict in zip(route.candidates, verdicts, strict=True)
            )
        )
    return Planned(tuple(entries), tuple(considered))


def escalate_at(items: int, calls_per_second: float | None, terms: Terms) -> int:
    """When a job of `items` has to be given up, at a lane whose realtime is so fast."""
    realtime_seconds = _CAUTION * items / (calls_per_second or _UNKNOWN_CALLS_PER_SECOND / terms.pace)
    return terms.expires_at - round(realtime_seconds + (STOP_PATIENCE_SECONDS + _SPARE_SECONDS) * terms.pace)


def _verdict(candidate: Candidate, route: Route, routes: int, terms: Terms) -> Verdict | None:
    """Why the candidate will not do; None if it will."""
    limits = candidate.limits
    if candidate.lane.mode is not Mode.NATIVE or limits is None:
        return None
    if terms.is_immediate:
        return Verdict.IMMEDIATE
    if candidate.learned.native.is_unsupported(terms.now):
        return Verdict.UNSUPPORTED
    if terms.endpoint not in limits.endpoints:
        return Verdict.ENDPOINT
    if route.items < limits.min_items:
        return Verdict.TOO_FEW
    jobs = len(pack(route.shards, limits))
    if jobs > _JOBS_AT_MOST:
        return Verdict.TOO_MANY_JOBS
    if terms.has_ceiling and (routes > 1 or jobs > 1):
        return Verdict.CONCURRENCY
    usual = candidate.learned.native.slow_seconds
    needed = usual if usual is not None else _UNKNOWN_SHARE_OF_WINDOW * limits.window_hours * 3600 * terms.pace
    if escalate_at(route.items, candidate.learned.calls_per_second, terms) < terms.now + needed:
        return Verdict.TOO_LATE
    return None


def _entries(route: Route, chosen: Candidate, terms: Terms) -> list[LaneShards]:
    others = tuple(each.lane for each in route.candidates if each.lane.mode is not Mode.NATIVE and each is not chosen)
    first = route.shards[0].number
    if chosen.lane.mode is not Mode.NATIVE or chosen.limits is None:
        return [LaneShards(chosen.lane, first, len(route.shards), route.items, others=others)]
    at = escalate_at(route.items, chosen.learned.calls_per_second, terms)
    entries = []
    for numbers in pack(route.shards, chosen.limits):
        items = sum(shard.items for shard in route.shards[numbers.start - first : numbers.stop - first])
        job = LaneShards(chosen.lane, numbers.start, len(numbers), items, at, others)
        if items < chosen.limits.min_items:  # what is left over for the last job
            job = replace(job, lane=others[0], escalate_at=0, others=others[1:])
        entries.append(job)
    return entries
