"""How far the lanes of a batch are, for the customer who looks at it: from its plan, the shards that are settled, and
the rows of its provider jobs.

A run of shards that was moved shows the lane that it has now, the mode of the one that it came from, and why; what a
provider job had done of it before it was moved is shown on the job's lane. Shards grow within a lane, so the share of
shards that are done is a little more than that of its items.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from batchyard.core.failover import running_lane
from batchyard.core.jobs import JobRow, JobState
from batchyard.core.lanes import Lane, LaneProgress, LaneStage, Mode
from batchyard.core.sharding import LaneShards, Plan
from batchyard.core.waits import Wait, WaitState

_LATE = "late"


@dataclass(frozen=True, slots=True)
class Settled:
    """What is done of a batch: the numbers of its settled `shards`, and, if somebody has looked at each shard, shard
    number -> how many of its `items` have a result."""

    shards: Collection[int]
    items: Mapping[int, int] | None = None

    def items_of(self, entry: LaneShards) -> int:
        if self.items is not None:
            return sum(self.items.get(number, 0) for number in entry.numbers)
        return entry.items * sum(number in self.shards for number in entry.numbers) // entry.shards


def lane_progress(
    plan: Plan, settled: Settled, jobs: Mapping[int, JobRow], waits: Sequence[Wait], now: int
) -> tuple[LaneProgress, ...]:
    """By lane, stage and reason, in the order of the plan. `jobs`: the rows of provider jobs by number."""
    items: Counter[LaneProgress] = Counter()
    shards: Counter[LaneProgress] = Counter()
    done: Counter[LaneProgress] = Counter()
    done_items: Counter[LaneProgress] = Counter()
    for entry in plan.lanes:
        settled_here = sum(number in settled.shards for number in entry.numbers)
        job = _job_of(entry, jobs)
        answered = _answered(entry, job, plan)
        if job is not None and answered:
            kept = LaneProgress(Lane(job.provider or "", job.model or "", Mode.NATIVE), LaneStage.DONE)
            for counts in (items, shards, done, done_items):
                counts[kept] += answered
        if answered == entry.items:
            continue
        group = _group(entry, settled_here == entry.shards, job, waits, now)
        items[group] += entry.items - answered
        shards[group] += entry.shards
        done[group] += settled_here
        done_items[group] += max(0, settled.items_of(entry) - answered)
    return tuple(
        replace(
            group, items=items[group], done_percent=100 * done[group] // shards[group], done_items=done_items[group]
        )
        for group in items
    )


def _job_of(entry: LaneShards, jobs: Mapping[int, JobRow]) -> JobRow | None:
    """The provider job that the entry is, or was a part of."""
    found = jobs.get(entry.first_shard)
    return found or next((job for job in jobs.values() if entry.first_shard in job.numbers), None)


def _answered(entry: LaneShards, job: JobRow | None, plan: Plan) -> int:
    """How many items of an entry the job had done from which it was moved. If others have the job's shards in several
    entries, each counts as having had its share of that."""
    if entry.is_native or job is None or not job.answered or job.provider is None:
        return 0
    whole = plan.items_of(job.numbers)
    before = plan.items_of(range(job.number, entry.first_shard))
    return job.answered * (before + entry.items) // whole - job.answered * before // whole


def _group(entry: LaneShards, is_done: bool, job: JobRow | None, waits: Sequence[Wait], now: int) -> LaneProgress:
    if entry.is_native:
        return _native(entry.lane, is_done, job)
    moved_from, reason = _move(entry, is_done, job, now)
    lane = running_lane(entry, now) if moved_from else entry.lane
    if is_done:
        return LaneProgress(lane, LaneStage.DONE, moved_from, reason)
    wait = next((each for each in waits if (each.provider, each.model) == (lane.provider, lane.model)), None)
    if wait is not None:
        return LaneProgress(lane, LaneStage.WAITING, moved_from, reason or str(wait.state))
    return LaneProgress(lane, LaneStage.RUNNING, moved_from, reason)


def _move(entry: LaneShards, is_done: bool, job: JobRow | None, now: int) -> tuple[Mode | None, str | None]:
    """From which mode the entry was moved, and why."""
    if entry.left is not None:
        return entry.left.lane.mode, entry.left.reason
    if job is not None:
        return Mode.NATIVE, job.reason
    if entry.lane.mode is Mode.FLEX and not is_done and 0 < entry.escalate_at <= now:
        return Mode.FLEX, _LATE
    return None, None


def _native(lane: Lane, is_done: bool, job: JobRow | None) -> LaneProgress:
    if is_done:
        return LaneProgress(lane, LaneStage.DONE)
    if job is not None and job.blocked is not None:
        return LaneProgress(lane, LaneStage.WAITING, reason=str(WaitState.BLOCKED))
    if job is None or job.state is JobState.SUBMITTING:
        return LaneProgress(lane, LaneStage.WAITING, reason=job.reason if job else None)
    return LaneProgress(lane, LaneStage.RUNNING, reason=job.reason)
