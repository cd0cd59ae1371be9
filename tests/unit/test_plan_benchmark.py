"""The simulation of plans: its arithmetic, and that it finds what it is there to find."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from batchyard.core.jobs import STOP_PATIENCE_SECONDS
from batchyard.core.native_history import NativeHistory
from bench import plans
from bench.plan_tables import plan_tables
from bench.plans import HOUR, LANES, SimulatedBatch

NOW = 1_800_000_000
LANE = LANES[1]


def batch(*job_seconds: float, hours: int = 24, at: int = NOW) -> SimulatedBatch:
    """1,000 items in one provider job, or as many full jobs as times are given; 50 calls a second."""
    items = 1_000 if len(job_seconds) == 1 else 49_920 * len(job_seconds)
    return SimulatedBatch(at, hours, LANE, plans.cut(items), job_seconds, LANE.calls_per_second)


def test_a_batch_is_cut_into_shards_without_gaps() -> None:
    """All items, in order."""
    shards = plans.cut(1_000)
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
    stalled, known = batch(math.inf), NativeHistory((HOUR,), ended_at=NOW)
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
    """Within 5 % of what foresight pays for deadlines of half a day and more; every deadline is met."""
    batches = [replace(each, hours=24) for each in plans.draw(400, 0.1)]
    found = plans.summary(plans.with_plan(batches))
    assert found["in_time"] == 1
    assert found["price"] <= plans.summary([plans.foresight(each) for each in batches])["price"] * 1.05


def test_the_tables_show_each_policy_and_deadline() -> None:
    """A row each, without and with jobs that stall."""
    text = plan_tables(plans.measure(60))
    assert text.count("| the plan |") == text.count("| foresight |") == 2
    assert text.count("| 72 h |") == 2
