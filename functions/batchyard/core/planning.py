"""Planning: on which lane each route of a batch runs, decided when its items are counted. Pure: everything that is
known comes in as values, and what was decided, with the reasons, comes out as one.

Of a route's candidates the cheapest one that will do is selected; of equal ones the first. Realtime always will. Flex
will, unless the verdict is `immediate`, `endpoint` or `too_late`. A native lane will, unless

    immediate        the batch is to be run call by call
    unsupported      the provider answered that it has no batch API
    endpoint         its batch API does not serve the batch's endpoint
    too_few          the route has fewer items than a job takes
    too_many_jobs    the route would make more jobs than are worth having
    concurrency      the batch has a ceiling on calls in flight, which several jobs could not keep when they come back
    too_late         what half of such jobs take does not leave realtime enough time before the deadline

A job's `escalate_at` is when it is given up, and that of a lane in flex when what is left of it runs in realtime: early
enough for the vendor to stop the job, and for all items to be run in realtime, at the rate that the lane is known to
have, by the deadline.
"""

from __future__ import annotations

import enum
import math
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
_UNKNOWN_FLEX_CALLS_PER_SECOND = 2.0
"""A guess on the safe side: vendors promise nothing about flex but that it is slower, and now and then has no room."""
_FLEX_ENDPOINTS = ("/v1/chat/completions", "/v1/responses", "/v1/messages")
"""OpenAI: "Chat Completions or Responses requests". Messages are translated to chat completions."""
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
    """What is known of a lane from earlier batches. `calls_per_second`: of its realtime; `flex_calls_per_second`: of
    its flex; None: no limit is known."""

    native: NativeHistory = field(default_factory=NativeHistory)
    calls_per_second: float | None = None
    flex_calls_per_second: float | None = None


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
    """Why a candidate was selected, or not, and what it would be like. `finish_at`: the unix second by which all items
    are expected to be done; `jobs`: how many provider jobs they make; `escalate_at`: when those are given up, 0 if
    there are none."""

    lane: Lane
    verdict: Verdict
    price_percent: int = 100
    finish_at: int = 0
    jobs: int = 0
    escalate_at: int = 0


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
                _considered(each, Verdict.SELECTED if each is chosen else verdict or Verdict.DEARER, route, terms)
                for each, verdict in zip(route.candidates, verdicts, strict=True)
            )
        )
    return Planned(tuple(entries), tuple(considered))


def escalate_at(items: int, calls_per_second: float | None, terms: Terms) -> int:
    """When a job of `items` has to be given up, at a lane whose realtime is so fast."""
    realtime_seconds = _CAUTION * _realtime_seconds(items, calls_per_second, terms)
    return terms.expires_at - round(realtime_seconds + (STOP_PATIENCE_SECONDS + _SPARE_SECONDS) * terms.pace)


def _realtime_seconds(items: int, calls_per_second: float | None, terms: Terms) -> float:
    return items / (calls_per_second or _UNKNOWN_CALLS_PER_SECOND / terms.pace)


def _flex_seconds(items: int, calls_per_second: float | None, terms: Terms) -> float:
    return items / (calls_per_second or _UNKNOWN_FLEX_CALLS_PER_SECOND / terms.pace)


def _considered(candidate: Candidate, verdict: Verdict, route: Route, terms: Terms) -> Considered:
    rate, limits = candidate.learned.calls_per_second, candidate.limits
    if candidate.lane.mode is Mode.FLEX:
        seconds = _flex_seconds(route.items, candidate.learned.flex_calls_per_second, terms)
        at = escalate_at(route.items, rate, terms)
        return Considered(candidate.lane, verdict, candidate.price_percent, terms.now + math.ceil(seconds), 0, at)
    if candidate.lane.mode is not Mode.NATIVE or limits is None:
        finish_at = terms.now + math.ceil(_realtime_seconds(route.items, rate, terms))
        return Considered(candidate.lane, verdict, candidate.price_percent, finish_at)
    jobs = len(pack(route.shards, limits))
    rounds = math.ceil(jobs / (limits.max_jobs or jobs))
    usual = candidate.learned.native.usual_seconds
    seconds = rounds * (usual if usual is not None else _unknown_job_seconds(limits, terms))
    at = escalate_at(route.items, rate, terms)
    return Considered(candidate.lane, verdict, candidate.price_percent, terms.now + math.ceil(seconds), jobs, at)


def _unknown_job_seconds(limits: NativeLimits, terms: Terms) -> float:
    """How long a job counts as taking while nobody knows what such jobs take."""
    return _UNKNOWN_SHARE_OF_WINDOW * limits.window_hours * 3600 * terms.pace


def _verdict(candidate: Candidate, route: Route, routes: int, terms: Terms) -> Verdict | None:
    """Why the candidate will not do; None if it will."""
    limits = candidate.limits
    if candidate.lane.mode is Mode.FLEX:
        return _flex_verdict(candidate, route, terms)
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
    needed = _job_seconds(candidate.learned.native, limits, terms)
    if escalate_at(route.items, candidate.learned.calls_per_second, terms) < terms.now + needed:
        return Verdict.TOO_LATE
    return None


def _flex_verdict(candidate: Candidate, route: Route, terms: Terms) -> Verdict | None:
    if terms.is_immediate:
        return Verdict.IMMEDIATE
    if terms.endpoint not in _FLEX_ENDPOINTS:
        return Verdict.ENDPOINT
    needed = _CAUTION * _flex_seconds(route.items, candidate.learned.flex_calls_per_second, terms)
    if escalate_at(route.items, candidate.learned.calls_per_second, terms) < terms.now + needed:
        return Verdict.TOO_LATE
    return None


def _job_seconds(native: NativeHistory, limits: NativeLimits, terms: Terms) -> float:
    """How long a job will probably take. The half that takes longer costs nothing: it is given up in time. What was
    slow long ago counts as unknown: a lane that is not used would never be found to be fast again."""
    unknown = _unknown_job_seconds(limits, terms)
    if native.usual_seconds is None:
        return unknown
    return native.usual_seconds if native.is_recent(terms.now) else min(native.usual_seconds, unknown)


def _entries(route: Route, chosen: Candidate, terms: Terms) -> list[LaneShards]:
    others = tuple(each.lane for each in route.candidates if each.lane.mode is Mode.REALTIME and each is not chosen)
    at = escalate_at(route.items, chosen.learned.calls_per_second, terms)
    first = route.shards[0].number
    if chosen.lane.mode is not Mode.NATIVE or chosen.limits is None:
        until = at if chosen.lane.mode is Mode.FLEX else 0
        return [LaneShards(chosen.lane, first, len(route.shards), route.items, until, others)]
    entries = []
    for numbers in pack(route.shards, chosen.limits):
        items = sum(shard.items for shard in route.shards[numbers.start - first : numbers.stop - first])
        job = LaneShards(chosen.lane, numbers.start, len(numbers), items, at, others)
        if items < chosen.limits.min_items:  # what is left over for the last job
            job = replace(job, lane=others[0], escalate_at=0, others=others[1:])
        entries.append(job)
    return entries
