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


FLEX = Candidate(Lane("openai", "m", Mode.FLEX), 50)


def with_flex(found: Route, flex: Candidate = FLEX) -> Route:
    """The route with a lane in flex, in the order in which steps/plan.py finds them."""
    native, realtime = found.candidates
    return Route(found.shards, (native, realtime, flex))


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
        (Verdict.TOO_LATE, route(learned=Learned(NativeHistory((24 * HOUR,), 0, NOW - HOUR))), TERMS),
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


def test_jobs_that_stalled_do_not_speak_for_the_others() -> None:
    """Native while half of the lane's jobs were in time; a job that was not costs nothing, so trying it is worth it."""
    for stalled, wanted in ((4, Verdict.SELECTED), (19, Verdict.SELECTED), (21, Verdict.TOO_LATE)):
        history = NativeHistory((HOUR,) * (40 - stalled) + (24 * HOUR,) * stalled, 0, NOW - HOUR)
        assert verdict(plan_lanes([route(learned=Learned(history))], TERMS)) is wanted


def test_a_slow_lane_is_tried_again_a_day_later() -> None:
    """Else nobody would find out that it is fast again; what was fast long ago still counts as fast."""
    slow, fast = NativeHistory((24 * HOUR,), 0, NOW - 25 * HOUR), NativeHistory((600,), 0, NOW - 25 * HOUR)
    soon = replace(TERMS, expires_at=NOW + 2 * HOUR)
    assert verdict(plan_lanes([route(learned=Learned(slow))], TERMS)) is Verdict.SELECTED
    assert verdict(plan_lanes([route(learned=Learned(slow))], soon)) is Verdict.TOO_LATE
    assert verdict(plan_lanes([route(learned=Learned(fast))], soon)) is Verdict.SELECTED


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


def test_flex_is_taken_when_native_will_not_do() -> None:
    """At the same price native comes first; without it flex is half the price all the same, until realtime has to take
    over what is left."""
    both = plan_lanes([with_flex(route())], TERMS)
    assert [each.verdict for each in both.considered[0]] == [Verdict.SELECTED, Verdict.DEARER, Verdict.DEARER]
    assert both.lanes[0].others == (REALTIME,)
    planned = plan_lanes([with_flex(route(min_items=301))], TERMS)
    assert [each.verdict for each in planned.considered[0]] == [Verdict.TOO_FEW, Verdict.DEARER, Verdict.SELECTED]
    (entry,) = planned.lanes
    assert (entry.lane, entry.items, entry.others) == (FLEX.lane, 300, (REALTIME,))
    assert entry.escalate_at == escalate_at(300, None, TERMS)
    assert planned.considered[0][2].finish_at == NOW + 150


@pytest.mark.parametrize(
    ("wanted", "flex", "terms"),
    [
        (Verdict.IMMEDIATE, FLEX, replace(TERMS, is_immediate=True)),
        (Verdict.ENDPOINT, FLEX, replace(TERMS, endpoint="/v1/embeddings")),
        (Verdict.TOO_LATE, FLEX, replace(TERMS, expires_at=NOW + 1800)),
        (Verdict.TOO_LATE, replace(FLEX, learned=Learned(flex_calls_per_second=0.005)), TERMS),
        (Verdict.SELECTED, replace(FLEX, price_percent=40), TERMS),
        (Verdict.DEARER, replace(FLEX, price_percent=100), replace(TERMS, expires_at=NOW + 3 * HOUR)),
    ],
)
def test_why_flex_is_not_taken(wanted: Verdict, flex: Candidate, terms: Terms) -> None:
    """Each reason; flex that costs less than native is taken before it, and never if it costs as much as realtime."""
    planned = plan_lanes([with_flex(route(), flex)], terms)
    assert planned.considered[0][2].verdict is wanted
