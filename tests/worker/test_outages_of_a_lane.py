"""Outages of a lane that several workers share: what the benchmark measures on large batches, on small ones."""

from __future__ import annotations

import pytest

from bench import outages
from bench.outages import OutageCase, Undisturbed
from simulation.outages import KINDS

ITEMS = 1_000


@pytest.fixture(scope="module")
def usual() -> Undisturbed:
    """The batch without an outage."""
    return outages.undisturbed(ITEMS)


@pytest.mark.parametrize("kind", KINDS)
def test_four_workers_lose_no_item(kind: str, usual: Undisturbed) -> None:
    """A minute in the middle of a batch, in each way that the benchmark knows: every item succeeds, what is called in
    vain is what was in flight and some witnesses, and the batch ends."""
    run = outages.run(OutageCase(kind, 60, "middle", ITEMS), usual)
    assert run.lost == 0
    assert 0 < run.extra_calls < 4 * 256 + run.witnesses
    assert run.late_seconds < 180


@pytest.mark.parametrize("seconds", [5, 15, 25, 45, 60, 150])
def test_a_hang_before_anything_is_known_of_the_lane(seconds: int) -> None:
    """Its very first calls hang: soon after the provider's return the lane is at full speed, what was in
    flight was called in vain, and hardly anything else."""
    items = 5_000
    run = outages.run(OutageCase("hangs", seconds, "start", items), outages.undisturbed(items))
    assert run.lost == 0
    assert run.full_speed_seconds is not None and run.full_speed_seconds <= 20
    assert run.witnesses <= 4 * 12
    assert run.extra_calls - run.witnesses <= 4 * 64 + 8
    assert run.late_seconds < 60


@pytest.mark.parametrize("kind", ["503", "DNS failures", "hangs"])
def test_little_is_called_in_vain(kind: str) -> None:
    """A minute in the middle of a batch: what is called in vain does not grow with the batch, and is less than one per
    cent of 20,000 items. The kinds that differ most in how late a call fails."""
    run = outages.run(OutageCase(kind, 60, "middle", 4_000), outages.undisturbed(4_000))
    assert run.lost == 0
    assert run.extra_calls < 200


def test_the_benchmark_notices_lost_items(usual: Undisturbed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lane that is never found to be in trouble loses items, and the figures say so."""
    monkeypatch.setattr("batchyard.worker.lane_watch.LaneWatch._suspect", lambda *_: None)
    monkeypatch.setattr("batchyard.worker.lane_watch.LaneWatch.has_been_well_since", lambda *_: True)
    run = outages.run(OutageCase("503", 600, "middle", ITEMS), usual)
    assert run.lost > 0
    assert run.extra_calls > 4 * run.lost
