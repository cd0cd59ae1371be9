"""Whether a lane is in trouble, and when to look whether it is over."""

from __future__ import annotations

import pytest

from batchyard.core.health import (
    LaneHealth,
    LaneState,
    RecentReplies,
    failed_probes_before,
    next_probe_at,
    probe_wait_seconds,
)


def replies(pattern: str, seconds_apart: float = 0.1) -> tuple[RecentReplies, float]:
    """`.` is a good reply, `x` a trouble. And the moment of the last one."""
    recent, now = RecentReplies(), 1_000.0
    for mark in pattern:
        now += seconds_apart
        recent.add(now, trouble=mark == "x")
    return recent, now


@pytest.mark.parametrize(
    ("pattern", "seconds_apart", "trouble"),
    [
        ("." * 50, 0.1, False),
        ("x" * 7, 0.1, False),
        ("x" * 8, 0.1, True),
        ("." * 40 + "x" * 10, 0.01, True),
        (".x" * 20, 0.1, True),
        ("...x" * 20, 0.1, False),
        ("." * 40 + "x" * 8, 0.01, False),
        (".x" * 10, 5.0, True),
        ("x" * 8, 20.0, False),
    ],
    ids=[
        "well",
        "too few",
        "all",
        "the last few",
        "half",
        "a quarter",
        "less than half of the last few",
        "seldom, but half",
        "over long ago",
    ],
)
def test_trouble_is_most_of_the_last_replies(pattern: str, seconds_apart: float, trouble: bool) -> None:
    """Of the last ten seconds, or of the last twenty replies of a lane with little to do."""
    recent, now = replies(pattern, seconds_apart)
    assert recent.is_trouble(now) is trouble


def test_a_lane_that_comes_back_starts_anew() -> None:
    """And when it was last good stays known."""
    recent, now = replies(".." + "x" * 10)
    good_at = recent.last_good_at
    recent.forget()
    assert not recent.is_trouble(now)
    assert recent.last_good_at == good_at


def test_probes_come_less_often_but_never_seldom() -> None:
    """Full speed within half a minute of the provider's return; a key that people mend within two."""
    assert [probe_wait_seconds(LaneState.OPEN, n) for n in range(6)] == [2, 4, 8, 15, 15, 15]
    assert [probe_wait_seconds(LaneState.OPEN, n) for n in (6, 7, 500)] == [15, 20, 20]
    assert probe_wait_seconds(LaneState.BLOCKED, 50) == 60


def test_a_probe_that_hung_is_no_reason_to_wait_longer() -> None:
    """Waits are counted from the beginning of a probe: one that took twenty seconds is soon followed by the next."""
    assert next_probe_at(LaneState.OPEN, 5, began=1_000, now=1_001) == 1_015
    assert next_probe_at(LaneState.OPEN, 5, began=1_000, now=1_020) == 1_025
    assert next_probe_at(LaneState.OPEN, 0, began=1_000, now=1_020) == 1_022


def test_a_lane_that_comes_and_goes_is_probed_less_often() -> None:
    """Within a minute of its return the count goes on; later it starts anew."""
    back = LaneHealth(since=1_000, probes=3)
    assert failed_probes_before(back, 1_030) == 4
    assert failed_probes_before(back, 1_100) == 0
    assert failed_probes_before(LaneHealth(), 10) == 0


def test_a_row_of_a_newer_version_is_read() -> None:
    """And one that only says who works on the lane is a closed one."""
    assert LaneHealth.from_row({"state": "open", "probes": 2, "colour": "red"}).probes == 2
    assert LaneHealth.from_row({"worker_a": [1]}).state is LaneState.CLOSED


def test_nobody_waits_for_the_end_of_a_probes_lease() -> None:
    """A probe is over in a moment; the lease is for a prober that dies."""
    probed = LaneHealth(LaneState.BLOCKED, "key_refused", 900, 3, 990, "w", 1_060)
    assert probed.wait_seconds(1_000, 0.5) < 5
    waiting = LaneHealth(LaneState.OPEN, "overloaded", 900, 3, 1_008)
    assert 5 < waiting.wait_seconds(1_000, 0.5) < 10
