"""Settle: what follows when every item of a shard has its result.

Report the shard's figures to its progress row, send the shard that follows it, and wake the state machine when it was
the last one. All of it may be repeated, so whoever finds a shard settled runs this again. The follower is sent before
the figures: a shard that has reported needs no second follower, or duplicates would breed.
"""

from __future__ import annotations

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.queues import Queues
from batchyard.adapters.aws.stores import Stores
from batchyard.adapters.aws.workflow import Workflow
from batchyard.core.batches import BatchRef, Status
from batchyard.core.endings import asked_of
from batchyard.core.keys import manifest_key
from batchyard.core.messages import ShardMessage, shard_message
from batchyard.core.sharding import MANIFEST_RECORD_BYTES, Shard, read_manifest
from batchyard.core.shards import ShardRow


def settle(
    message: ShardMessage,
    row: ShardRow,
    again: bool = False,
    *,
    stores: Stores,
    queues: Queues,
    workflow: Workflow,
) -> None:
    """`row`: the shard's row, settled. `again`: the caller found the shard settled; whoever settled it may have done
    what follows, or may have died before that."""
    progress = stores.progress
    if message.max_price_picousd is not None:
        stores.budgets.settle(message.batch_id, row.number, message.estimate_picousd, row.tally.cost_picousd)
    if message.follower is not None and not (
        again and progress.has_taken(message.batch_id, row.number, message.progress_rows)
    ):
        _send_follower(message, message.follower, stores, queues)
    reported = progress.take(message.batch_id, row.number, row.tally, message.progress_rows)
    row_is_full = progress.row_is_full(reported, row.number, message.shards, message.progress_rows)
    if row_is_full and progress.all_taken(message.batch_id, message.shards):
        _wake(message, stores.batches, workflow)


def read_shard(objects: Objects, ref: BatchRef, run: str, number: int) -> Shard:
    """Record `number` of the batch's manifest."""
    key = manifest_key(ref.account_id, ref.batch_id, run)
    (shard,) = read_manifest(objects.get(key, number * MANIFEST_RECORD_BYTES, MANIFEST_RECORD_BYTES))
    return shard


def _send_follower(message: ShardMessage, number: int, stores: Stores, queues: Queues) -> None:
    batch = stores.batches.get(message.batch, consistent=True)
    if batch is None or batch.status is not Status.IN_PROGRESS or batch.starts_nothing:
        return
    if batch.revision and batch.plan is not None:
        taken = stores.progress.taken(message.batch_id, consistent=True)
        if number in taken:
            later = batch.plan.follower(number, taken)
            if later is None:
                return
            number = later
    shard = read_shard(stores.objects, message.batch, message.run, number)
    queues.send([shard_message(batch, shard)])


def _wake(message: ShardMessage, batches: Batches, workflow: Workflow) -> None:
    batch = batches.get(message.batch, consistent=True)
    if batch is not None and batch.task_token is not None:
        workflow.wake(batch.task_token, asked_of(batch))
