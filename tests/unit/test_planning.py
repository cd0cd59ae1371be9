"""Planning: native when it pays and the deadline allows it, with the reason for every candidate that is not taken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batchyard.core.candidates import Candidate, Learned, Route, Terms
from batchyard.core.jobs import STOP_PATIENCE_SECONDS
from batchyard.core.lanes import Lane, Mode
from batchyard.core.native_history import NativeHistory
from batchyard.core.native_limits import NativeLimits
from batchyard.core.planning import Planned, escalate_at, plan_lanes
from batchyard.core.routing import Verdict
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


def for_endpoint(found: Route, endpoint: str) -> Route:
    """The route with items that are for something else than their batch."""
    return replace(found, shards=tuple(replace(shard, endpoint=endpoint) for shard in found.shards))


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
        (Verdict.ENDPOINT, for_endpoint(route(), "/v1/embeddings"), TERMS),
        (Verdict.SELECTED, for_endpoint(route(), CHAT), replace(TERMS, endpoint="/v1/embeddings")),
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
    """Native while one in ten of the lane's jobs was in time: one that is given up costs nothing, so trying it is worth
    it. Half of them, for a batch that is to be done well before its deadline."""
    with_margin = replace(TERMS, keeps_margin=True)
    for stalled, terms, wanted in (
        (4, TERMS, Verdict.SELECTED),
        (36, TERMS, Verdict.SELECTED),
        (37, TERMS, Verdict.TOO_LATE),
        (20, with_margin, Verdict.SELECTED),
        (21, with_margin, Verdict.TOO_LATE),
    ):
        history = NativeHistory((HOUR,) * (40 - stalled) + (24 * HOUR,) * stalled, 0, NOW - HOUR)
        assert verdict(plan_lanes([route(learned=Learned(history))], terms)) is wanted


def test_when_a_job_that_is_probably_given_up_is_expected_to_be_done() -> None:
    """After realtime has run its items, before the deadline; a job that is probably done in time when such jobs are."""
    slow = NativeHistory((HOUR,) * 4 + (24 * HOUR,) * 36, 0, NOW - HOUR)
    for history, wanted in (
        (slow, escalate_at(300, 1.0, TERMS) + STOP_PATIENCE_SECONDS + 300),
        (NativeHistory((HOUR,)), NOW + HOUR),
    ):
        planned = plan_lanes([route(learned=Learned(history, 1.0))], TERMS)
        assert verdict(planned) is Verdict.SELECTED
        assert planned.considered[0][0].finish_at == wanted <= TERMS.expires_at


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
    assert both.lanes[0].others == (FLEX.lane, REALTIME)
    planned = plan_lanes([with_flex(route(min_items=301))], TERMS)
    assert [each.verdict for each in planned.considered[0]] == [Verdict.TOO_FEW, Verdict.DEARER, Verdict.SELECTED]
    (entry,) = planned.lanes
    assert (entry.lane, entry.items, entry.others) == (FLEX.lane, 300, (REALTIME,))
    assert entry.escalate_at == escalate_at(300, None, TERMS)
    assert planned.considered[0][2].finish_at == NOW + 150


def test_a_job_may_leave_what_it_has_to_flex() -> None:
    """If flex will do, and before realtime, because it costs less; what is too little for the last job goes there at
    once."""
    late = replace(FLEX, learned=Learned(flex_calls_per_second=0.005))
    policy = replace(FLEX, forbidden=Verdict.POLICY)
    for flex in (late, policy, replace(FLEX, in_trouble=True)):
        (entry,) = plan_lanes([with_flex(route(), flex)], TERMS).lanes
        assert (entry.lane.mode, entry.others) == (Mode.NATIVE, (REALTIME,))
    found = with_flex(route(max_items=200, min_items=150))
    job, rest = plan_lanes([found], TERMS).lanes
    assert (job.lane.mode, job.others) == (Mode.NATIVE, (FLEX.lane, REALTIME))
    assert (rest.lane, rest.others, rest.escalate_at) == (FLEX.lane, (REALTIME,), job.escalate_at)


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


CHEAP, DEAR = Lane("cheap", "m"), Lane("dear", "m")


def two_offers(cheap: Candidate | None = None, dear: Candidate | None = None) -> Route:
    """3,000 items in shards of 100 that two providers can run in realtime."""
    run = tuple(Shard(n, 0, n * 1000, 1000, 100, n * 100) for n in range(30))
    return Route(run, (cheap or Candidate(CHEAP, unit_price=10), dear or Candidate(DEAR, unit_price=30)))


def at_rate(lane: Lane, rate: float, unit_price: int) -> Candidate:
    return Candidate(lane, learned=Learned(calls_per_second=rate), unit_price=unit_price)


def lanes_of(planned: Planned) -> list[tuple[str, int]]:
    return [(entry.lane.provider, entry.items) for entry in planned.lanes]


def test_the_cheapest_of_several_offers_is_taken() -> None:
    """In money, not in percent: half of a dear price is no bargain. The others are where the items may move to."""
    planned = plan_lanes([two_offers()], TERMS)
    assert lanes_of(planned) == [("cheap", 3000)]
    assert planned.lanes[0].others == (DEAR,)
    dear_native = Candidate(Lane("dear", "m", Mode.NATIVE), 50, LIMITS, unit_price=30)
    found = two_offers()
    planned = plan_lanes([replace(found, candidates=(*found.candidates, dear_native))], TERMS)
    assert [each.verdict for each in planned.considered[0]] == [Verdict.SELECTED, Verdict.DEARER, Verdict.DEARER]
    cheap_native = Candidate(Lane("dear", "m", Mode.NATIVE), 20, LIMITS, unit_price=30)
    (*jobs,) = plan_lanes([replace(found, candidates=(*found.candidates, cheap_native))], TERMS).lanes
    assert {(each.lane.mode, each.others) for each in jobs} == {(Mode.NATIVE, (CHEAP, DEAR))}


def test_a_lane_that_cannot_make_the_deadline_shares_its_items() -> None:
    """It gets what its known rate can make, the next best one the rest; what is not known is not guessed."""
    soon = replace(TERMS, expires_at=NOW + 600 + 1000)
    planned = plan_lanes([two_offers(at_rate(CHEAP, 2.0, 10))], soon)
    assert lanes_of(planned) == [("cheap", 1600), ("dear", 1400)]
    assert [entry.first_shard for entry in planned.lanes] == [0, 16]
    assert [(each.verdict, each.items) for each in planned.considered[0]] == [
        (Verdict.SELECTED, 1600),
        (Verdict.SELECTED, 1400),
    ]
    assert [entry.others for entry in planned.lanes] == [(DEAR,), (CHEAP,)]
    assert lanes_of(plan_lanes([two_offers()], soon)) == [("cheap", 3000)]


def test_lanes_that_cannot_make_it_together_end_together() -> None:
    """Each gets its part by its rate."""
    soon = replace(TERMS, expires_at=NOW + 600 + 100)
    planned = plan_lanes([two_offers(at_rate(CHEAP, 4.0, 10), at_rate(DEAR, 2.0, 30))], soon)
    assert lanes_of(planned) == [("cheap", 2000), ("dear", 1000)]
    over = replace(TERMS, expires_at=NOW)
    planned = plan_lanes([two_offers(at_rate(CHEAP, 4.0, 10), at_rate(DEAR, 2.0, 30))], over)
    assert lanes_of(planned) == [("cheap", 1500), ("dear", 1500)]


def test_a_margin_is_kept_by_a_dearer_lane() -> None:
    """sla_aware: the cheapest whose expected finish leaves a margin, and who is not in trouble; the cheapest rules take
    the cheapest as long as it makes it at all."""
    slow, fast = at_rate(CHEAP, 1.0, 10), at_rate(DEAR, 5.0, 30)
    soon = replace(TERMS, expires_at=NOW + 600 + 4000)
    aware = replace(soon, keeps_margin=True, avoids_trouble=True)
    assert lanes_of(plan_lanes([two_offers(slow, fast)], soon)) == [("cheap", 3000)]
    planned = plan_lanes([two_offers(slow, fast)], aware)
    assert lanes_of(planned) == [("dear", 3000)]
    assert planned.considered[0][0].verdict is Verdict.TOO_LATE
    broken = replace(at_rate(CHEAP, 50.0, 10), in_trouble=True)
    assert lanes_of(plan_lanes([two_offers(broken, fast)], soon)) == [("cheap", 3000)]
    planned = plan_lanes([two_offers(broken, fast)], aware)
    assert (lanes_of(planned), planned.considered[0][0].verdict) == ([("dear", 3000)], Verdict.TROUBLE)
    both = replace(fast, in_trouble=True)
    assert lanes_of(plan_lanes([two_offers(broken, both)], aware)) == [("cheap", 3000)]


def test_a_preference_comes_before_the_price() -> None:
    """hybrid: the owner's own network first, also in realtime beside a vendor's half price."""
    edge = replace(at_rate(DEAR, 50.0, 30), preference=0)
    vendor = Candidate(CHEAP, unit_price=10, preference=1)
    planned = plan_lanes([two_offers(vendor, edge)], TERMS)
    assert lanes_of(planned) == [("dear", 3000)]
    assert planned.considered[0][0].verdict is Verdict.LESS_PREFERRED
    slow_edge = replace(at_rate(DEAR, 0.02, 30), preference=0)
    planned = plan_lanes([two_offers(vendor, slow_edge)], TERMS)
    assert lanes_of(planned) == [("dear", 1300), ("cheap", 1700)]
