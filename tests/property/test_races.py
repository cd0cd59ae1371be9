"""A batch whose workers, executions and customer all act at once, in any order, pausing and dying anywhere: it ends,
each item has one line in one file, the figures are its shards', its account has paid for what was done, and nothing
that comes late moves any of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.ledger import Ledger
from batchyard.adapters.aws.progress import Progress
from batchyard.adapters.aws.shards import Shards
from batchyard.adapters.aws.stores import Stores
from batchyard.adapters.aws.table import Key, Table
from batchyard.core.accounts import Billing
from batchyard.core.batches import Batch, Ending, Status
from batchyard.core.endings import asked_of
from batchyard.core.errors import BooksDoNotBalance, ConditionFailed, Conflict, LeaseLost
from batchyard.core.items import Item, LineError, work_line
from batchyard.core.keys import file_key, manifest_key, part_key, work_key
from batchyard.core.lanes import Lane
from batchyard.core.ledger import top_up
from batchyard.core.messages import ShardMessage
from batchyard.core.parts import encode_part
from batchyard.core.results import Outcome, Result, tally
from batchyard.core.sharding import LaneShards, Plan, Shard, manifest_record
from batchyard.core.shards import ClaimRefused, ShardRow, is_done, mark_done
from batchyard.core.usage import Usage
from batchyard.steps.cancel import cancel
from batchyard.steps.dispatch import dispatch
from batchyard.steps.fence import Drain, fence
from batchyard.steps.finalize import finalize
from batchyard.steps.settle import settle
from local.table import create_table
from simulation.memory_objects import MemoryObjects
from simulation.memory_table import MemoryTable
from tests.invariants import check_credits, check_files, check_rows
from tests.steps.running import ACCOUNT, BATCH, BATCH_ID, NOW, SentMessages, create_batch, sent_jobs

SHARDS, ITEMS_PER_SHARD = 4, 2
ITEMS = SHARDS * ITEMS_PER_SHARD
CREDITS = 200
"""A batch costs up to 144; what is reserved for it may be less or more."""
LEASE_SECONDS = 60
DRAIN_SECONDS = 60
WINDOW_SECONDS = 1500


class Dies(Exception):
    """The process that made a call has died in the middle of it."""


@pytest.fixture(scope="module")
def moto_table() -> Iterator[Table]:
    with pytest.MonkeyPatch.context() as environment, mock_aws():
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "test")
        yield create_table(boto3.client("dynamodb", region_name="us-east-1"), "races")


@dataclass
class Owner:
    """A worker that has claimed a shard, as it sees it."""

    message: ShardMessage
    row: ShardRow
    parts: int = 0


@dataclass
class Execution:
    """One execution of the state machine: where it is, and what it waits for."""

    token: str
    state: str = "Validate"
    ending: Ending = Ending.COMPLETED
    fenced_since: int = 0


@dataclass
class Woken:
    """Stands for `Workflow`: the first ending that a token is given counts."""

    endings: dict[str, Ending] = field(default_factory=dict)

    def wake(self, task_token: str, ending: Ending) -> None:
        self.endings.setdefault(task_token, ending)


class Mortal:
    """Passes calls on to `target`; if `random` says so the caller dies, before or after the call has had its effect."""

    def __init__(self, target: Any, random: Random, chance: float) -> None:
        self._target, self._random, self._chance = target, random, chance

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._target, name)
        if not callable(attribute):
            return attribute

        def call(*args: Any, **kwargs: Any) -> Any:
            fate = self._random.random()
            if fate < self._chance / 2:
                raise Dies
            answer = attribute(*args, **kwargs)
            if fate < self._chance:
                raise Dies
            return answer

        return call


class World:
    """One batch and all that act on it. `act` lets one of them do something; `end` brings the batch to its end."""

    def __init__(self, random: Random, table: Any) -> None:
        self.random = random
        self.now = NOW
        self.table = table
        for pk in (f"account#{ACCOUNT}", f"batch#{BATCH_ID}", "open"):
            for row in list(self.table.query(pk)):
                self.table.delete(Key(pk, row["sk"]))
        self.objects = MemoryObjects()
        self.queues, self.woken = SentMessages(), Woken()
        self.batches, self.shards, self.progress = Batches(self.table), Shards(self.table), Progress(self.table)
        self.owners: list[Owner] = []
        self.executions = [Execution("token-0")]
        self.started = 1
        self.attempts = 0
        self._make_batch()

    def _make_batch(self) -> None:
        lines = [work_line(Item(n, f"id-{n}", "m", b"{}")) for n in range(ITEMS)]
        size = len(lines[0]) * ITEMS_PER_SHARD
        manifest = [
            Shard(n, n * 2 // SHARDS, n * size, size, ITEMS_PER_SHARD, n * ITEMS_PER_SHARD) for n in range(SHARDS)
        ]
        self.objects.put(work_key(ACCOUNT, BATCH_ID, "run"), b"".join(lines))
        self.objects.put(manifest_key(ACCOUNT, BATCH_ID, "run"), b"".join(map(manifest_record, manifest)))
        half = SHARDS // 2
        lanes = tuple(LaneShards(Lane("openai", f"m{n}"), n * half, half, half * ITEMS_PER_SHARD) for n in range(2))
        plan = Plan("run", ITEMS, SHARDS, lanes, 1, self.random.random() < 0.5, None)
        Ledger(self.table).top_up(ACCOUNT, top_up("first", CREDITS, NOW))
        batch = create_batch(self.batches, billing=Billing.PREPAID)
        self.batches.set_plan(batch, plan, None, NOW, estimate_picousd=self.random.randint(1, CREDITS), reserve=True)
        key = Key(f"account#{ACCOUNT}", f"batch#{BATCH_ID}")
        self.table.update(key, set={"expires_at": NOW + WINDOW_SECONDS})

    def batch(self) -> Batch:
        return self.batches.current(BATCH)

    def check_credits(self) -> None:
        """The account has paid for what was done, once."""
        pk = f"account#{ACCOUNT}"
        row = self.table.get(Key(pk, "balance"))
        check_credits(row, self.table.query(pk, prefix="ledger#"), self.table.query(pk, prefix="batch#"))

    def act(self) -> None:
        acts: list[tuple[int, Callable[[], None]]] = [
            (6, self._deliver),
            (6, self._flush),
            (1, self._heartbeat),
            (1, self._release),
            (8, self._step),
            (3, self._wait),
            (1, self._sweep),
        ]
        if self.random.random() < 0.006:
            acts = [(2, self._cancel), (1, self._doom)]
        weights, choices = zip(*acts, strict=True)
        with suppress(Dies):
            self.random.choices(choices, weights)[0]()

    def _stores(self, **mortal: Any) -> Stores:
        """Stores whose calls for batches and objects, and those named, may be the caller's last."""
        stores = Stores.of(self.table, self._mortal(self.objects))
        return replace(stores, batches=self._mortal(self.batches), **mortal)

    def _mortal(self, target: Any, chance: float = 0.03) -> Any:
        return Mortal(target, self.random, chance)

    def _wait(self) -> None:
        self.now += self.random.choice((1, 5, 61))

    def _deliver(self) -> None:
        """Some message, for the first or any further time."""
        if not self.queues.messages:
            return
        message = self.random.choice(self.queues.messages)
        if self.now >= message.expires_at:
            return
        self.attempts += 1
        try:
            row = self.shards.claim(
                BATCH_ID, message.shard.number, f"owner-{self.attempts}", self.now, self.now + LEASE_SECONDS
            )
        except ClaimRefused as refused:
            if refused.row.state == "settled":
                self._settle(message, refused.row)
            return
        self.owners.append(Owner(message, row))

    def _flush(self) -> None:
        """Some owner, maybe one that has lost its shard long ago, writes some results."""
        if not self.owners:
            return
        owner = self.random.choice(self.owners)
        shard, row = owner.message.shard, owner.row
        left = [position for position in range(ITEMS_PER_SHARD) if not is_done(row.done, position)]
        positions = self.random.sample(left, self.random.randint(1, len(left)))
        results = [self._result(shard.first_index + position) for position in positions]
        key = part_key(ACCOUNT, BATCH_ID, shard.number, row.version, owner.parts)
        owner.parts += 1
        try:
            self.objects.put(key, encode_part(BATCH_ID, results))
            owner.row = self._mortal(self.shards).flush(
                BATCH_ID,
                row,
                part_key=key,
                done=mark_done(row.done, positions, ITEMS_PER_SHARD),
                tally=row.tally + tally(results),
                lease_until=self.now + LEASE_SECONDS,
                settled=len(positions) == len(left),
            )
        except (LeaseLost, Dies):
            self.owners.remove(owner)
            return
        if owner.row.state == "settled":
            self.owners.remove(owner)
            self._settle(owner.message, owner.row)
        elif owner.row.fence:
            self._give_up(owner)

    def _result(self, index: int) -> Result:
        outcome, status = self.random.choice(((Outcome.SUCCEEDED, 200), (Outcome.FAILED, 400)))
        usage = Usage(self.random.randint(1, 9), 0, self.random.randint(1, 9))
        return Result(index, f"id-{index}", outcome, status, "r", b"{}", usage=usage, cost_picousd=usage.total_tokens)

    def _heartbeat(self) -> None:
        if self.owners:
            owner = self.random.choice(self.owners)
            try:
                owner.row = self.shards.heartbeat(BATCH_ID, owner.row, self.now + LEASE_SECONDS)
            except LeaseLost:
                self.owners.remove(owner)

    def _release(self) -> None:
        if self.owners:
            owner = self.random.choice(self.owners)
            self._give_up(owner)
            self.queues.send([owner.message])

    def _give_up(self, owner: Owner) -> None:
        self.owners.remove(owner)
        with suppress(LeaseLost):
            self.shards.release(BATCH_ID, owner.row)

    def _settle(self, message: ShardMessage, row: ShardRow) -> None:
        settle(
            message,
            row,
            stores=self._stores(progress=self._mortal(self.progress)),
            queues=self._mortal(self.queues),
            workflow=self._mortal(self.woken),
        )

    def _cancel(self) -> None:
        with suppress(Conflict):
            cancel(
                BATCH,
                now=self.now,
                batches=self._mortal(self.batches),
                workflow=self._mortal(self.woken),
            )

    def _doom(self) -> None:
        """The input file is deleted, by somebody whose surface ends its batches with it."""
        with suppress(ConditionFailed):
            batch = self._mortal(self.batches).doom(self.batch(), (LineError("input_file_deleted", "It is gone."),))
            if batch.task_token is not None:
                self.woken.wake(batch.task_token, Ending.FAILED)

    def _sweep(self) -> None:
        """A further execution; now and then while the last one still runs."""
        if not self.executions or self.random.random() < 0.1:
            self.executions.append(Execution(f"token-{self.started}"))
            self.started += 1
        batch = self.batch()
        if batch.task_token is not None and (batch.status is Status.CANCELLING or batch.is_doomed):
            self.woken.wake(batch.task_token, asked_of(batch))

    def _step(self) -> None:
        """Some execution goes on by one state, or dies."""
        if not self.executions:
            return
        execution = self.random.choice(self.executions)
        try:
            getattr(self, f"_in_{execution.state.lower()}")(execution)
        except (Dies, ConditionFailed, BooksDoNotBalance):
            if self.random.random() < 0.5:  # else the state machine runs the step again
                self.executions.remove(execution)

    def _in_validate(self, execution: Execution) -> None:
        match self.batch().status:
            case Status.IN_PROGRESS:
                execution.state = "Dispatch"
            case Status.FINALIZING:
                execution.state, execution.ending = "Finalize", Ending.COMPLETED
            case Status.CANCELLING:
                execution.state, execution.ending = "Fence", Ending.CANCELLED
            case _:
                self.executions.remove(execution)

    def _in_dispatch(self, execution: Execution) -> None:
        dispatch(
            BATCH,
            execution.token,
            stores=self._stores(shards=self._mortal(self.shards)),
            queues=self._mortal(self.queues),
            job_starter=sent_jobs(),
            workflow=self._mortal(self.woken),
        )
        execution.state = "Waiting"

    def _in_waiting(self, execution: Execution) -> None:
        woken = self.woken.endings.get(execution.token)
        if woken is None and self.now < NOW + WINDOW_SECONDS:
            return
        execution.ending = woken or Ending.EXPIRED
        execution.state = "Finalize" if execution.ending is Ending.COMPLETED else "Fence"

    def _in_fence(self, execution: Execution) -> None:
        execution.fenced_since = execution.fenced_since or self.now
        fenced = fence(
            BATCH,
            execution.ending,
            since=execution.fenced_since,
            now=self.now,
            drain=Drain(DRAIN_SECONDS, DRAIN_SECONDS),
            stores=self._stores(),
            job_starter=sent_jobs(),
        )
        if fenced.drained:
            execution.state = "Finalize"

    def _in_finalize(self, execution: Execution) -> None:
        finalize(
            BATCH,
            execution.ending,
            clock=lambda: self.now,
            stores=self._stores(objects=self._mortal(self.objects, 0.02)),
        )
        self.executions.remove(execution)

    def end(self) -> None:
        """The deadline passes; executions are started until one comes through."""
        self.now = max(self.now, NOW + WINDOW_SECONDS)
        for _ in range(300):
            if self.batch().status.is_terminal:
                return
            self._sweep()
            self._step()
            self.now += 2
        raise AssertionError(f"{self.batch().status} for ever: {self.executions}")

    def snapshot(self) -> dict[str, Any]:
        """What a customer may see of the batch that is over."""
        batch = self.batch()
        kept = [file_key(ACCOUNT, each) for each in (batch.output_file_id, batch.error_file_id) if each]
        files = {key: data for key, data in self.objects.stored.items() if key.startswith("files/")}
        return {"batch": batch, "files": {key: files.get(key) for key in kept}}


@settings(max_examples=300)
@given(seed=st.integers(0, 2**32), acts=st.integers(0, 120))
def test_whatever_happens_each_item_is_in_one_file_once(seed: int, acts: int) -> None:
    """Then everybody goes on for a while, not knowing that the batch is over."""
    check(World(Random(seed), MemoryTable()), acts)


@settings(max_examples=4)
@given(seed=st.integers(0, 2**32), acts=st.integers(0, 120))
def test_the_same_on_motos_table(moto_table: Table, seed: int, acts: int) -> None:
    """A few such lives with the real table's conditions."""
    check(World(Random(seed), moto_table), acts)


def check(world: World, acts: int) -> None:
    """A life of `acts` acts, its end, and what must hold then and ever after."""
    for _ in range(acts):
        world.act()
    world.check_credits()
    world.end()
    world.check_credits()
    before = world.snapshot()
    batch: Batch = before["batch"]
    output, error = (
        world.objects.stored[file_key(ACCOUNT, each)] if each else None
        for each in (batch.output_file_id, batch.error_file_id)
    )
    checked = check_files([f"id-{n}" for n in range(ITEMS)], output, error)
    assert (checked.succeeded, checked.failed) == (batch.tally.succeeded, ITEMS - batch.tally.succeeded)
    row = world.table.get(Key(f"account#{ACCOUNT}", f"batch#{BATCH_ID}"))
    assert row is not None
    check_rows(row, world.table.query(f"batch#{BATCH_ID}", prefix="shard#"))
    assert batch.tally.items == ITEMS
    assert (batch.status is Status.COMPLETED) <= (batch.tally.cancelled + batch.tally.expired == 0)
    assert (batch.status is Status.FAILED) <= (batch.errors[0].code == "input_file_deleted" if batch.errors else False)
    assert world.batches.open.oldest() == []
    for _ in range(30):
        world.act()
    assert world.snapshot() == before
    world.check_credits()
