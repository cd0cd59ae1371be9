"""Explain: why a batch that runs stands still or is slow, lane by lane, for the customer who looks at it.

Read from the rows of its lanes, and only for a batch that is in progress: a batch costs nothing for being explained
that nobody looks at.
"""

from __future__ import annotations

from dataclasses import replace

from batchyard.adapters.aws.lanes import Lanes
from batchyard.adapters.aws.stores import Stores
from batchyard.core.batches import Batch, Status
from batchyard.core.lanes import LaneId
from batchyard.core.sharding import LaneShards, Plan
from batchyard.core.waits import LaneOfBatch, Wait, wait_on

_LANES_AT_MOST = 20
"""Each is a read or two, and nobody reads more of them."""


def explain(batch: Batch, *, now: int, stores: Stores, lanes: Lanes) -> Batch:
    """The batch with what it waits for: nothing, unless it is in progress."""
    if batch.status is not Status.IN_PROGRESS or batch.plan is None or batch.is_doomed:
        return replace(batch, waiting_for=())
    unfinished = [lane for lane in _unfinished(batch, batch.plan, stores) if not lane.is_native][:_LANES_AT_MOST]
    waits = [_wait(batch, lane, now, stores, lanes) for lane in unfinished]
    return replace(batch, waiting_for=tuple(wait for wait in waits if wait is not None))


def _unfinished(batch: Batch, plan: Plan, stores: Stores) -> list[LaneShards]:
    """The lanes on which something is left to run."""
    if len(plan.lanes) == 1:
        return list(plan.lanes)
    settled = stores.progress.taken(batch.id)
    return [lane for lane in plan.lanes if any(number not in settled for number in lane.numbers)]


def _wait(batch: Batch, lane: LaneShards, now: int, stores: Stores, lanes: Lanes) -> Wait | None:
    owner = batch.account_id if batch.caller_pays else None
    view = lanes.look(LaneId(lane.lane.provider, lane.lane.model, owner))
    seen = LaneOfBatch(
        lane=lane.lane,
        health=view.health,
        pace=view.pace,
        is_begun=stores.shards.is_any_begun(batch.id, lane.numbers),
        running_since=batch.status_times.get(str(Status.IN_PROGRESS), batch.created_at),
        expires_at=batch.expires_at,
    )
    return wait_on(seen, now)
