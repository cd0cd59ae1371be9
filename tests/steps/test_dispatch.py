"""Dispatch and Settle: every shard is sent once its turn comes, and the last one wakes the execution."""

from __future__ import annotations

import pytest

from batchyard.adapters.aws.stores import Stores
from batchyard.core.batches import Batch, BatchRef, Ending, Status
from batchyard.core.messages import ShardMessage
from batchyard.core.sharding import Plan
from batchyard.core.shards import ShardRow
from batchyard.core.usage import Tally
from batchyard.steps.dispatch import dispatch
from batchyard.steps.settle import settle
from tests.steps.running import (
    ITEMS_PER_SHARD,
    NOW,
    RecordedWorkflow,
    SentMessages,
    create_batch,
    plan,
    sent_jobs,
    start_batch,
)


class Engine:
    """Dispatch and Settle on real rows; what a worker would do is one flush per shard."""

    def __init__(self, stores: Stores) -> None:
        self.stores, self.batches, self.shards = stores, stores.batches, stores.shards
        self.queues, self.workflow = SentMessages(), RecordedWorkflow()

    def start(self, plan: Plan) -> Batch:
        return start_batch(self.batches, self.stores.objects, plan)

    def dispatch(self, batch: Batch, token: str = "token") -> int:
        return dispatch(
            batch.ref,
            token,
            stores=self.stores,
            queues=self.queues,  # type: ignore[arg-type]
            job_starter=sent_jobs(),
            workflow=self.workflow,  # type: ignore[arg-type]
        )

    def finish_shard(self, message: ShardMessage) -> ShardRow:
        claim = self.shards.claim(message.batch_id, message.shard.number, "worker", NOW, NOW + 60)
        return self.shards.flush(
            message.batch_id,
            claim,
            part_key=f"part-{message.shard.number}",
            done=b"\xff\x03",
            tally=Tally(succeeded=ITEMS_PER_SHARD),
            lease_until=NOW + 60,
            settled=True,
        )

    def settle(self, message: ShardMessage, row: ShardRow) -> None:
        settle(
            message,
            row,
            stores=self.stores,
            queues=self.queues,  # type: ignore[arg-type]
            workflow=self.workflow,  # type: ignore[arg-type]
        )


@pytest.fixture
def engine(stores: Stores) -> Engine:
    return Engine(stores)


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize(
    "layout",
    [plan({"a": 20}), plan({"a": 9, "b": 4}, stride=3), plan({"a": 9, "b": 4}, stride=2, one_chain=True)],
    ids=["all at once", "a chain per lane", "one chain"],
)
def test_every_shard_is_sent_and_the_last_one_wakes_the_execution(engine: Engine, layout: Plan, twice: bool) -> None:
    """Sent: each shard once (settling twice may send it twice, nothing else); woken: only after the last one."""
    batch = engine.start(layout)
    engine.dispatch(batch)
    for _ in range(layout.shards):
        assert engine.workflow.woken == []
        handled = {row.number for row in engine.shards.rows(batch.id)}
        message = next(m for m in engine.queues.messages if m.shard.number not in handled)
        row = engine.finish_shard(message)
        for _again in range(2 if twice else 1):
            engine.settle(message, row)
    assert set(engine.queues.numbers) == set(range(layout.shards))
    assert set(engine.workflow.woken) == {("token", Ending.COMPLETED)}
    assert engine.stores.progress.total(batch.id).succeeded == layout.items
    if not twice:
        assert len(engine.queues.numbers) == layout.shards
        assert len(engine.workflow.woken) == 1


def test_no_more_than_the_stride_is_in_flight(engine: Engine) -> None:
    """A ceiling of two shards for the batch holds across its lanes, from first to last."""
    batch = engine.start(plan({"a": 4, "b": 3}, stride=2, one_chain=True))
    engine.dispatch(batch)
    done = 0
    while done < 7:
        in_flight = len(engine.queues.messages) - done
        assert in_flight <= 2
        message = engine.queues.messages[done]
        engine.settle(message, engine.finish_shard(message))
        done += 1


def test_messages_name_their_own_lane(engine: Engine) -> None:
    """Provider and model of a message are those of its shard, also for a follower in another lane."""
    batch = engine.start(plan({"a": 2, "b": 2}, stride=1, one_chain=True))
    engine.dispatch(batch)
    for number in range(4):
        message = engine.queues.messages[number]
        assert (message.model, message.shard.number) == ("a" if number < 2 else "b", number)
        engine.settle(message, engine.finish_shard(message))


def test_a_batch_enters_the_roster_of_its_provider(engine: Engine) -> None:
    """Once for each of its lanes, so that workers that are busy learn of it."""
    batch = engine.start(plan({"a": 3, "b": 3}))
    engine.dispatch(batch)
    listed = engine.stores.rosters.of(engine.queues.messages[0].provider)
    assert {(each.message.model, each.message.shard.number) for each in listed} == {("a", 2), ("b", 5)}


def test_a_second_execution_sends_only_what_is_due(engine: Engine) -> None:
    """Settled shards and those that wait for a predecessor are not sent again."""
    batch = engine.start(plan({"a": 6}, stride=2))
    engine.dispatch(batch)
    first = engine.queues.messages[0]
    engine.finish_shard(first)
    engine.queues.messages.clear()
    engine.dispatch(batch, "token-2")
    assert engine.queues.numbers == [1, 2]


def test_a_second_execution_of_a_settled_batch_goes_on_at_once(engine: Engine) -> None:
    """Nothing left to send: the new token is used right away."""
    batch = engine.start(plan({"a": 1}))
    engine.dispatch(batch)
    engine.finish_shard(engine.queues.messages[0])
    engine.dispatch(batch, "token-2")
    assert engine.workflow.woken == [("token-2", Ending.COMPLETED)]


def test_a_cancelled_batch_is_not_dispatched(engine: Engine) -> None:
    """The execution hears of the cancel through its token; nothing is sent."""
    batch = engine.start(plan({"a": 3}))
    engine.batches.enter(batch, Status.CANCELLING, NOW + 2)
    engine.dispatch(batch)
    assert engine.queues.numbers == []
    assert engine.workflow.woken == [("token", Ending.CANCELLED)]


def test_the_last_shard_of_a_cancelled_batch_wakes_it_as_cancelled(engine: Engine) -> None:
    """If a cancel died before it woke the execution, the shard that settles last wakes it; no follower is sent."""
    batch = engine.start(plan({"a": 2}, stride=1))
    engine.dispatch(batch)
    engine.batches.enter(engine.batches.get(batch.ref) or batch, Status.CANCELLING, NOW + 2)
    message = engine.queues.messages[0]
    engine.settle(message, engine.finish_shard(message))
    assert engine.queues.numbers == [0]


def test_a_stale_read_does_not_end_a_chain(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A first shard that settles at once must not see the batch as it was before its plan: nobody else would ever send
    the follower."""
    before = create_batch(engine.batches)
    batch = start_batch(engine.batches, engine.stores.objects, plan({"a": 2}, stride=1), before)
    engine.dispatch(batch)
    get = engine.batches.get

    def eventually_consistent(ref: BatchRef, *, consistent: bool = False) -> Batch | None:
        return get(ref, consistent=True) if consistent else before

    monkeypatch.setattr(engine.batches, "get", eventually_consistent)
    message = engine.queues.messages[0]
    engine.settle(message, engine.finish_shard(message))
    assert engine.queues.numbers == [0, 1]
