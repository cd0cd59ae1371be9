"""The simulation of plans: its arithmetic, and that it finds what it is there to find."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import pytest

from batchyard.core.jobs import STOP_PATIENCE_SECONDS
from batchyard.core.native_history import NativeHistory
from bench import plans
from bench.bounds import BestPolicy, KnownTimes
from bench.drawn_batches import HOUR, LANES, SimulatedBatch, cut, draw
from bench.plan_tables import plan_tables

NOW = 1_800_000_000
LANE = LANES[1]


def batch(*job_seconds: float, hours: int = 24, at: int = NOW) -> SimulatedBatch:
    """1,000 items in one provider job, or as many full jobs as times are given; 50 calls a second."""
    items = 1_000 if len(job_seconds) == 1 else 49_920 * len(job_seconds)
    return SimulatedBatch(at, hours, LANE, cut(items), job_seconds, LANE.calls_per_second)


def test_a_batch_is_cut_into_shards_without_gaps() -> None:
    """All items, in order."""
    shards = cut(1_000)
    assert [shard.items for shard in shards] == [256, 256, 256, 232]
    assert [shard.first_index for shard in shards] == [0, 256, 512, 768]


@pytest.mark.parametrize(("seconds", "paid"), [(HOUR, 500), (23 * HOUR + 3500, 1_000), (math.inf, 1_000)])
def test_what_the_plan_pays(seconds: float, paid: int) -> None:
    """Half for what the vendor finished in time; all of it for what was given up, but the deadline is kept."""
    (outcome,) = plans.with_plan([batch(seconds)])
    assert (outcome.paid, outcome.is_in_time, outcome.jobs) == (paid, True, 1)
    assert outcome.escalated == (paid == 1_000)


def test_a_job_that_stalls_ends_after_the_patience_and_the_rest_in_realtime() -> None:
    """To the second."""
    stalled = batch(math.inf)
    (entry,) = plans.plan_of(stalled, NativeHistory())
    seen = plans.watch(entry, stalled, [math.inf], NativeHistory())
    assert seen.done_at == entry.escalate_at + STOP_PATIENCE_SECONDS + 1_000 / 50
    assert seen.seconds == (entry.escalate_at + STOP_PATIENCE_SECONDS - NOW,)


def test_a_job_that_is_stuck_is_followed_by_another_one() -> None:
    """After eight times what such jobs take, if that is known; the second one finishes at half the price."""
    stalled, known = batch(math.inf, hours=72), NativeHistory((HOUR,), ended_at=NOW)
    (entry,) = plans.plan_of(stalled, known)
    seen = plans.watch(entry, stalled, (math.inf, HOUR), known)
    assert seen.seconds[0] == 8 * HOUR + STOP_PATIENCE_SECONDS
    assert HOUR <= seen.seconds[1] < HOUR + 600
    assert (seen.paid, seen.was_given_up) == (500, False)


def test_a_vendor_gives_up_a_job_after_its_window() -> None:
    """Long before a deadline of three days; one that stalls does not even end then."""
    (late, stalled) = (batch(seconds, hours=72) for seconds in (30 * HOUR, math.inf))
    (entry,) = plans.plan_of(late, NativeHistory())
    assert 24 * HOUR <= plans.watch(entry, late, [30 * HOUR], NativeHistory()).seconds[0] < 25 * HOUR
    assert plans.watch(entry, stalled, [math.inf], NativeHistory()).seconds[0] > 70 * HOUR


def test_the_other_policies() -> None:
    """Realtime pays everything; native only misses what stalls; foresight pays for that in full, and is in time."""
    two = batch(HOUR, math.inf)
    realtime, native, floor = plans.realtime_only(two), plans.native_only(two), plans.foresight(two)
    assert [each.paid / two.items for each in (realtime, native, floor)] == [1, 0.5, 0.75]
    assert [each.is_in_time for each in (realtime, native, floor)] == [True, False, True]


def test_a_lane_on_which_everything_stalled_is_used_again() -> None:
    """Its history does not keep it from being tried once the trouble is over."""
    bad = [batch(math.inf, at=NOW + n * HOUR) for n in range(48)]
    good = [batch(HOUR, at=NOW + (96 + n) * HOUR) for n in range(96)]
    outcomes = plans.with_plan([*bad, *good])
    assert all(each.is_in_time for each in outcomes)
    assert all(each.paid == 500 for each in outcomes[-24:])


def test_a_tenth_that_stalls_does_not_cost_the_other_nine_their_price() -> None:
    """Close to native only's price for a day, and for half a day not far from the best policy, which is above that,
    too; every deadline is met."""
    for hours, dearer, than_best in ((12, 1.07, 1.04), (24, 1.01, 1.01)):
        batches = [replace(each, hours=hours) for each in draw(800, 0.1)]
        found = plans.summary(plans.with_plan(batches))
        assert found["in_time"] == 1
        assert found["price"] <= 0.5 * dearer
        assert found["price"] <= plans.summary(plans.best_policy(batches, 0.1))["price"] * than_best


KNOWN = KnownTimes(HOUR, sigma=1.0, stalled_share=0.1, stop_seconds=600, window_seconds=24 * HOUR)
THREE = BestPolicy(KNOWN, 3, 12 * HOUR)


def test_the_best_policy_waits_for_one_job_if_there_is_no_time_for_two() -> None:
    """Until the end, and then it is native or not."""
    assert THREE.follow(HOUR, [HOUR - 1, 1.0, 1.0]) == (True, 1)
    assert THREE.follow(HOUR, [HOUR + 1, 1.0, 1.0]) == (False, 1)
    assert THREE.follow(60, [1.0]) == (False, 0)


def test_the_best_policy_submits_again_what_stalls() -> None:
    """Three times at most, and only as long as there is time."""
    assert THREE.follow(12 * HOUR, [math.inf, HOUR]) == (True, 2)
    assert THREE.follow(12 * HOUR, [math.inf, math.inf, HOUR, HOUR]) == (True, 3)
    assert THREE.follow(12 * HOUR, [math.inf, math.inf, math.inf, HOUR]) == (False, 3)


def test_no_other_moment_to_stop_is_better_than_that_of_the_best_policy() -> None:
    """With two submissions and six hours: tried out for each quarter of an hour by drawing times."""
    random = Random(1)
    draws = [
        [math.inf if random.random() < 0.1 else random.lognormvariate(math.log(HOUR), 1.0) for _ in range(2)]
        for _ in range(4_000)
    ]

    def done(stop_at: int) -> int:
        def second(first: float) -> float:
            return 6 * HOUR - stop_at - (STOP_PATIENCE_SECONDS if math.isinf(first) else 600)

        return sum(first <= stop_at or again <= second(first) for first, again in draws)

    policy = BestPolicy(KNOWN, 2, 6 * HOUR)
    best = sum(policy.follow(6 * HOUR, times)[0] for times in draws)
    assert best >= max(done(minutes * 60) for minutes in range(15, 345, 15)) * 0.995


def test_nobody_is_cheaper_than_foresight() -> None:
    """Neither the plan nor the best policy, batch by batch."""
    batches = list(draw(300, 0.1))
    for batch_found, best, floor in zip(
        plans.with_plan(batches), plans.best_policy(batches, 0.1), map(plans.foresight, batches), strict=True
    ):
        assert floor.paid <= min(batch_found.paid, best.paid)


def test_the_tables_show_each_policy_and_deadline() -> None:
    """A row each, without and with jobs that stall."""
    text = plan_tables(plans.measure(60))
    assert text.count("| the plan |") == text.count("| best policy |") == text.count("| foresight |") == 2
    assert text.count("| 24 h |") == 2
