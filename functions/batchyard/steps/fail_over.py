"""Fail over: hand what a lane will not do in time to another lane that its items may take (`core.failover`).

    a lane in trouble, or too slow ─▶ what is left of its shards ─▶ send what is due of them on the next lane
                                                                       ─▶ the batch's row takes the new plan

Sending comes before the row says so, as in `recover`: a crash in between sends shards twice, which their leases make
harmless, and the next sweep moves them again. The messages that are under way on the old lane stay so: whoever takes
one finds its shard held or settled, or, if the old lane is well again, runs it there. A shard that is being run is
finished where it is. Each item has one result all the same, because only the owner of its shard can write it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from batchyard.adapters.aws.lanes import LaneView
from batchyard.adapters.aws.queues import Queues
from batchyard.adapters.aws.stores import Stores
from batchyard.core.batches import Batch, Status
from batchyard.core.errors import ConditionFailed
from batchyard.core.failover import LaneNow, Move, Patience, failover, running_lane
from batchyard.core.keys import manifest_key
from batchyard.core.lanes import Lane, LaneId
from batchyard.core.messages import shard_message
from batchyard.core.sharding import LaneShards, Plan, Shard, read_manifest

_ENTRIES_AT_MOST = 400
"""Of a plan that is still changed. The batch's row lists them."""


def fail_over(
    batch: Batch,
    *,
    now: int,
    pace: float,
    look: Callable[[LaneId], LaneView],
    stores: Stores,
    queues: Queues,
) -> list[Move]:
    """What was moved. `look`: what is known of a lane. `pace`: 1; less where clocks are sped up."""
    plan = batch.plan
    if plan is None or batch.status is not Status.IN_PROGRESS or batch.starts_nothing or now >= batch.expires_at:
        return []
    seen = partial(_lane_now, batch, look)
    suspects = [entry for entry in plan.lanes if _is_suspect(entry, batch, now, seen)]
    if not suspects or len(plan.lanes) >= _ENTRIES_AT_MOST:
        return []
    settled = stores.progress.taken(batch.id, consistent=True)
    manifest = read_manifest(stores.objects.get(manifest_key(batch.account_id, batch.id, plan.run)))
    patience = Patience(now, batch.expires_at, batch.avoids_trouble, pace)
    moves = []
    for entry in suspects:
        left = [manifest[number] for number in entry.numbers if number not in settled]
        move = failover(entry, left, patience, seen)
        if move is not None:
            moves.append(move)
    return moves if moves and _move(batch, plan, moves, manifest, settled, now, stores, queues) else []


def _is_suspect(entry: LaneShards, batch: Batch, now: int, seen: Callable[[Lane], LaneNow]) -> bool:
    """Whether something of the entry might have to move. Costs nothing if it has nowhere to go, and one read of a lane
    if all is well."""
    if entry.is_native or not entry.others:
        return False
    lane = seen(running_lane(entry, now))
    if not lane.is_well:
        return True
    may_be_late = lane.calls_per_second is not None and entry.items > lane.calls_per_second * (batch.expires_at - now)
    return may_be_late and entry.left is None


def _move(
    batch: Batch,
    plan: Plan,
    moves: Sequence[Move],
    manifest: Sequence[Shard],
    settled: set[int],
    now: int,
    stores: Stores,
    queues: Queues,
) -> bool:
    """False if the plan has changed meanwhile, or the batch: the next sweep looks again."""
    for move in moves:
        plan = plan.moved(move.numbers, move.lane, manifest, str(move.why), now)
    moved = {number for move in moves for number in move.numbers}
    changed = replace(batch, plan=plan)
    messages = [shard_message(changed, manifest[number]) for number in plan.due(settled) if number in moved]
    queues.send(messages)
    try:
        stores.batches.change_plan(batch, plan)
    except ConditionFailed:
        return False
    stores.rosters.enter(messages, batch.created_at)
    return True


def _lane_now(batch: Batch, look: Callable[[LaneId], LaneView], lane: Lane) -> LaneNow:
    owner = batch.account_id if batch.caller_pays else None
    view = look(LaneId(lane.provider, lane.model, owner, lane.mode))
    return LaneNow(view.health, view.pace.rate)
