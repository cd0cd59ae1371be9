"""Fence: bring the unsettled shards of a batch that is cancelled, expired or broken to a stop.

Each call looks at every shard once. A shard that nobody works on is sealed. One with a live owner is fenced: the owner
notices at its next write, flushes what it holds, and gives up. When `drain_seconds` have passed since the first round,
the remaining shards are sealed, whoever works on them. Then nothing can change any more, and Finalize may read.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from batchyard.adapters.aws.shards import Shards
from batchyard.adapters.aws.stores import Stores
from batchyard.core.batches import BatchRef, Ending
from batchyard.core.shards import LeaseHeld, ShardFenced, ShardSettled, ShardState

_THREADS = 16


@dataclass(frozen=True, slots=True)
class Fenced:
    """`live`: shards whose owner may still flush."""

    live: int

    @property
    def drained(self) -> bool:
        return self.live == 0


def fence(ref: BatchRef, ending: Ending, *, since: int, now: int, drain_seconds: int, stores: Stores) -> Fenced:
    """One round. `ending`: what the batch is stopped for. `since`: unix second of the first round. A batch without a
    plan has nothing to stop."""
    batch, shards = stores.batches.get(ref, consistent=True), stores.shards
    if batch is None or batch.plan is None:
        return Fenced(0)
    over = {row.number for row in shards.rows(ref.batch_id) if row.state is not ShardState.OPEN}
    drain_is_over = now >= since + drain_seconds

    def stop(number: int) -> bool:
        """Whether the shard still has a live owner."""
        try:
            shards.seal(ref.batch_id, number, ending, lease_before=None if drain_is_over else now)
        except (ShardSettled, ShardFenced, LeaseHeld):
            return _fence_live_owner(shards, ref.batch_id, number, ending)
        return False

    with ThreadPoolExecutor(_THREADS) as pool:
        live = sum(pool.map(stop, [n for n in range(batch.plan.shards) if n not in over]))
    return Fenced(live)


def _fence_live_owner(shards: Shards, batch_id: str, number: int, ending: Ending) -> bool:
    try:
        shards.fence(batch_id, number, ending)
    except (ShardSettled, ShardFenced):
        return False
    return True
