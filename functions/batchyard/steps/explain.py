"""Explain: why a batch that runs stands still or is slow, and how far it is, lane by lane, for the customer who looks
at it.

Read from the rows of its lanes, and only for a batch that is in progress: a batch that nobody looks
at costs nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass, replace

from batchyard.adapters.aws.lanes import Lanes, LaneView
from batchyard.adapters.aws.stores import Stores
from batchyard.core.batches import Batch, Status
from batchyard.core.health import LaneHealth, LaneState
from batchyard.core.jobs import JobRow
from batchyard.core.lane_pace import LanePace
from batchyard.core.lane_progress import Settled, lane_progress
from batchyard.core.lanes import Lane, LaneId, LaneProgress, LaneStage, Mode
from batchyard.core.sharding import LaneShards, Plan
from batchyard.core.waits import LaneOfBatch, wait_on

_LANES_AT_MOST = 20
"""Each is a read or two, and nobody reads more of them."""


@dataclass(frozen=True, slots=True)
class LaneLook:
    """How the lanes of a batch are looked at. `by_role`: the providers that are called with the worker's role.
    `at_most`: so many of its lanes."""

    lanes: Lanes
    by_role: Container[str] = ()
    at_most: int = _LANES_AT_MOST


def explain(batch: Batch, *, now: int, stores: Stores, look: LaneLook, done: Mapping[int, int] | None = None) -> Batch:
    """The batch with its tally so far, what it waits for, and how far its lanes are: no more than the tally, unless it
    is in progress. `done`: shard number -> how many of its items have a result, if that is known; then its tally is,
    too."""
    if batch.status is not Status.IN_PROGRESS or batch.plan is None or batch.starts_nothing:
        counted = stores.batches.with_progress(batch) if done is None else batch
        return replace(counted, waiting_for=(), lanes=(), is_begun=batch.plan is not None)
    plan = batch.plan
    so_far = stores.progress.all_rows(batch.id)
    settled = so_far.taken
    unfinished = [entry for entry in _unfinished(plan, settled) if not entry.is_native][: look.at_most]
    begun = [_is_begun(batch, entry, settled, stores) for entry in unfinished]
    seen = [_seen(batch, entry, is_begun, look) for entry, is_begun in zip(unfinished, begun, strict=True)]
    has_jobs = bool(plan.jobs) or batch.revision > 0
    jobs = {row.number: row for row in stores.jobs.rows(batch.id)} if has_jobs else {}
    found = [wait_on(each, now) for each in (*seen, *_blocked_jobs(batch, plan, settled, jobs, look))]
    waits = tuple(wait for wait in found if wait is not None)
    progress = lane_progress(plan, Settled(settled, done), jobs, waits, now)
    is_begun = bool(settled) or any(begun) or _has_running_job(progress)
    tally = so_far.tally if done is None else batch.tally
    return replace(batch, tally=tally, waiting_for=waits, lanes=progress, is_begun=is_begun)


def glance(batch: Batch, stores: Stores) -> Batch:
    """The batch with whether anything of it was begun, for lists: without a read, unless it is in progress and has no
    item that is done."""
    if batch.status is not Status.IN_PROGRESS or batch.plan is None or batch.starts_nothing:
        return replace(batch, is_begun=batch.plan is not None)
    if batch.tally.items:
        return replace(batch, is_begun=True)
    called = [entry for entry in batch.plan.lanes if not entry.is_native][:_LANES_AT_MOST]
    is_begun = any(stores.shards.is_any_begun(batch.id, entry.numbers) for entry in called)
    return replace(batch, is_begun=is_begun or (bool(batch.plan.jobs) and _runs_a_job(batch, batch.plan, stores)))


def _runs_a_job(batch: Batch, plan: Plan, stores: Stores) -> bool:
    jobs = {row.number: row for row in stores.jobs.rows(batch.id)}
    return _has_running_job(lane_progress(plan, Settled(()), jobs, (), batch.created_at))


def _has_running_job(lanes: Sequence[LaneProgress]) -> bool:
    return any(each.lane.mode is Mode.NATIVE and each.stage is LaneStage.RUNNING for each in lanes)


def _unfinished(plan: Plan, settled: Collection[int]) -> list[LaneShards]:
    """The lanes on which something is left to run."""
    if len(plan.lanes) == 1:
        return list(plan.lanes)
    return [lane for lane in plan.lanes if any(number not in settled for number in lane.numbers)]


def _is_begun(batch: Batch, entry: LaneShards, settled: frozenset[int], stores: Stores) -> bool:
    return not settled.isdisjoint(entry.numbers) or stores.shards.is_any_begun(batch.id, entry.numbers)


def _blocked_jobs(
    batch: Batch, plan: Plan, settled: Collection[int], jobs: Mapping[int, JobRow], look: LaneLook
) -> list[LaneOfBatch]:
    """The native lanes whose vendor cannot be asked anything until people act: each once, since the first of its jobs
    is blocked."""
    rows = [(entry.lane, jobs[entry.first_shard]) for entry in _unfinished(plan, settled) if entry.first_shard in jobs]
    found: dict[Lane, LaneOfBatch] = {}
    for lane, row in sorted(rows, key=lambda each: each[1].blocked_since):
        if lane.mode is Mode.NATIVE and row.blocked is not None:
            health = LaneHealth(LaneState.BLOCKED, row.blocked, row.blocked_since, probe_at=row.due_at)
            found.setdefault(lane, _lane_of(batch, lane, LaneView(health, LanePace()), True, look))
    return list(found.values())


def _seen(batch: Batch, lane: LaneShards, is_begun: bool, look: LaneLook) -> LaneOfBatch:
    owner = batch.account_id if batch.caller_pays else None
    view = look.lanes.look(LaneId(lane.lane.provider, lane.lane.model, owner, lane.lane.mode))
    return _lane_of(batch, lane.lane, view, is_begun, look)


def _lane_of(batch: Batch, lane: Lane, view: LaneView, is_begun: bool, look: LaneLook) -> LaneOfBatch:
    return LaneOfBatch(
        lane=lane,
        health=view.health,
        pace=view.pace,
        is_begun=is_begun,
        running_since=batch.status_times.get(str(Status.IN_PROGRESS), batch.created_at),
        expires_at=batch.expires_at,
        by_role=lane.provider in look.by_role and not batch.caller_pays,
    )
