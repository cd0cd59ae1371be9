"""A batch with a price limit: it starts shards while they fit, and what it costs is not more than the limit but by what
was in flight. Whole batches with the real steps, in memory and by a clock of their own."""

from __future__ import annotations

from typing import cast

import pytest

from batchyard.adapters.aws.budgets import Budgets
from batchyard.adapters.aws.job_starter import JobStarter
from batchyard.adapters.aws.table import Key, Table
from batchyard.core.batches import Batch, BatchRef, Ending, Status
from batchyard.core.estimates import Room
from batchyard.core.keys import file_key
from batchyard.steps.fence import Drain, fence
from batchyard.steps.finalize import finalize
from simulation.memory_table import MemoryTable
from simulation.yard import Yard
from tests.invariants import check_files, check_rows
from tests.steps.running import SentJobs

ITEMS, EACH = 3000, 2
"""So many pico-dollars costs an item of the simulated provider."""
REF = BatchRef("acct_a", "batch_a")


def life(limit: int, estimate: int) -> tuple[Yard, Batch]:
    """A batch of 3000 items from Dispatch to its end, and its books checked."""
    yard = Yard(rate=500, workers=4)
    try:
        yard.add(REF.batch_id, ITEMS, max_price_picousd=limit, estimate_picousd=estimate)
        yard.run(100_000)
        ending = yard.endings[REF.batch_id]
        now = int(yard.loop.clock())
    finally:
        yard.close()
    if ending is not Ending.COMPLETED:
        fenced = fence(
            REF,
            ending,
            since=now,
            now=now,
            drain=Drain(60, 60),
            stores=yard.stores,
            job_starter=cast("JobStarter", SentJobs()),
        )
        assert fenced.drained, "a shard was in flight when the batch had reached its limit"
    batch = finalize(REF, ending, clock=lambda: now, stores=yard.stores)
    check(yard, batch)
    return yard, batch


def check(yard: Yard, batch: Batch) -> None:
    output, errors = (
        yard.stores.objects.get(file_key(REF.account_id, each)) if each else None
        for each in (batch.output_file_id, batch.error_file_id)
    )
    checked = check_files([f"item-{n}" for n in range(ITEMS)], output, errors)
    assert checked.codes.total() == checked.codes["max_price_reached"], checked.codes
    table = yard.stores.batches._table
    row = table.get(Key(f"account#{REF.account_id}", f"batch#{REF.batch_id}"))
    assert row is not None
    check_rows(row, table.query(f"batch#{REF.batch_id}", prefix="shard#"))
    assert batch.tally.cost_picousd == EACH * checked.succeeded
    budget = table.get(Key(f"batch#{REF.batch_id}", "budget")) or {}
    assert (budget.get("committed_picousd", 0), budget.get("running")) == (batch.tally.cost_picousd, None)


def test_a_limit_that_is_the_estimate_stops_nothing() -> None:
    """The usual case: a quote that was accepted."""
    _, batch = life(limit=ITEMS * EACH, estimate=ITEMS * EACH)
    assert (batch.status, batch.tally.succeeded, batch.price_reached) == (Status.COMPLETED, ITEMS, False)


def test_an_estimate_that_is_too_high_stops_nothing() -> None:
    """Fewer shards run at once, and what they turn out not to cost lets others start."""
    _, batch = life(limit=ITEMS * EACH + 1000, estimate=ITEMS * EACH * 3)
    assert (batch.status, batch.tally.succeeded) == (Status.COMPLETED, ITEMS)


def test_a_batch_stops_at_its_limit() -> None:
    """With a good estimate it costs no more than it may, and most of that; the rest fails and says why."""
    limit = ITEMS * EACH // 2
    yard, batch = life(limit, estimate=ITEMS * EACH)
    assert batch.status is Status.COMPLETED and batch.price_reached
    assert limit * 0.8 < batch.tally.cost_picousd <= limit
    assert batch.tally.failed == ITEMS - batch.tally.succeeded == ITEMS - yard.provider.succeeded


def test_only_what_was_in_flight_can_exceed_the_limit() -> None:
    """Items that cost three times what they were taken to: none is started once the limit is reached."""
    limit = ITEMS * EACH // 4
    _, batch = life(limit, estimate=ITEMS * EACH // 3)
    assert batch.price_reached
    assert limit < batch.tally.cost_picousd <= 3 * limit


def test_a_shard_that_does_not_fit_alone_is_not_started() -> None:
    """Nothing is spent; everything fails and says why."""
    yard, batch = life(limit=10, estimate=ITEMS * EACH)
    assert (batch.tally.cost_picousd, batch.tally.failed, yard.provider.received) == (0, ITEMS, 0)


@pytest.mark.parametrize(
    ("running", "estimate", "limit", "room"),
    [
        ([], 5, 5, Room.FREE),
        ([], 6, 5, Room.SPENT),
        ([(7, 3)], 2, 5, Room.FREE),
        ([(7, 3)], 3, 5, Room.FULL),
        ([(7, 3)], 9, 5, Room.FULL),
        ([(1, 5)], 5, 5, Room.FREE),
    ],
    ids=["fits", "never", "fits beside", "later", "much later", "runs already"],
)
def test_what_may_start(running: list[tuple[int, int]], estimate: int, limit: int, room: Room) -> None:
    """Shard 1, beside those that run (number, what they may cost)."""
    budgets = Budgets(cast("Table", MemoryTable()))
    for number, cost in running:
        assert budgets.start("batch_a", [number], cost, 100) is Room.FREE
    assert budgets.start("batch_a", [1], estimate, limit) is room


def test_a_shard_is_reported_once() -> None:
    """What it cost replaces what it might have cost, however often it is said."""
    budgets = Budgets(cast("Table", MemoryTable()))
    budgets.start("batch_a", [1, 2], 10, 10)
    assert budgets.start("batch_a", [3], 8, 10) is Room.FULL
    for _ in range(3):
        budgets.settle("batch_a", 1, 5, 1)
    assert budgets.start("batch_a", [3], 5, 10) is Room.FULL
    assert budgets.start("batch_a", [4], 4, 10) is Room.FREE
