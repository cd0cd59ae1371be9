"""Planning: native when it pays and the deadline allows it, with the reason for every candidate that is not taken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batchyard.core.jobs import STOP_PATIENCE_SECONDS
from batchyard.core.lanes import Lane, Mode
from batchyard.core.native_history import NativeHistory
from batchyard.core.native_limits import NativeLimits
from batchyard.core.planning import Candidate, Learned, Planned, Route, Terms, Verdict, escalate_at, plan_lanes
from batchyard.core.sharding import Shard

NOW = 1_800_000_000
HOUR = 3600
CHAT = "/v1/chat/completions"
REALTIME = Lane("openai", "m")
NATIVE = Lane("openai", "m", Mode.NATIVE)
LIMITS = NativeLimits(1000, 10_000_000, (CHAT,))
TERMS = Terms(CHAT, NOW, NOW + 24 * HOUR)


def route(shards: int = 3, items: int = 100, first: int = 0, learned: Learned | None = None, **limits: int) -> Route:
    native = Candidate(NATIVE, 50, replace(LIMITS, **limits), learned or Learned())
    run = tuple(Shard(first + n, 0, n * 1000, 1000, items, (first + n) * items) for n in range(shards))
    return Route(run, (native, Candidate(REALTIME)))


def verdict(planned: Planned) -> Verdict:
    """Of the native candidate of the first route."""
    return planned.considered[0][0].verdict


def test_half_the_price_is_taken() -> None:
    """One job of all its items, which may be moved to realtime; realtime is the dearer one."""
    planned = plan_lanes([route()], TERMS)
    (entry,) = planned.lanes
    assert (entry.lane, entry.first_shard, entry.shards, entry.items) == (NATIVE, 0, 3, 300)
    assert entry.others == (REALTIME,)
    assert [each.verdict for each in planned.considered[0]] == [Verdict.SELECTED, Verdict.DEARER]


@pytest.mark.parametrize(
    ("wanted", "found", "terms"),
    [
        (Verdict.IMMEDIATE, route(), replace(TERMS, is_immediate=True)),
        (Verdict.ENDPOINT, route(), replace(TERMS, endpoint="/v1/embeddings")),
        (Verdict.TOO_FEW, route(min_items=301), TERMS),
        (Verdict.TOO_MANY_JOBS, route(shards=201, max_items=100), TERMS),
        (Verdict.CONCURRENCY, route(max_items=200), replace(TERMS, has_ceiling=True)),
        (Verdict.TOO_LATE, route(), replace(TERMS, expires_at=NOW + 2 * HOUR)),
        (Verdict.TOO_LATE, route(learned=Learned(NativeHistory((24 * HOUR,)))), TERMS),
        (Verdict.TOO_LATE, route(learned=Learned(calls_per_second=0.006)), TERMS),
        (Verdict.UNSUPPORTED, route(learned=Learned(NativeHistory((), NOW - 60))), TERMS),
        (Verdict.SELECTED, route(learned=Learned(NativeHistory((), NOW - 2 * 86_400))), TERMS),
        (Verdict.SELECTED, route(learned=Learned(NativeHistory((600,)))), replace(TERMS, expires_at=NOW + 2 * HOUR)),
        (Verdict.SELECTED, route(), replace(TERMS, has_ceiling=True)),
    ],
)
def test_why_a_native_lane_is_not_taken(wanted: Verdict, found: Route, terms: Terms) -> None:
    """Each reason; then everything is one realtime entry."""
    planned = plan_lanes([found], terms)
    assert verdict(planned) is wanted
    if wanted is not Verdict.SELECTED:
        assert [entry.lane for entry in planned.lanes] == [REALTIME]
        assert planned.considered[0][1].verdict is Verdict.SELECTED


def test_a_job_is_given_up_while_realtime_can_still_make_it() -> None:
    """Its vendor has time to stop it, and the lane twice the time that its rate needs for all of the items."""
    at = escalate_at(36_000, 10.0, TERMS)
    assert TERMS.expires_at - at >= 2 * HOUR + STOP_PATIENCE_SECONDS
    assert escalate_at(36_000, 1.0, TERMS) < at


def test_a_large_route_makes_several_jobs() -> None:
    """Each within the vendor's limits; what is too little for a last job runs in realtime."""
    (first, second, rest) = plan_lanes([route(shards=5, items=100, max_items=200, min_items=150)], TERMS).lanes
    assert [(each.lane, each.shards) for each in (first, second, rest)] == [(NATIVE, 2), (NATIVE, 2), (REALTIME, 1)]
    assert rest.escalate_at == 0


def test_routes_are_planned_each_by_itself() -> None:
    """A mixed batch runs on all its lanes at once, and its shards are numbered without gaps."""
    only_realtime = Route((Shard(3, 1, 0, 10, 5, 300),), (Candidate(Lane("groq", "x")),))
    planned = plan_lanes([route(), only_realtime], TERMS)
    assert [(each.lane, each.first_shard) for each in planned.lanes] == [(NATIVE, 0), (Lane("groq", "x"), 3)]
