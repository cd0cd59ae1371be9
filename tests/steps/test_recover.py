"""Recover: shards whose owner died are sent again, and no others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from batchyard.adapters.aws.shards import Shards
from batchyard.adapters.aws.stores import Stores
from batchyard.core.batches import Batch, Ending, Status
from batchyard.core.errors import LeaseLost
from batchyard.core.shards import LOST_AFTER_SECONDS, ShardRow
from batchyard.core.usage import Tally
from batchyard.steps.recover import neighbours, recover
from simulation.memory_objects import memory_objects
from simulation.memory_table import MemoryTable
from tests.steps.running import NOW, SentMessages, plan, start_batch

LEASE_SECONDS = 60
LONG_AFTER = NOW + LEASE_SECONDS + LOST_AFTER_SECONDS + 1
SHARDS = 6


class Yard:
    """A batch of six shards, three in flight at once, on rows in memory."""

    def __init__(self) -> None:
        self.table = MemoryTable()
        self.stores = Stores.of(cast("Any", self.table), memory_objects())
        self.queues = SentMessages()
        self.batch = start_batch(self.stores.batches, self.stores.objects, plan({"a": SHARDS}, stride=3))

    @property
    def shards(self) -> Shards:
        return self.stores.shards

    def claim(self, number: int, owner: str = "one", at: int = NOW) -> ShardRow:
        return self.shards.claim(self.batch.id, number, owner, at, at + LEASE_SECONDS)

    def flush(self, claim: ShardRow, *, settled: bool = False, at: int = NOW) -> ShardRow:
        return self.shards.flush(
            self.batch.id,
            claim,
            part_key=f"part-{claim.number}-{claim.version}-{at}",
            done=b"",
            tally=Tally(),
            lease_until=at + LEASE_SECONDS,
            settled=settled,
        )

    def report(self, number: int) -> None:
        assert self.batch.plan is not None
        self.stores.progress.take(self.batch.id, number, Tally(), self.batch.plan.progress_rows)

    def recover(self, now: int = LONG_AFTER, batch: Batch | None = None) -> list[int]:
        return recover(batch or self.batch, now=now, stores=self.stores, queues=cast("Any", self.queues))


@pytest.fixture
def yard() -> Yard:
    return Yard()


def test_a_shard_whose_owner_died_is_sent_again_once(yard: Yard) -> None:
    """Some seconds after its lease ended, not before; the next sweep sends it no more, and anybody may claim it."""
    yard.claim(1)
    assert yard.recover(LONG_AFTER - 1) == []
    assert yard.recover() == [1]
    assert yard.queues.numbers == [1]
    assert yard.recover(LONG_AFTER + 60) == []
    assert yard.claim(1, "two", LONG_AFTER).owner == "two"
    assert yard.queues.numbers == [1]


def test_a_shard_that_dies_again_is_sent_again(yard: Yard) -> None:
    """One message for each owner that was lost."""
    now = NOW
    for _ in range(3):
        yard.claim(0, at=now)
        now += LEASE_SECONDS + LOST_AFTER_SECONDS + 1
        assert yard.recover(now) == [0]
    assert yard.queues.numbers == [0, 0, 0]


def test_what_others_look_after_is_left_alone(yard: Yard) -> None:
    """Never claimed, handed back, or under a lease that was renewed: the message of each is alive."""
    claim = yard.claim(1)
    yard.shards.release(yard.batch.id, claim)
    alive = yard.claim(2)
    yard.shards.heartbeat(yard.batch.id, alive, LONG_AFTER)
    assert yard.recover() == []
    assert yard.queues.numbers == []


def test_messages_that_died_with_their_workers_are_sent_again(yard: Yard) -> None:
    """Due, in nobody's hands, and no message waits in the queue: they were received and never claimed, or were handed
    back and received again. What somebody holds is left alone, and so is everything while messages wait."""
    yard.claim(0, at=LONG_AFTER)
    yard.shards.release(yard.batch.id, yard.claim(1))
    yard.queues.none_waiting = True
    assert yard.recover() == [1, 2]
    assert yard.queues.numbers == [1, 2]
    yard.queues.none_waiting = False
    assert yard.recover() == []


def test_a_batch_that_was_just_sent_is_given_time(yard: Yard) -> None:
    """SQS says with a delay what waits in a queue."""
    yard.queues.none_waiting = True
    assert yard.recover(NOW + 29) == []
    assert yard.recover(NOW + 40) == [0, 1, 2]


def test_who_sends_again_enters_the_roster_again(yard: Yard) -> None:
    """It may have been struck off, or never have been there."""
    yard.claim(1)
    assert yard.recover() == [1]
    assert [listed.message.shard.number for listed in yard.stores.rosters.of("openai")] == [1]


def test_a_shard_that_is_not_due_is_not_looked_at(yard: Yard) -> None:
    """Reported ones are done; those behind one that runs still wait for it."""
    yard.flush(yard.claim(0), settled=True)
    yard.report(0)
    yard.claim(4)
    assert yard.recover() == []


def test_a_settled_shard_that_nobody_reported_is_sent_again(yard: Yard) -> None:
    """Its owner died between its last flush and the report: without a message its follower would not start."""
    yard.flush(yard.claim(2), settled=True)
    assert yard.recover() == [2]
    assert yard.recover(LONG_AFTER + 60) == []


def test_a_fenced_or_sealed_shard_is_not_sent(yard: Yard) -> None:
    """Whoever stopped it sees to it."""
    yard.claim(0)
    yard.claim(1)
    yard.shards.fence(yard.batch.id, 0, Ending.CANCELLED)
    yard.shards.seal(yard.batch.id, 1, Ending.CANCELLED)
    assert yard.recover() == []


@pytest.mark.parametrize(
    "changes",
    [{"status": Status.CANCELLING}, {"status": Status.FINALIZING}, {"plan": None}, {"expires_at": LONG_AFTER}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_batch_that_does_not_run_costs_no_read(
    yard: Yard, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it may be sent any more."""
    yard.claim(0)
    monkeypatch.setattr(yard.table, "query", None)
    assert yard.recover(batch=replace(yard.batch, **changes)) == []


def test_an_owner_that_wakes_up_keeps_its_shard(yard: Yard) -> None:
    """It was paused, not dead: its next write takes the lease back. Overtaken by another one it writes nothing."""
    claim = yard.claim(0)
    assert yard.recover() == [0]
    assert yard.flush(claim, at=LONG_AFTER).lease_until == LONG_AFTER + LEASE_SECONDS
    later = LONG_AFTER + LEASE_SECONDS + LOST_AFTER_SECONDS + 1
    assert yard.recover(later) == [0]
    yard.claim(0, "two", later)
    with pytest.raises(LeaseLost):
        yard.flush(claim, at=later)


def test_a_shard_that_is_claimed_meanwhile_keeps_its_lease(yard: Yard) -> None:
    """Between the read and the note of the sweep the message was there already."""
    row = yard.claim(0)
    claimed = yard.claim(0, "two", LONG_AFTER)
    assert not yard.shards.forget_lease(yard.batch.id, row)
    assert yard.shards.get(yard.batch.id, 0) == claimed


def test_a_sweep_that_dies_between_its_two_writes_sends_once_more(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sent, but not noted: the next sweep sends it again, and it is as harmless as any message that comes twice."""
    yard.claim(0)
    with monkeypatch.context() as patch:
        patch.setattr(yard.shards, "forget_lease", None)
        with pytest.raises(TypeError):
            yard.recover()
    assert yard.recover() == [0]
    assert yard.recover() == []
    assert yard.queues.numbers == [0, 0]


def test_suspicions_outlive_the_owner(yard: Yard) -> None:
    """Being sent again is no handing back: who crashed it is still to be found."""
    claim = yard.claim(0)
    yard.shards.heartbeat(yard.batch.id, claim, NOW + LEASE_SECONDS, suspect=3, suspicions=2)
    assert yard.recover() == [0]
    again = yard.claim(0, "two", LONG_AFTER)
    assert (again.attempts, again.suspect, again.suspicions) == (2, 3, 2)


def test_rows_that_are_close_are_read_together() -> None:
    """One query for a window of shards, another one for a straggler far behind it."""
    assert neighbours([]) == []
    assert neighbours([0, 1, 5, 1000, 1001]) == [[0, 1, 5], [1000, 1001]]
