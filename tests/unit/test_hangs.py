"""Whether calls in flight hang or are just long."""

from __future__ import annotations

import math

import pytest

from batchyard.core.hangs import (
    CallsInFlight,
    HangWatch,
    hang_patience_seconds,
    hang_witness_seconds,
    is_stalled,
)
from batchyard.core.lanes import Mode


def silent(seconds: float, *, usual: float = 0.0, ended_well: int = 0, number: int = 30) -> CallsInFlight:
    """Calls that all started so long ago, since when no reply came."""
    return CallsInFlight(number, seconds, seconds, usual, ended_well)


@pytest.mark.parametrize(
    ("usual", "patience"), [(0.0, 20.0), (0.5, 15.0), (20.0, 60.0)], ids=["unknown", "fast", "slow"]
)
def test_how_long_silence_may_last(usual: float, patience: float) -> None:
    """Three times what calls usually take, and a quarter of a minute at least."""
    assert hang_patience_seconds(usual, 20.0) == patience
    assert is_stalled(silent(patience + 1), patience)
    assert not is_stalled(silent(patience + 1, number=2), patience), "two calls may just be long"
    assert not is_stalled(CallsInFlight(30, patience + 1, 1, usual, 9), patience), "others get through"


def test_flex_may_take_its_time() -> None:
    """In flex silence means nothing for minutes."""
    assert not HangWatch(Mode.FLEX).is_suspected(1_000, silent(170))
    assert HangWatch(Mode.FLEX).is_suspected(1_000, silent(190))


def test_silent_calls_of_a_known_lane_are_given_up_once_it_is_found_well() -> None:
    """Those that have been silent for too long, no younger ones; no scouts are needed."""
    hangs = HangWatch(Mode.REALTIME)
    assert hangs.is_suspected(1_000, silent(31, usual=10, ended_well=50))
    assert hangs.hung_before == -math.inf, "nobody has found the lane well"
    assert not hangs.refute(1_001)
    assert hangs.hung_before == 970


def test_calls_of_an_unknown_lane_are_given_up_once_scouts_have_ended_far_sooner() -> None:
    """Two of them prove nothing yet, and calls that are not far older than the scouts took go on for now."""
    hangs = HangWatch(Mode.REALTIME)
    assert hangs.is_suspected(1_000, silent(21))
    assert hangs.refute(1_001), "scouts should start"
    assert not hangs.is_suspected(1_003, CallsInFlight(30, 24, 1, 6, ended_well=2))
    assert hangs.hung_before == -math.inf
    assert not hangs.is_suspected(1_004, CallsInFlight(30, 25, 1, 6, ended_well=3))
    assert hangs.hung_before == 986
    assert not hangs.is_suspected(1_100, CallsInFlight(30, 121, 1, 6, ended_well=90))
    assert hangs.hung_before == 1_000, "never a call that started after the suspicion"


def test_long_calls_are_never_given_up() -> None:
    """The first ones end after minutes: what is as old as they were is no hang."""
    hangs = HangWatch(Mode.REALTIME)
    assert hangs.is_suspected(1_000, silent(21))
    hangs.refute(1_001)
    for second in range(1_120, 1_600, 10):
        age = float(second - 979)
        assert not hangs.is_suspected(second, CallsInFlight(30, age, 1, 1.5 * age, ended_well=second))
        assert hangs.hung_before < second - age


def test_each_suspicion_that_was_wrong_doubles_the_patience() -> None:
    """Ten minutes of silence are asked about five times; a reply makes the next silence a new one."""
    hangs = HangWatch(Mode.REALTIME)
    asked = []
    for second in range(610):
        if hangs.is_suspected(second, silent(second)):
            hangs.refute(second)
            asked.append(second)
    assert asked == [21, 41, 81, 161, 321]
    assert not hangs.is_suspected(621, silent(5))
    assert hangs.is_suspected(641, silent(25))


def test_what_was_silent_when_a_witness_failed_is_given_up_once_another_gets_through() -> None:
    """The lane was away and is back; what started after the first witness may be well."""
    hangs = HangWatch(Mode.REALTIME)
    assert hangs.is_suspected(1_000, silent(21)) and hangs.is_guess
    hangs.leave_open()
    assert hangs.is_suspected(1_021, silent(42))
    hangs.refute(1_022)
    assert hangs.hung_before == 1_000


def test_a_reply_in_between_shows_that_the_lane_is_slow() -> None:
    """A witness that did not get through is forgotten."""
    hangs = HangWatch(Mode.REALTIME)
    assert hangs.is_suspected(1_000, silent(21))
    hangs.leave_open()
    assert hangs.is_suspected(1_040, CallsInFlight(30, 61, 25, 0, 0))
    hangs.refute(1_041)
    assert hangs.hung_before == -math.inf


def test_an_unknown_lane_is_silent_for_minutes_before_it_is_in_trouble() -> None:
    """Until then a witness that fails may be as slow as the calls."""
    hangs = HangWatch(Mode.REALTIME)
    assert hangs.is_suspected(1_000, silent(170)) and hangs.is_guess
    assert hangs.is_suspected(1_015, silent(185)) and not hangs.is_guess


@pytest.mark.parametrize(("usual", "seconds"), [(0.0, 20.0), (0.5, 5.0), (3.0, 9.0), (60.0, 20.0)])
def test_a_witness_of_a_hang_has_as_long_as_calls_usually_take(usual: float, seconds: float) -> None:
    """Some seconds at least, and never longer than any witness."""
    assert hang_witness_seconds(usual) == seconds
