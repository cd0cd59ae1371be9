"""What credits and price limits cost in calls of DynamoDB: less than a cent per million items."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import orjson
import pytest

from batchyard.adapters.aws.stores import Stores
from batchyard.adapters.aws.table import Put, Update
from batchyard.core.accounts import Account, ApiKey, Billing
from batchyard.core.batches import BatchRef, Status
from batchyard.core.files import File
from batchyard.core.lanes import Lane
from batchyard.core.ledger import top_up
from batchyard.core.sharding import LaneShards, Plan, progress_rows
from batchyard.core.usage import Tally
from batchyard.steps.create import create
from batchyard.steps.reserve import check_credits
from bench.cost import DYNAMODB_READ_UNIT, DYNAMODB_WRITE_UNIT
from simulation.memory_objects import MemoryObjects
from simulation.memory_table import MemoryTable
from tests.property.test_credit_races import TERMS, request
from tests.steps.running import ACCOUNT, NOW, RecordedWorkflow

ITEMS = 1000
"""Of a batch. Larger ones cost as much, whatever their size."""
SHARDS = 20
"""Into which a thousand items are cut."""


class Metered(MemoryTable):
    """Counts dollars: a write unit per KB of the row, two in a transaction; a read unit per 4 KB."""

    usd = 0.0

    def get(self, key: Any, *, consistent: bool = False) -> Any:
        self.usd += DYNAMODB_READ_UNIT * (1 if consistent else 0.5)
        return super().get(key, consistent=consistent)

    def update(self, key: Any, **change: Any) -> Any:
        row = super().update(key, **change)
        self.usd += DYNAMODB_WRITE_UNIT * _kilobytes(row)
        return row

    def transact(self, writes: Any) -> None:
        before = self.usd
        super().transact(writes)
        rows = [super(Metered, self).get(write.key) for write in writes if isinstance(write, (Put, Update))]
        is_transaction = len(writes) > 1
        self.usd = before + (sum(2 * DYNAMODB_WRITE_UNIT * _kilobytes(row) for row in rows) if is_transaction else 0)


def _kilobytes(row: Any) -> int:
    return -(-len(orjson.dumps(row, default=list)) // 1024)


def life(billing: Billing) -> float:
    """Dollars for a batch of a thousand items: made, validated, ended. Without what all batches cost alike."""
    table = Metered()
    stores = Stores.of(cast("Any", table), cast("Any", MemoryObjects()))
    account = Account(ACCOUNT, "a", NOW, billing=billing, daily_limit_picousd=10**15)
    stores.accounts.create(account, ApiKey("key_1", ACCOUNT, "default", "abcd", NOW), "hash")
    stores.ledger.top_up(ACCOUNT, top_up("first", 10**12, NOW))
    stores.files.put(File("file-1", ACCOUNT, "in.jsonl", "batch", 2, NOW, lines=1))
    table.usd = 0.0
    workflow = cast("Any", RecordedWorkflow())
    asked = replace(request(), reserve_picousd=None)
    batch = create(asked, BatchRef(ACCOUNT, "batch_1"), now=NOW, terms=TERMS, stores=stores, workflow=workflow)
    plan = Plan("run", ITEMS, SHARDS, (LaneShards(Lane("openai", "m"), 0, SHARDS, ITEMS),), 8, False, None)
    pays = billing is not Billing.FREE
    if pays:
        check_credits(stores.accounts.glance(ACCOUNT), 10**9, NOW, stores.ledger)
    batch = stores.batches.set_plan(batch, plan, "m", NOW, estimate_picousd=10**9, reserve=pays)
    batch = stores.batches.enter(batch, Status.FINALIZING, NOW)
    stores.batches.finish(batch, Status.COMPLETED, NOW, tally=Tally(succeeded=ITEMS, cost_picousd=10**8))
    return table.usd


def test_credits_cost_less_than_a_cent_per_million_items() -> None:
    """In batches of a thousand; in larger ones accordingly less, because nothing of it is done per item or shard."""
    more = life(Billing.PREPAID) - life(Billing.FREE)
    print(f"credits: {more * 1e6:.2f} dollars per million batches")
    assert 0 < more * (1_000_000 / ITEMS) < 0.01


def test_a_price_limit_costs_two_small_writes_a_shard() -> None:
    """Its row is small, because it names only the shards that run: so it stays below a cent per million items."""
    table = Metered()
    stores = Stores.of(cast("Any", table), cast("Any", MemoryObjects()))
    shards = 4000
    assert progress_rows(shards) == 16
    for number in range(shards):
        stores.budgets.start("batch_1", [number], 1, 10**9)
        if number >= 128:
            stores.budgets.settle("batch_1", number - 128, 1, 1)
    print(f"price limits: {table.usd * 100:.2f} cents per million items")
    assert table.usd == pytest.approx(2 * shards * DYNAMODB_WRITE_UNIT, rel=0.05)
    assert table.usd < 0.01
