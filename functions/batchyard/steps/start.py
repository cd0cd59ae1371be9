"""Start: whether a shard of a batch with a price limit may run. What has settled counts as what it cost, what runs as
what it may cost.

If nothing runs and the next shard does not fit, the batch has reached its limit: it is marked, and its execution woken.
What was in flight may cost more than it was taken to; by that, and no more, a batch can exceed its limit.
"""

from __future__ import annotations

from batchyard.adapters.aws.stores import Stores
from batchyard.adapters.aws.workflow import Workflow
from batchyard.core.batches import Ending
from batchyard.core.errors import ConditionFailed
from batchyard.core.estimates import Room
from batchyard.core.messages import ShardMessage


def start(message: ShardMessage, *, stores: Stores, workflow: Workflow) -> Room:
    """Whether the shard may run now."""
    limit = message.max_price_picousd
    if limit is None:
        return Room.FREE
    room = stores.budgets.start(message.batch_id, [message.shard.number], message.estimate_picousd, limit)
    if room is Room.SPENT:
        _stop(message, stores, workflow)
    return room


def _stop(message: ShardMessage, stores: Stores, workflow: Workflow) -> None:
    batch = stores.batches.get(message.batch, consistent=True)
    if batch is None:
        return
    try:
        batch = stores.batches.reach_price(batch)
    except ConditionFailed:  # it is being cancelled, or is over
        return
    if batch.task_token is not None and not batch.is_doomed:
        workflow.wake(batch.task_token, Ending.PRICE_REACHED)
