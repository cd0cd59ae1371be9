"""How far a batch is on its lanes: what runs, what waits, what was moved and why."""

from __future__ import annotations

from batchyard.core.jobs import JobRow, JobState
from batchyard.core.lane_progress import Settled, lane_progress
from batchyard.core.lanes import Lane, LaneProgress, LaneStage, Mode
from batchyard.core.sharding import LaneShards, Left, Plan
from batchyard.core.waits import Wait, WaitState

NOW = 1_800_000_000
REALTIME, FLEX, NATIVE = (Lane("openai", "m", mode) for mode in Mode)
OTHER = Lane("groq", "x")


def seen(
    *entries: LaneShards, settled: tuple[int, ...] = (), jobs: tuple[JobRow, ...] = (), waits: tuple[Wait, ...] = ()
) -> list[LaneProgress]:
    shards = sum(entry.shards for entry in entries)
    plan = Plan("run", sum(entry.items for entry in entries), shards, entries, 4, False, None)
    return list(lane_progress(plan, Settled(settled), {row.number: row for row in jobs}, waits, NOW))


def test_jobs_of_a_lane_are_shown_together() -> None:
    """Those in the same stage; one that was not submitted yet waits."""
    entries = [LaneShards(NATIVE, first, 2, 100, NOW + 9, (REALTIME,)) for first in (0, 2, 4)]
    jobs = (JobRow(0, 2, JobState.RUNNING), JobRow(2, 2, JobState.STOPPING))
    assert seen(*entries, settled=(0,), jobs=jobs) == [
        LaneProgress(NATIVE, LaneStage.RUNNING, items=200, done_percent=25, done_items=50),
        LaneProgress(NATIVE, LaneStage.WAITING, items=100),
    ]


def test_what_was_moved_says_from_where_and_why() -> None:
    """A job that was given up, beside one that is done and items that were in realtime from the first."""
    entries = (LaneShards(REALTIME, 0, 4, 100), LaneShards(NATIVE, 4, 1, 50, NOW), LaneShards(REALTIME, 5, 1, 5))
    jobs = (JobRow(0, 4, JobState.DONE, reason="late"), JobRow(4, 1, JobState.DONE))
    assert seen(*entries, settled=(1, 4), jobs=jobs) == [
        LaneProgress(REALTIME, LaneStage.RUNNING, Mode.NATIVE, "late", 100, 25, 25),
        LaneProgress(NATIVE, LaneStage.DONE, items=50, done_percent=100, done_items=50),
        LaneProgress(REALTIME, LaneStage.RUNNING, items=5),
    ]


def test_each_lane_has_its_part_of_a_job_that_was_moved() -> None:
    """What the job had done is the job's, also when others failed over once more; all of it adds up."""
    job = JobRow(0, 4, JobState.DONE, provider="openai", model="m", reason="late", answered=61)
    whole = [LaneShards(REALTIME, 0, 4, 100)]
    assert seen(*whole, jobs=(job,)) == [
        LaneProgress(NATIVE, LaneStage.DONE, items=61, done_percent=100, done_items=61),
        LaneProgress(REALTIME, LaneStage.RUNNING, Mode.NATIVE, "late", items=39),
    ]
    halves = [LaneShards(REALTIME, 0, 2, 33), LaneShards(OTHER, 2, 2, 67, left=Left(REALTIME, "trouble"))]
    found = seen(*halves, settled=(0, 1), jobs=(job,))
    assert [(each.lane, each.items, each.done_items) for each in found] == [
        (NATIVE, 61, 61),
        (REALTIME, 13, 13),
        (OTHER, 26, 0),
    ]
    assert sum(each.items for each in found) == 100


def test_what_failed_over_says_so() -> None:
    """Also from realtime to realtime; a job that was there before is no longer what counts."""
    entry = LaneShards(OTHER, 0, 1, 5, others=(REALTIME,), left=Left(REALTIME, "trouble"))
    jobs = (JobRow(0, 1, JobState.DONE, reason="late"),)
    assert seen(entry, jobs=jobs) == [LaneProgress(OTHER, LaneStage.RUNNING, Mode.REALTIME, "trouble", 5)]


def test_a_lane_that_waits_says_why() -> None:
    """Only the lane that the wait is about."""
    wait = Wait("groq", "x", WaitState.THROTTLED, None, "…")
    assert seen(LaneShards(REALTIME, 0, 1, 5), LaneShards(OTHER, 1, 1, 5), waits=(wait,)) == [
        LaneProgress(REALTIME, LaneStage.RUNNING, items=5),
        LaneProgress(OTHER, LaneStage.WAITING, reason="throttled", items=5),
    ]


def test_flex_that_is_late_is_shown_as_realtime() -> None:
    """Its workers run it so from that second on."""
    assert seen(LaneShards(FLEX, 0, 1, 5, NOW + 1)) == [LaneProgress(FLEX, LaneStage.RUNNING, items=5)]
    assert seen(LaneShards(FLEX, 0, 1, 5, NOW)) == [LaneProgress(REALTIME, LaneStage.RUNNING, Mode.FLEX, "late", 5)]


def test_exact_counts_are_used_if_there_are_any() -> None:
    """Who looked at each shard knows how many items of it are done; else the share of settled shards says it."""
    entries = (LaneShards(REALTIME, 0, 2, 100), LaneShards(OTHER, 2, 2, 40))
    plan = Plan("run", 140, 4, entries, 4, False, None)
    (one, other) = lane_progress(plan, Settled((0,), {0: 30, 1: 7, 2: 3}), {}, (), NOW)
    assert (one.done_items, other.done_items) == (37, 3)
    (one, other) = lane_progress(plan, Settled((0,)), {}, (), NOW)
    assert (one.done_items, other.done_items) == (50, 0)
