"""The pacer: calls in flight rise slowly, halve at a 429, and wait as long as a server asks for."""

from __future__ import annotations

import math

import pytest

from batchyard.core.pacing import Latency, Pace, Pacer


def round_of_calls(pacer: Pacer, now: float = 0.0) -> list[int]:
    """As many calls as the pacer lets start."""
    calls = []
    while pacer.wait_seconds(now) == 0:
        calls.append(pacer.start())
    return calls


def succeed(pacer: Pacer, rounds: int) -> None:
    for _ in range(rounds):
        for call in round_of_calls(pacer):
            pacer.end_well(call, 1.0)


def test_it_opens_quickly_then_stops_at_the_ceiling() -> None:
    """Before the first 429 the limit about doubles per round, and never passes the ceiling."""
    pacer = Pacer(Pace(start=8, ceiling=100))
    succeed(pacer, 1)
    assert 12 <= pacer.limit <= 16
    succeed(pacer, 10)
    assert pacer.limit == 100
    assert len(round_of_calls(pacer)) == 100
    assert pacer.wait_seconds(0.0) == math.inf


def test_the_first_calls_follow_one_by_one() -> None:
    """Some start at once, and within a quarter of a second all those that may be in flight before one has ended."""
    pacer = Pacer(Pace(start=64, at_once=16))
    assert len(round_of_calls(pacer, 10.0)) == 16
    assert 0 < pacer.wait_seconds(10.0) < 0.01
    assert len(round_of_calls(pacer, 10.125)) == 32
    assert len(round_of_calls(pacer, 11.0)) == 16
    assert pacer.wait_seconds(12.0) == math.inf


def test_none_follows_once_the_first_was_refused() -> None:
    """A slow lane refuses one of the first calls: there are not 64 of them."""
    pacer = Pacer(Pace(start=64, at_once=16))
    calls = round_of_calls(pacer, 10.0)
    pacer.end_throttled(calls[-1], 10.01, None)
    assert pacer.limit == 8
    assert pacer.wait_seconds(20.0) == math.inf


def test_a_refusal_under_a_rate_slows_down_at_once() -> None:
    """A rate that is too high by a quarter is worked out anew only seconds later: until then a twentieth is refused,
    not a fifth."""
    pacer, allowed, step = Pacer(Pace()), 80.0, 0.01
    pacer.allow(100.0, 0.0)
    taken = refused = 0
    saved = 0.0
    for tick in range(1, 1_001):
        saved = min(8.0, saved + allowed * step)
        for call in round_of_calls(pacer, tick * step):
            if saved >= 1:
                saved -= 1
                taken += 1
                pacer.end_well(call, 0.1)
            else:
                refused += 1
                pacer.end_throttled(call, tick * step, None)
    assert taken > 0.97 * allowed * 10
    assert refused < 0.06 * taken


def test_refusals_of_calls_that_knew_no_rate_cost_nothing() -> None:
    """They say what the rate is, not that it is too high."""
    pacer = Pacer(Pace(start=8, at_once=8))
    calls = round_of_calls(pacer)
    pacer.allow(10.0, 1.0)
    for call in calls:
        pacer.end_throttled(call, 1.1, None)
    assert pacer.wait_seconds(2.0) == 0
    pacer.end_throttled(pacer.start(), 2.0, None)
    assert pacer.wait_seconds(2.0) == pytest.approx(0.35, abs=0.01)


def test_a_clock_that_is_set_back_stops_nothing() -> None:
    """By an hour: calls go on at their rate, or follow the first ones, or after a pause, as if it had not been."""
    paced, new, paused = Pacer(Pace()), Pacer(Pace(start=64, at_once=16)), Pacer(Pace())
    paced.allow(10.0, 10_000.0)
    assert len(round_of_calls(paced, 10_001.0)) == 2
    assert len(round_of_calls(new, 10_001.0)) == 16
    paused.pause(10_002.0)
    assert paused.wait_seconds(10_001.0) == 1.0
    assert paced.wait_seconds(6_401.0) == pytest.approx(0.05, abs=0.01)
    assert 0 < new.wait_seconds(6_401.0) < 0.01
    assert paused.wait_seconds(6_401.0) == 1.0
    assert len(round_of_calls(paced, 6_402.0)) == 2
    assert len(round_of_calls(new, 6_402.0)) == 48
    assert paused.wait_seconds(6_402.0) == 0.0


def test_however_many_are_refused_calls_go_on_soon() -> None:
    """What is owed is at most what may start in half a second."""
    pacer = Pacer(Pace(start=64, at_once=64))
    pacer.allow(100.0, 0.0)
    for call in [pacer.start() for _ in range(60)]:
        pacer.end_throttled(call, 0.0, None)
    assert 0 < pacer.wait_seconds(0.0) < 0.65


def test_one_round_of_429s_halves_once() -> None:
    """All calls that were in flight together count as one refusal."""
    pacer = Pacer(Pace(start=64, at_once=64, ceiling=64))
    for call in round_of_calls(pacer):
        pacer.end_throttled(call, 0.0, None)
    assert pacer.limit == 32
    for call in round_of_calls(pacer):
        pacer.end_throttled(call, 0.0, None)
    assert pacer.limit == 16


def test_it_never_falls_below_the_floor_nor_stands_still() -> None:
    """After any number of refusals one call may still start: there is no freeze."""
    pacer = Pacer(Pace(floor=1, start=64, at_once=64, ceiling=64))
    for _ in range(50):
        for call in round_of_calls(pacer):
            pacer.end_throttled(call, 0.0, None)
    assert pacer.limit == 1
    assert pacer.wait_seconds(0.0) == 0


def test_after_a_429_it_rises_by_steps() -> None:
    """Recovery adds a fixed step per round: no doubling back into the wall."""
    pacer = Pacer(Pace(start=64, at_once=64, ceiling=128))
    for call in round_of_calls(pacer):
        pacer.end_throttled(call, 0.0, None)
    assert pacer.limit == 32
    succeed(pacer, 1)
    assert 35 <= pacer.limit <= 36
    succeed(pacer, 4)
    assert 50 <= pacer.limit <= 60


def test_an_idle_limit_does_not_rise() -> None:
    """Success with hardly any calls in flight proves nothing about more of them."""
    pacer = Pacer(Pace(start=32, at_once=32, ceiling=512))
    for _ in range(1000):
        pacer.end_well(pacer.start(), 1.0)
    assert pacer.limit == 32


def test_a_spent_provider_is_left_alone_until_it_says() -> None:
    """A whole round refused: nothing new starts before Retry-After; the longest one counts."""
    pacer = Pacer(Pace(start=9, ceiling=9))
    calls = round_of_calls(pacer)
    for call in calls[:7]:
        pacer.end_throttled(call, 100.0, 50.0)
    assert pacer.wait_seconds(100.0) == 0
    pacer.end_throttled(calls[7], 100.0, 10.0)
    pacer.end_throttled(calls[8], 100.0, 3.0)
    assert pacer.wait_seconds(104.0) == pytest.approx(6.0)
    assert pacer.wait_seconds(110.0) == 0


def test_a_busy_provider_is_not_left_alone() -> None:
    """As long as some calls get through, single refusals slow the lane down and stop nothing."""
    pacer = Pacer(Pace(start=8, ceiling=8))
    for _ in range(50):
        refused, refused_too, taken = pacer.start(), pacer.start(), pacer.start()
        pacer.end_throttled(refused, 0.0, 3600.0)
        pacer.end_throttled(refused_too, 0.0, 3600.0)
        pacer.end_well(taken, 1.0)
        assert pacer.wait_seconds(0.0) == 0


def test_other_failures_leave_the_limit_alone() -> None:
    """A cancelled call or a 500 says nothing about the rate."""
    pacer = Pacer(Pace(start=10, ceiling=10))
    for call in round_of_calls(pacer):
        pacer.end(call)
    assert (pacer.limit, pacer.in_flight) == (10, 0)


def test_it_settles_near_what_a_provider_can_take() -> None:
    """Against a provider that takes 50 at once the limit swings between half of that and just above it."""
    pacer = Pacer(Pace(start=32, at_once=32, ceiling=512))
    seen = []
    for number in range(300):
        calls = round_of_calls(pacer)
        for position, call in enumerate(calls):
            if position < 50:
                pacer.end_well(call, 1.0)
            else:
                pacer.end_throttled(call, float(number), None)
        seen.append(pacer.limit)
    assert min(seen[50:]) >= 25 and max(seen[50:]) <= 60


def test_latency_has_a_bound() -> None:
    """Steady calls are bounded tightly, scattered ones loosely."""
    steady, scattered = Latency(), Latency()
    assert steady.bound_seconds == 0
    for number in range(200):
        steady.add(2.0)
        scattered.add(0.5 if number % 2 else 3.5)
    assert steady.bound_seconds == pytest.approx(2.0, abs=0.01)
    assert scattered.bound_seconds > 3.5


def test_large_answers_come_fewer_at_a_time() -> None:
    """Memory bounds the calls in flight as soon as answers are large, and lets go when they are small again."""
    pacer = Pacer(Pace(start=100, at_once=100, ceiling=100, memory_bytes=10_000_000))

    def fit(held_bytes: int = 0) -> int:
        calls = 0
        while pacer.wait_seconds(0.0, held_bytes) == 0:
            pacer.start()
            calls += 1
        for _ in range(calls):
            pacer.end(0)
        return calls

    pacer.weigh(2_000)
    assert fit() == 100
    pacer.weigh(1_000_000)
    assert (fit(), fit(held_bytes=7_000_000), fit(held_bytes=10**9)) == (10, 3, 1)
    for _ in range(400):
        pacer.weigh(2_000)
    assert fit() == 100
