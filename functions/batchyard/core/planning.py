"""Planning: on which lane each route of a batch runs, decided when its items are counted. Pure: everything that is
known comes in as values, and what was decided, with the reasons, comes out as one.

Of a route's candidates the cheapest one that will do is selected, of those that its rules prefer; of equal ones the
first. Realtime always will, but that a batch whose rules are `sla_aware` takes no lane that is `too_late` or in
`trouble` while there is another one. Flex will, unless the verdict is `policy`, `immediate`, `endpoint` or
`too_late`. A native lane will, unless

    policy           the batch, or for lack of its word the policy of its account or deployment, leaves the mode out
    privacy          the vendor keeps such jobs for longer than the batch's privacy tier allows
    immediate        the batch is to be run call by call
    unsupported      the provider answered that it has no batch API, or none for the model or the plan
    endpoint         its batch API does not serve the batch's endpoint
    too_few          the route has fewer items than a job takes
    too_many_jobs    the route would make more jobs than are worth having
    concurrency      the batch has a ceiling on calls in flight, which several jobs could not keep when they come back
    too_late         not even one in ten of such jobs leaves realtime enough time before the deadline, or, if the batch
                     is to have a margin, one in two

A job's `escalate_at` is when it is given up, and that of a lane in flex when what is left of it runs in realtime: early
enough for the vendor to stop the job, and for all items to be run in realtime, at the rate that the lane is known to
have, by the deadline.

A realtime lane whose known rate cannot make the deadline gets what it can make, and the next best ones the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from batchyard.core.candidates import (
    CAUTION,
    SPARE_SECONDS,
    Candidate,
    Route,
    Terms,
    capacity,
    flex_seconds,
    realtime_seconds,
)
from batchyard.core.jobs import STOP_PATIENCE_SECONDS, pack
from batchyard.core.lanes import Lane, Mode
from batchyard.core.native_history import NativeHistory
from batchyard.core.native_limits import NativeLimits
from batchyard.core.routing import Verdict
from batchyard.core.sharding import LaneShards, Shard
from batchyard.core.spreading import Part, last_resort, spread

_JOBS_AT_MOST = 200
"""Of a route. The batch's row lists them."""
_FLEX_ENDPOINTS = ("/v1/chat/completions", "/v1/responses", "/v1/messages")
"""OpenAI: "Chat Completions or Responses requests". Messages are translated to chat completions."""
_UNKNOWN_SHARE_OF_WINDOW = 0.25
"""Vendors promise a whole window and usually take a small part of it."""
_WORTH_TRYING = 0.1
"""If so large a share of a lane's jobs was fast enough, one is tried: a job that is given up costs nothing but time."""
_PROBABLE = 0.5
_OTHERS_AT_MOST = 8
"""The batch's row lists them with each entry of its plan."""
_FLEX_AT_MOST = 2
"""Beside those."""


@dataclass(frozen=True, slots=True)
class Considered:
    """Why a candidate was selected, or not, and what it would be like. `items`: how many of the route's it gets; if it
    was not selected, the other figures are those of all of them. `finish_at`: the unix second by which they are
    expected to be done; `jobs`: how many provider jobs they make; `escalate_at`: when those are given up, 0 if there
    are none."""

    lane: Lane
    verdict: Verdict
    price_percent: int = 100
    finish_at: int = 0
    jobs: int = 0
    escalate_at: int = 0
    items: int = 0


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
        parts = spread(route, willing or last_resort(route, terms), terms)
        for part in parts:
            entries += _entries(route, part, terms)
        considered.append(
            tuple(
                _weighed(each, verdict, route, parts, terms)
                for each, verdict in zip(route.candidates, verdicts, strict=True)
            )
        )
    return Planned(tuple(entries), tuple(considered))


def escalate_at(items: int, calls_per_second: float | None, terms: Terms) -> int:
    """When a job of `items` has to be given up, at a lane whose realtime is so fast."""
    seconds = CAUTION * realtime_seconds(items, calls_per_second, terms.pace)
    return terms.expires_at - round(seconds + (STOP_PATIENCE_SECONDS + SPARE_SECONDS) * terms.pace)


def _weighed(
    candidate: Candidate, verdict: Verdict | None, route: Route, parts: Sequence[Part], terms: Terms
) -> Considered:
    part = next((each for each in parts if each.candidate is candidate), None)
    if part is not None:
        return _considered(candidate, Verdict.SELECTED, part.shards, terms, part.items)
    if verdict is None:
        preferred = max(each.candidate.preference for each in parts)
        verdict = Verdict.LESS_PREFERRED if candidate.preference > preferred else Verdict.DEARER
    return _considered(candidate, verdict, route.shards, terms, 0)


def _considered(candidate: Candidate, verdict: Verdict, shards: Sequence[Shard], terms: Terms, gets: int) -> Considered:
    """`gets`: how many items it is given of those that the figures are about."""
    rate, limits, items = candidate.learned.calls_per_second, candidate.limits, sum(shard.items for shard in shards)
    jobs, at = 0, 0
    if candidate.lane.mode is Mode.FLEX:
        seconds = flex_seconds(items, candidate.learned.flex_calls_per_second, terms.pace)
        at = escalate_at(items, rate, terms)
    elif candidate.lane.mode is not Mode.NATIVE or limits is None:
        seconds = realtime_seconds(items, rate, terms.pace)
    else:
        jobs = len(pack(shards, limits))
        rounds = math.ceil(jobs / (limits.max_jobs or jobs))
        usual = candidate.learned.native.usual_seconds
        seconds = rounds * (usual if usual is not None else _unknown_job_seconds(limits, terms))
        at = escalate_at(items, rate, terms)
        if gets and terms.now + seconds > at:  # it is probably given up
            seconds = at - terms.now + STOP_PATIENCE_SECONDS * terms.pace + realtime_seconds(items, rate, terms.pace)
    finish_at = terms.now + max(0, math.ceil(seconds))
    return Considered(candidate.lane, verdict, candidate.price_percent, finish_at, jobs, at, gets)


def _unknown_job_seconds(limits: NativeLimits, terms: Terms) -> float:
    """How long a job counts as taking while nobody knows what such jobs take."""
    return _UNKNOWN_SHARE_OF_WINDOW * limits.window_hours * 3600 * terms.pace


def _verdict(candidate: Candidate, route: Route, routes: int, terms: Terms) -> Verdict | None:
    """Why the candidate will not do; None if it will."""
    limits = candidate.limits
    if candidate.forbidden is not None:
        return candidate.forbidden
    if terms.avoids_trouble and candidate.in_trouble:
        return Verdict.TROUBLE
    if candidate.lane.mode is Mode.FLEX:
        return _flex_verdict(candidate, route, terms)
    if candidate.lane.mode is not Mode.NATIVE or limits is None:
        is_late = terms.keeps_margin and capacity(candidate, terms) < route.items
        return Verdict.TOO_LATE if is_late else None
    if terms.is_immediate:
        return Verdict.IMMEDIATE
    if candidate.learned.native.is_unsupported(terms.now):
        return Verdict.UNSUPPORTED
    if route.endpoint(terms) not in limits.endpoints:
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
    if route.endpoint(terms) not in _FLEX_ENDPOINTS:
        return Verdict.ENDPOINT
    needed = CAUTION * flex_seconds(route.items, candidate.learned.flex_calls_per_second, terms.pace)
    if escalate_at(route.items, candidate.learned.calls_per_second, terms) < terms.now + needed:
        return Verdict.TOO_LATE
    return None


def _job_seconds(native: NativeHistory, limits: NativeLimits, terms: Terms) -> float:
    """How much time has to be there for a job to be worth trying. Those that take longer are given up in time. What
    was slow long ago counts as unknown: a lane that is not used would never be found to be fast again."""
    unknown = _unknown_job_seconds(limits, terms)
    known = native.seconds_of(_PROBABLE if terms.keeps_margin else _WORTH_TRYING)
    if known is None:
        return unknown
    return known if native.is_recent(terms.now) else min(known, unknown)


def _entries(route: Route, part: Part, terms: Terms) -> list[LaneShards]:
    chosen, limits = part.candidate, part.candidate.limits
    realtime = sorted(
        (each for each in route.candidates if each.lane.mode is Mode.REALTIME), key=lambda each: each.rank
    )
    others = tuple(each.lane for each in realtime if each is not chosen)[:_OTHERS_AT_MOST]
    if chosen.lane.mode is Mode.NATIVE:
        others = _with_flex(route, others, terms)
    fallback = next((each for each in realtime if each is not chosen), chosen)
    at = escalate_at(part.items, fallback.learned.calls_per_second, terms)
    first = part.shards[0].number
    if chosen.lane.mode is not Mode.NATIVE or limits is None:
        until = at if chosen.lane.mode is Mode.FLEX else 0
        return [LaneShards(chosen.lane, first, len(part.shards), part.items, until, others)]
    entries = []
    for numbers in pack(part.shards, limits):
        items = sum(shard.items for shard in part.shards[numbers.start - first : numbers.stop - first])
        job = LaneShards(chosen.lane, numbers.start, len(numbers), items, at, others)
        if items < limits.min_items:  # what is left over for the last job
            until = at if others[0].mode is Mode.FLEX else 0
            rest = tuple(lane for lane in others[1:] if lane.mode is not Mode.FLEX)
            job = replace(job, lane=others[0], escalate_at=until, others=rest)
        entries.append(job)
    return entries


def _with_flex(route: Route, realtime: Sequence[Lane], terms: Terms) -> tuple[Lane, ...]:
    """These lanes and those in flex that will do, the best one first: what a job leaves may cost less there."""
    rank = {each.lane: each.rank for each in route.candidates}
    willing = [
        each.lane
        for each in route.candidates
        if each.lane.mode is Mode.FLEX and _verdict(each, route, 1, terms) is None and not each.in_trouble
    ]
    flex = sorted(willing, key=lambda lane: rank[lane])[:_FLEX_AT_MOST]
    return tuple(sorted((*flex, *realtime), key=lambda lane: rank[lane]))
