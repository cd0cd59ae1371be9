"""Draw: the shards that a worker may take without their messages, and what becomes of those messages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from batchyard.adapters.aws.stores import Stores
from batchyard.core.batches import Status
from batchyard.core.keys import manifest_key
from batchyard.core.messages import ShardMessage, shard_message
from batchyard.core.sharding import read_manifest
from batchyard.core.usage import Tally
from batchyard.steps.draw import draw, numbers_to_draw
from batchyard.steps.settle import settle
from simulation.memory_objects import memory_objects
from simulation.memory_table import MemoryTable
from tests.steps.running import NOW, RecordedWorkflow, SentMessages, plan, start_batch


class Yard:
    """A batch of two lanes, of ten and of three shards, four in flight at once."""

    def __init__(self) -> None:
        self.stores = Stores.of(cast("Any", MemoryTable()), memory_objects())
        self.queues = SentMessages()
        self.batch = start_batch(self.stores.batches, self.stores.objects, plan({"a": 10, "b": 3}, stride=4))

    def message(self, number: int) -> ShardMessage:
        assert self.batch.plan is not None
        key = manifest_key(self.batch.account_id, self.batch.id, self.batch.plan.run)
        return shard_message(self.batch, read_manifest(self.stores.objects.get(key))[number])

    def settle(self, number: int, *, again: bool = False) -> None:
        claim = self.stores.shards.claim(self.batch.id, number, "one", NOW, NOW + 60)
        self.stores.shards.release(self.batch.id, claim)
        settle(
            self.message(number),
            claim,
            again,
            stores=self.stores,
            queues=cast("Any", self.queues),
            workflow=cast("Any", RecordedWorkflow()),
        )


def test_the_shards_that_come_next_are_drawn_first() -> None:
    """Of the same lane, none that has reported or was tried, with the messages that their own would be."""
    yard = Yard()
    for number in (4, 9):
        yard.stores.progress.take(yard.batch.id, number, Tally(), yard.message(0).progress_rows)
    drawn = draw(yard.message(2), {5}, stores=yard.stores)
    assert [message.shard.number for message in drawn] == [3, 6, 7, 8, 0, 1, 2]
    assert drawn[0] == yard.message(3)


def test_nothing_is_drawn_from_a_batch_that_is_over() -> None:
    """Cancelled, or at its deadline: no shard of it starts any more."""
    yard = Yard()
    yard.stores.batches.enter(yard.batch, Status.CANCELLING, NOW)
    yard.stores.rosters.enter([yard.message(0), yard.message(11)], NOW)
    assert draw(yard.message(2), set(), stores=yard.stores) == []
    assert [listed.message.model for listed in yard.stores.rosters.of(yard.message(0).provider)] == ["b"]


def test_a_batch_is_struck_off_the_roster_when_all_of_its_lane_has_settled() -> None:
    """Not while a shard is only tried, and not its other lanes."""
    yard = Yard()
    yard.stores.rosters.enter([yard.message(0), yard.message(10)], NOW)
    for number in range(9):
        yard.stores.progress.take(yard.batch.id, number, Tally(), yard.message(0).progress_rows)
    assert draw(yard.message(2), {9}, stores=yard.stores) == []
    assert len(yard.stores.rosters.of(yard.message(0).provider)) == 2
    yard.stores.progress.take(yard.batch.id, 9, Tally(), yard.message(0).progress_rows)
    assert draw(yard.message(2), set(), stores=yard.stores) == []
    assert [listed.message.model for listed in yard.stores.rosters.of(yard.message(0).provider)] == ["b"]


def test_a_bound_on_shards_at_once_holds() -> None:
    """In a batch with a concurrency hint a shard is drawn only when the one before it in its chain is settled."""
    hinted = replace(plan({"a": 10}, stride=2, one_chain=True), shard_concurrency=5)
    assert numbers_to_draw(hinted, 0, {0}, {0}) == [1, 2]


def test_many_shards_are_drawn_bit_by_bit() -> None:
    """A batch of a million items is not read whole, and what is read lies together."""
    many = plan({"a": 4_000})
    settled = set(range(1, 4_000)) - {10, 20, 3_000}
    assert numbers_to_draw(many, 0, settled | {0}, settled) == [10, 20]
    assert len(numbers_to_draw(many, 0, {0}, set())) == 64


def test_a_shard_that_has_reported_sends_no_second_follower() -> None:
    """The message of a shard that was drawn comes when all is done; or else every one would breed another."""
    yard = Yard()
    yard.settle(1)
    assert yard.queues.numbers == [5]
    yard.settle(1, again=True)
    assert yard.queues.numbers == [5]
    yard.settle(2, again=True)
    assert yard.queues.numbers == [5, 6], "whoever settled it died before it was reported"


@pytest.mark.parametrize("number", [0, 12])
def test_whether_a_shard_has_reported_is_read_from_its_row(number: int) -> None:
    """Each shard reports to one row of several."""
    yard = Yard()
    assert not yard.stores.progress.has_taken(yard.batch.id, number, 2)
    yard.stores.progress.take(yard.batch.id, number, Tally(), 2)
    assert yard.stores.progress.has_taken(yard.batch.id, number, 2)
    assert not yard.stores.progress.has_taken(yard.batch.id, number + 2, 2)
