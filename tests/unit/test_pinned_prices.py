"""Prices that a quote has pinned go with its batch, whatever the catalogue says by then."""

from __future__ import annotations

from dataclasses import replace

from batchyard.core.batches import Batch, Status
from batchyard.core.lanes import Lane, Mode
from batchyard.core.messages import ShardMessage, shard_message
from batchyard.core.requests import BatchRequest
from batchyard.core.sharding import LaneShards, Plan, Shard
from batchyard.core.usage import PinnedPrice, Price

PINNED = PinnedPrice("openai", "m", Price(1, 2, 3, None, ((128, Price(5, 6, 7)),)))
PLAN = Plan("run", 4, 1, (LaneShards(Lane("openai", "m"), 0, 1, 4),), 8, False, None)
BATCH = Batch("batch_1", "acct_a", "batchrouter", "/v1/responses", "file-1", "24h", Status.IN_PROGRESS, 1, 2, plan=PLAN)
SHARD = Shard(0, 0, 0, 1, 4, 0)


def test_a_batch_keeps_the_prices_of_its_quote() -> None:
    """In its row and in each message, in every mode; a lane that the quote did not name has none."""
    batch = replace(BATCH, prices=(PINNED,))
    assert Batch.from_row(batch.to_row()) == batch
    message = shard_message(batch, SHARD)
    assert message.price == PINNED.price
    assert ShardMessage.from_json(message.to_json()) == message
    assert batch.pinned_price(Lane("openai", "m", Mode.NATIVE)) == PINNED.price
    assert batch.pinned_price(Lane("openai", "other")) is None
    assert batch.pinned_price(Lane("azure", "m")) is None


def test_without_a_quote_the_catalogue_counts() -> None:
    """Then no message names a price."""
    assert shard_message(BATCH, SHARD).price is None


def test_what_came_of_a_quote_makes_no_other_request() -> None:
    """A repeat is known again, although prices or credits have changed since."""
    asked = BatchRequest("batchrouter", "/v1/responses", "file-1", quote_id="qlock_1", max_price_picousd=9)
    assert replace(asked, prices=(PINNED,), reserve_picousd=7).fingerprint == asked.fingerprint
    assert replace(asked, max_price_picousd=8).fingerprint != asked.fingerprint
