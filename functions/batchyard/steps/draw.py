"""Draw: the next shards of a batch, for a worker that need not wait for their messages. A batch that has none left in
that lane is struck off the roster."""

from __future__ import annotations

from collections.abc import Set

from batchyard.adapters.aws.stores import Stores
from batchyard.core.batches import Status
from batchyard.core.keys import manifest_key
from batchyard.core.lanes import Lane
from batchyard.core.messages import ShardMessage, shard_message
from batchyard.core.sharding import MANIFEST_RECORD_BYTES, Plan, read_manifest

_AT_ONCE = 64
_RECORDS_AT_MOST = 512
"""Of the manifest, in one read."""


def draw(message: ShardMessage, tried: Set[int], *, stores: Stores) -> list[ShardMessage]:
    """The messages of some shards that have not reported yet, from the lane of the shard of `message`, those that come
    after it first, without those `tried`. None of a batch with a price limit: each of its shards asks for itself."""
    batch = stores.batches.get(message.batch, consistent=True)
    if batch is None or batch.plan is None or batch.status is not Status.IN_PROGRESS or batch.starts_nothing:
        return _none_left(message, stores)
    if batch.max_price_picousd is not None:
        return _none_left(message, stores)
    entry = batch.plan.lane_of(message.shard.number)
    if entry.lane != Lane(message.provider, message.model, message.mode):
        return _none_left(message, stores)  # moved since
    settled = stores.progress.taken(batch.id)
    if settled >= set(entry.numbers):
        return _none_left(message, stores)
    numbers = numbers_to_draw(batch.plan, message.shard.number, settled | tried, settled)
    if not numbers:
        return []
    first, last = min(numbers), max(numbers)
    start, length = first * MANIFEST_RECORD_BYTES, (last - first + 1) * MANIFEST_RECORD_BYTES
    key = manifest_key(batch.account_id, batch.id, batch.plan.run)
    shards = {shard.number: shard for shard in read_manifest(stores.objects.get(key, start, length))}
    return [shard_message(batch, shards[number]) for number in numbers]


def _none_left(message: ShardMessage, stores: Stores) -> list[ShardMessage]:
    stores.rosters.strike(message)
    return []


def numbers_to_draw(plan: Plan, number: int, excluded: Set[int], settled: Set[int]) -> list[int]:
    """Which shards to draw after shard `number`: of its lane, close to each other, none of those `excluded`. If the
    batch bounds how many run at once, only those whose predecessor is settled."""
    lane = plan.lane_of(number)
    end = lane.first_shard + lane.shards
    order = (*range(number + 1, end), *range(lane.first_shard, number + 1))
    numbers: list[int] = []
    for candidate in order:
        waits = plan.one_chain and candidate >= plan.stride and candidate - plan.stride not in settled
        if candidate in excluded or waits:
            continue
        if len(numbers) == _AT_ONCE or (numbers and abs(candidate - numbers[0]) >= _RECORDS_AT_MOST):
            break
        numbers.append(candidate)
    return numbers
