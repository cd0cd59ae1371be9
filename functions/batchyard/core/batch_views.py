"""A view: a batch as the dashboard shows it. How far it and its lanes are, how fast it runs, when it will be done, and
its life as a timeline.

All of it is derived from rows that are there anyway, so that a batch that nobody looks at costs nothing. Times are unix
seconds.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from batchyard.core.batches import Batch, Status
from batchyard.core.jobs import JobRow
from batchyard.core.lane_progress import Settled, lane_progress
from batchyard.core.lanes import Lane, LaneProgress, LaneStage, Mode
from batchyard.core.sharding import Plan
from batchyard.core.shards import ShardRow

_POINTS_AT_MOST = 120
_BUCKET_SECONDS = (1, 2, 5, 10, 30, 60, 300, 600, 1800, 3600)
_JOBS_SHOWN = 50


class Moment(enum.StrEnum):
    """What happened in the life of a batch. `first_call`: a provider was called for the first time. `first_results`: a
    shard had all of its results for the first time. `job_ended`: a provider job is over, and what it did of its items
    was stored. `waiting`: a lane of it does not run since then. `deadline`: what has no result then is expired."""

    CREATED = "created"
    VALIDATED = "validated"
    JOB_SUBMITTED = "job_submitted"
    FIRST_CALL = "first_call"
    FIRST_RESULTS = "first_results"
    JOB_ENDED = "job_ended"
    FAILED_OVER = "failed_over"
    WAITING = "waiting"
    CANCELLING = "cancelling"
    FINALIZING = "finalizing"
    ENDED = "ended"
    DEADLINE = "deadline"


_STATUS_MOMENTS = {
    Status.IN_PROGRESS: Moment.VALIDATED,
    Status.CANCELLING: Moment.CANCELLING,
    Status.FINALIZING: Moment.FINALIZING,
}


@dataclass(frozen=True, slots=True)
class LifeEvent:
    """`detail`: the status for `ended`, for `waiting` a sentence for people, for `job_ended` how much it did."""

    at: int
    moment: Moment
    lane: Lane | None = None
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class BatchView:
    """`batch`: with its tally so far, and what it waits for. `items_per_second`: on average since it was validated.
    `timeline`: oldest first; empty in lists."""

    batch: Batch
    lanes: tuple[LaneProgress, ...]
    items_per_second: float | None
    expected_end_at: int | None
    timeline: tuple[LifeEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class BatchesPage:
    """A page of batches. `next_cursor`: the batch to go on behind, if there are more. `searched`: how many batches were
    looked at for it."""

    views: Sequence[BatchView]
    next_cursor: str | None
    searched: int


@dataclass(frozen=True, slots=True)
class Throughput:
    """How many items had their result, and how many of them failed, in each `bucket_seconds` from `start` on.
    `timeline`: what the rows of shards say of the life of the batch, which those of the batch and its jobs do not."""

    start: int
    bucket_seconds: int
    done: tuple[int, ...]
    failed: tuple[int, ...]
    timeline: tuple[LifeEvent, ...] = ()


def listed_view(batch: Batch, jobs: Mapping[int, JobRow], now: int) -> BatchView:
    """A batch in a list. `batch`: as for `full_view`; `jobs`: the rows of its provider jobs, if its plan was changed
    since."""
    return _view(batch, jobs, (), now)


def full_view(batch: Batch, jobs: Mapping[int, JobRow], now: int) -> BatchView:
    """One batch, with its timeline. `batch`: with its tally so far and, while it is in progress, with its lanes.
    `jobs`: the rows of its provider jobs by number."""
    return _view(batch, jobs, timeline_of(batch, jobs), now)


def _view(batch: Batch, jobs: Mapping[int, JobRow], timeline: tuple[LifeEvent, ...], now: int) -> BatchView:
    rate = _items_per_second(batch, now)
    left = batch.total_items - batch.tally.items
    is_running = batch.status is Status.IN_PROGRESS
    expected = now + round(left / rate) if rate and is_running else None
    lanes = batch.lanes or (_lanes_at_rest(batch, batch.plan, jobs) if batch.plan else ())
    return BatchView(batch, lanes, rate, expected, timeline)


def ended_at(batch: Batch) -> int | None:
    """When it entered its terminal status; None if it has not."""
    return batch.status_times.get(str(batch.status)) if batch.status.is_terminal else None


def _items_per_second(batch: Batch, now: int) -> float | None:
    """On average since it was validated; None while nothing is done. Items that were never run do not count."""
    started = batch.status_times.get(str(Status.IN_PROGRESS))
    run = batch.tally.succeeded + batch.tally.failed
    if started is None or not run:
        return None
    ended = batch.status_times.get(str(Status.FINALIZING)) or ended_at(batch) or now
    return run / max(1, ended - started)


def _lanes_at_rest(batch: Batch, plan: Plan, jobs: Mapping[int, JobRow]) -> tuple[LaneProgress, ...]:
    """The lanes of a batch that is not in progress: all of its work is over, or none has begun."""
    if batch.status is not Status.VALIDATING:
        return lane_progress(plan, Settled(range(plan.shards)), jobs, (), batch.expires_at)
    items: Counter[Lane] = Counter()
    for entry in plan.lanes:
        items[entry.lane] += entry.items
    return tuple(LaneProgress(lane, LaneStage.WAITING, items=count) for lane, count in items.items())


def timeline_of(batch: Batch, jobs: Mapping[int, JobRow]) -> tuple[LifeEvent, ...]:
    """The life of a batch, oldest first. `jobs`: the rows of its provider jobs."""
    events = [LifeEvent(batch.created_at, Moment.CREATED), LifeEvent(batch.expires_at, Moment.DEADLINE)]
    for status, moment in _STATUS_MOMENTS.items():
        if (at := batch.status_times.get(str(status))) is not None:
            events.append(LifeEvent(at, moment))
    if (ended := ended_at(batch)) is not None:
        events.append(LifeEvent(ended, Moment.ENDED, detail=str(batch.status)))
    events += _submissions(jobs)
    events += _ends_of_jobs(batch, jobs)
    events += _failovers(batch)
    events += _waits(batch)
    return tuple(sorted(events, key=lambda event: event.at))


def _submissions(jobs: Mapping[int, JobRow]) -> list[LifeEvent]:
    """When vendors took jobs, each on the lane that it was submitted on: the plan may have moved since what it left."""
    submitted = [row for row in jobs.values() if row.submitted_at][:_JOBS_SHOWN]
    return [
        LifeEvent(
            row.submitted_at,
            Moment.JOB_SUBMITTED,
            _lane_of(row),
            None if row.ended_at else row.reason,
            row.provider_job_id,
        )
        for row in submitted
    ]


def _ends_of_jobs(batch: Batch, jobs: Mapping[int, JobRow]) -> list[LifeEvent]:
    """When jobs ended that a vendor had taken."""
    ended = [row for row in jobs.values() if row.submitted_at and row.ended_at][:_JOBS_SHOWN]
    items = batch.plan.items_of if batch.plan else lambda numbers: 0
    return [
        LifeEvent(
            row.ended_at,
            Moment.JOB_ENDED,
            _lane_of(row),
            row.reason,
            f"{row.answered or 0} of {items(row.numbers)} items",
        )
        for row in ended
    ]


def _lane_of(row: JobRow) -> Lane | None:
    return Lane(row.provider, row.model, Mode.NATIVE) if row.provider and row.model else None


def _failovers(batch: Batch) -> list[LifeEvent]:
    """One for each lane that was left, whatever number of runs of shards went."""
    left = {entry.left for entry in batch.plan.lanes if entry.left and entry.left.at} if batch.plan else set()
    return [LifeEvent(each.at, Moment.FAILED_OVER, each.lane, each.reason) for each in left]


def _waits(batch: Batch) -> list[LifeEvent]:
    lanes = {(each.lane.provider, each.lane.model): each.lane for each in batch.lanes or ()}
    return [
        LifeEvent(wait.since, Moment.WAITING, lanes.get((wait.provider, wait.model)), str(wait.state), wait.message)
        for wait in batch.waiting_for or ()
        if wait.since is not None
    ]


def throughput_of(batch: Batch, rows: Iterable[ShardRow], now: int) -> Throughput:
    """The batch's throughput, by the times at which its shards settled. Shards that settled under older versions, which
    did not write it, are left out."""
    start = batch.status_times.get(str(Status.IN_PROGRESS), batch.created_at)
    settled, called = [], []
    for row in rows:
        if row.first_call_at:
            called.append(row.first_call_at)
        if row.settled_at >= start:
            settled.append(row)
    end = max((row.settled_at for row in settled), default=start) if batch.status.is_terminal else now
    width = bucket_seconds(end - start)
    buckets = (max(end, start) - start) // width + 1
    done, failed = [0] * buckets, [0] * buckets
    for row in settled:
        bucket = min((row.settled_at - start) // width, buckets - 1)
        done[bucket] += row.tally.items
        failed[bucket] += row.tally.failed
    return Throughput(start, width, tuple(done), tuple(failed), _firsts(called, settled))


def _firsts(called: Sequence[int], settled: Sequence[ShardRow]) -> tuple[LifeEvent, ...]:
    """The first call of a provider, and the first results."""
    events = [LifeEvent(min(called), Moment.FIRST_CALL)] if called else []
    if settled:
        events.append(LifeEvent(min(row.settled_at for row in settled), Moment.FIRST_RESULTS))
    return tuple(events)


def bucket_seconds(seconds: int) -> int:
    """How wide the buckets of a chart over `seconds` are, so that it has enough points and not too many."""
    widths = (width for width in _BUCKET_SECONDS if seconds // width < _POINTS_AT_MOST)
    return next(widths, -(-seconds // (_POINTS_AT_MOST - 1)))
