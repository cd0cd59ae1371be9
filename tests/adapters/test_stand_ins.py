"""What stands for an adapter in other tests behaves as the adapter does on moto: the same calls, the same answers, the
same errors."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from batchyard.adapters.aws import clients
from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.objects import ObjectChanged, ObjectMissing, Objects, Span
from batchyard.adapters.aws.queues import Queues
from batchyard.adapters.aws.shards import Shards
from batchyard.adapters.aws.table import Delete, Key, Put, Table, Update
from batchyard.adapters.aws.workflow import Life, Workflow
from batchyard.adapters.aws.writer import ObjectWriter
from batchyard.core.batches import Batch, BatchRef, Ending, Status
from batchyard.core.errors import BooksDoNotBalance, ConditionFailed
from batchyard.core.files import File
from batchyard.core.items import LineError
from batchyard.core.messages import ShardMessage, shard_message
from batchyard.core.sharding import Shard
from batchyard.core.shards import LeaseHeld, ShardFenced, ShardSettled, ShardState
from batchyard.core.usage import Tally
from simulation.memory_objects import MemoryObjects, MemoryWriter
from simulation.memory_table import MemoryTable
from tests.memory import MemoryShards, OneBatch
from tests.steps.running import (
    ACCOUNT,
    BATCH,
    BATCH_ID,
    NOW,
    RecordedWorkflow,
    SentMessages,
    create_batch,
    plan,
    start_batch,
)
from tests.worker.workshop import SentMessages as WorkerMessages

STAND_INS: Sequence[tuple[type, type]] = [
    (MemoryTable, Table),
    (MemoryObjects, Objects),
    (MemoryWriter, ObjectWriter),
    (MemoryShards, Shards),
    (OneBatch, Batches),
    (SentMessages, Queues),
    (WorkerMessages, Queues),
    (RecordedWorkflow, Workflow),
]
OURS = frozenset({"numbers"})
"""Methods of stand-ins that only tests use."""


@pytest.mark.parametrize(("stand_in", "real"), STAND_INS, ids=lambda each: each.__module__ + "." + each.__name__)
def test_methods_take_what_the_real_ones_take(stand_in: type, real: type) -> None:
    """Every public method exists on the real class, with parameters of the same names, kinds and order."""
    for name, method in inspect.getmembers(stand_in, inspect.isfunction):
        if not name.startswith("_"):
            given = inspect.signature(method).parameters.values()
            asked = inspect.signature(getattr(real, name)).parameters.values()
            assert [(each.name, each.kind) for each in given] == [(each.name, each.kind) for each in asked], name
    properties = [name for name, _ in inspect.getmembers(stand_in, lambda each: isinstance(each, property))]
    assert all(name in OURS or name in inspect.getsource(real) for name in properties)


@pytest.fixture(params=["memory", "moto"])
def any_table(request: pytest.FixtureRequest, table: Table) -> Any:
    """The table, as the tests' stand-in and as it is."""
    return MemoryTable() if request.param == "memory" else table


KEY = Key("p", "s")
VALUES: dict[str, Any] = {
    "int": 7,
    "zero": 0,
    "text": "t",
    "status": Status.IN_PROGRESS,
    "bytes": b"\0\1",
    "true": True,
    "none": None,
    "list": [1, "a", [None]],
    "tuple": (1, 2),
    "dict": {"a": {"b": [True]}},
    "numbers": {3, 1},
    "names": {"x", "y"},
}


def test_a_row_comes_back_as_it_went_in(any_table: Any) -> None:
    """Tuples as lists, statuses as texts, everything else as it was; nobody's changes reach a row but by a write."""
    any_table.put(KEY, VALUES, ttl=9)
    row = any_table.get(KEY)
    assert row == VALUES | {"pk": "p", "sk": "s", "ttl": 9, "tuple": [1, 2]}
    assert type(row["status"]) is str
    row["list"].append(2)
    assert any_table.get(KEY)["list"] == [1, "a", [None]]
    any_table.put(KEY, {"only": 1})
    assert any_table.delete(KEY) == {"only": 1, "pk": "p", "sk": "s"}
    assert any_table.delete(KEY) is None and any_table.get(KEY) is None


def test_every_clause_of_an_update(any_table: Any) -> None:
    """Set, add to numbers and sets, append to lists, default, remove; the row is made if there is none."""
    change: dict[str, Any] = {
        "set": {"a": 1},
        "add": {"count": 2, "taken": {4, 5}},
        "append": {"parts": ["x"]},
        "default": {"kept": "first"},
    }
    once = any_table.update(KEY, **change)
    made = {"pk": "p", "sk": "s", "a": 1, "count": 2, "taken": {4, 5}, "parts": ["x"], "kept": "first"}
    assert once == any_table.get(KEY) == made
    twice = any_table.update(KEY, **change | {"add": {"count": 2, "taken": {5, 6}}, "default": {"kept": "second"}})
    assert twice == made | {"count": 4, "taken": {4, 5, 6}, "parts": ["x", "x"]}
    assert any_table.update(KEY, remove=["a", "parts", "never"]) == {
        "pk": "p", "sk": "s", "count": 4, "taken": {4, 5, 6}, "kept": "first"
    }  # fmt: skip
    assert any_table.update(KEY, discard={"taken": {4, 9}})["taken"] == {5, 6}
    assert "taken" not in any_table.update(KEY, discard={"taken": {5, 6}}, add={"count": -1})
    assert any_table.update(KEY, discard={"taken": {5}}) == {"pk": "p", "sk": "s", "count": 3, "kept": "first"}


ROW = {"number": 3, "text": "open", "null": None, "parts": ["x"], "taken": {1}, "empty": [], "fenced": "now"}
CONDITIONS = [
    ("attribute_not_exists(pk)", {}, False),
    ("attribute_exists(#text)", {}, True),
    ("attribute_not_exists(#never)", {}, True),
    ("attribute_not_exists(#null)", {}, False),
    ("#number = :three", {"three": 3}, True),
    ("#number < :three", {"three": 3}, False),
    ("#number < :four", {"four": 4}, True),
    ("#number >= :three", {"three": 3}, True),
    ("#number >= :four", {"four": 4}, False),
    ("#never >= :minus", {"minus": -1}, False),
    ("#number <= :three", {"three": 3}, True),
    ("#number <= :two", {"two": 2}, False),
    ("#never <= :four", {"four": 4}, False),
    ("#number = :word", {"word": "3"}, False),
    ("#null < :four", {"four": 4}, False),
    ("#never < :four", {"four": 4}, False),
    ("#never = :four", {"four": 4}, False),
    ("NOT #never = :four", {"four": 4}, True),
    ("#text IN (:a, :b)", {"a": "done", "b": "open"}, True),
    ("#text IN (:a)", {"a": "done"}, False),
    ("#never IN (:a)", {"a": "done"}, False),
    ("contains(#parts, :x)", {"x": "x"}, True),
    ("NOT contains(#parts, :y)", {"y": "y"}, True),
    ("contains(#taken, :one)", {"one": 1}, True),
    ("NOT contains(#never, :one)", {"one": 1}, True),
    ("size(#empty) = :none", {"none": 0}, True),
    ("size(#parts) = :none", {"none": 0}, False),
    ("#text = :open AND (#number < :two OR attribute_exists(#fenced))", {"open": "open", "two": 2}, True),
    ("(attribute_not_exists(pk) OR #text = :open) AND #number < :two", {"open": "open", "two": 2}, False),
]


@pytest.mark.parametrize(("condition", "values", "holds"), CONDITIONS, ids=[each[0] for each in CONDITIONS])
def test_conditions(any_table: Any, condition: str, values: dict[str, Any], holds: bool) -> None:
    """What is missing, or of another type, compares to nothing. A refusal shows the row and changes nothing."""
    any_table.put(KEY, ROW)
    if holds:
        assert any_table.update(KEY, set={"touched": 1}, condition=condition, values=values)["touched"] == 1
        return
    with pytest.raises(ConditionFailed) as refused:
        any_table.update(KEY, set={"touched": 1}, condition=condition, values=values)
    assert refused.value.row == any_table.get(KEY) == ROW | {"pk": "p", "sk": "s"}


def test_a_condition_on_a_row_that_is_not_there(any_table: Any) -> None:
    """It has no attributes, and the refusal shows no row."""
    with pytest.raises(ConditionFailed) as refused:
        any_table.update(KEY, set={"a": 1}, condition="#a = :one", values={"one": 1})
    assert refused.value.row is None and any_table.get(KEY) is None
    any_table.update(KEY, set={"a": 1}, condition="attribute_not_exists(pk) OR #a = :one", values={"one": 1})


def test_transactions_are_all_or_nothing(any_table: Any) -> None:
    """The first condition that does not hold refuses everything and shows its row."""
    other = Key("p", "other")
    any_table.put(other, {"n": 1})
    with pytest.raises(ConditionFailed) as refused:
        any_table.transact([Put(KEY, {}), Put(other, {}, only_if_absent=True), Delete(Key("q", "q"))])
    assert (refused.value.row, refused.value.row_key) == ({"pk": "p", "sk": "other", "n": 1}, other)
    assert any_table.get(KEY) is None
    any_table.transact([Put(KEY, {"m": 2}, only_if_absent=True), Update(other, add={"n": 4}), Delete(Key("q", "q"))])
    assert (any_table.get(KEY)["m"], any_table.get(other)["n"]) == (2, 5)
    any_table.transact([Delete(KEY), Update(Key("q", "new"), set={"x": 1})])
    assert any_table.get(KEY) is None and any_table.get(Key("q", "new"))["x"] == 1


def test_queries(any_table: Any) -> None:
    """By sort key, both ways, behind a key that need not exist, up to a limit, filtered."""
    for number in (3, 1, 2):
        any_table.put(Key("p", f"shard#{number:03d}"), {"n": number, "odd": "yes" if number % 2 else "no"})
    any_table.put(Key("p", "other"), {"n": 0})
    any_table.put(Key("q", "shard#009"), {"n": 9})

    def numbers(pk: str = "p", **how: Any) -> list[int]:
        return [row["n"] for row in any_table.query(pk, **how)]

    assert numbers() == [0, 1, 2, 3]
    assert numbers(prefix="shard#") == [1, 2, 3]
    assert numbers(prefix="shard#", descending=True, limit=2) == [3, 2]
    assert numbers(prefix="shard#", after="shard#001") == [2, 3]
    assert numbers(prefix="shard#", after="shard#002", descending=True) == [1]
    assert numbers(prefix="shard#", after="shard#0015", consistent=True) == [2, 3]
    assert numbers(limit=0) == numbers(pk="none") == numbers(prefix="x") == []
    assert numbers(where=("odd", "yes")) == [1, 3]
    assert numbers(where=("odd", "yes"), limit=1) == [1]


@pytest.fixture(params=["memory", "moto"])
def store(request: pytest.FixtureRequest, objects: Objects) -> Any:
    """Objects, as the tests' stand-in and as they are."""
    return MemoryObjects() if request.param == "memory" else objects


def test_objects_are_read_whole_and_in_part(store: Any) -> None:
    """Ranges may reach past the end; a length of 0 is nothing; a put replaces."""
    store.put("a", b"old")
    store.put("a", b"0123456789")
    assert store.get("a") == b"0123456789"
    assert store.get("a", 2, 3) == b"234"
    assert store.get("a", 8, 100) == b"89"
    assert store.get("a", 8) == b"89"
    assert store.get("a", None, 2) == b"01"
    assert store.get("a", 50, 5) == store.get("a", 3, 0) == store.get("none", 3, 0) == b""
    assert list(store.get_many([Span("a", 4, 2), Span("a"), Span("a", 0, 1)], at_most=2, held_bytes=100)) == [
        b"45",
        b"0123456789",
        b"0",
    ]


def test_objects_that_are_missing(store: Any) -> None:
    """Reading raises, looking says None, deleting is no error."""
    assert store.head("none") is None
    for read in (
        lambda: store.get("none"),
        lambda: store.get("none", 3, 4),
        lambda: list(store.stream("none")),
        lambda: list(store.get_many([Span("none")], at_most=1, held_bytes=10)),
    ):
        with pytest.raises(ObjectMissing):
            read()
    store.delete("none")
    store.delete_many(["none"])
    store.put("a", b"1")
    store.delete_many(["a", "none"])
    assert store.head("a") is None


def test_what_is_known_of_an_object(store: Any) -> None:
    """Its size, and a tag that changes with its bytes and comes back with them."""
    store.put("a", b"one")
    first = store.head("a")
    store.put("a", b"two")
    second = store.head("a")
    store.put("a", b"one")
    assert first.size == second.size == 3
    assert first.etag != second.etag
    assert store.head("a").etag == first.etag


def test_objects_as_streams(store: Any) -> None:
    """Chunks of the size asked for; nothing of an empty object; an object that is overwritten meanwhile raises."""
    store.put("a", b"0123456789")
    assert list(store.stream("a", chunk_bytes=4)) == [b"0123", b"4567", b"89"]
    store.put("empty", b"")
    assert list(store.stream("empty", chunk_bytes=4)) == []
    large = bytes(100)
    store.put("b", large)
    chunks = store.stream("b", chunk_bytes=2)
    assert next(chunks) == b"\0\0"
    store.put("b", bytes(99) + b"!")
    with pytest.raises(ObjectChanged):
        list(chunks)


def test_objects_are_listed(store: Any) -> None:
    """By what their keys begin with, in order, as many as are asked for; deleted ones are gone."""
    for key in ("b/2", "b/1", "a", "b/3"):
        store.put(key, b"x")
    assert store.keys("b/", at_most=2) == ["b/1", "b/2"]
    store.delete_many(["b/1", "b/3"])
    assert store.keys("b/", at_most=9) == ["b/2"]
    assert store.keys("c", at_most=9) == []


def test_objects_as_they_are_written(store: Any) -> None:
    """The object exists once the block ends well; an exception leaves what was there."""
    with store.writer("a") as writer:
        writer.write(b"one ")
        writer.write(b"two")
        assert store.head("a") is None
    assert (store.get("a"), writer.bytes_written) == (b"one two", 7)
    with pytest.raises(KeyError), store.writer("a") as writer:
        writer.write(b"lost")
        raise KeyError
    assert store.get("a") == b"one two"
    with store.writer("empty"):
        pass
    assert store.get("empty") == b""


@pytest.fixture(params=["memory", "moto"])
def rows(request: pytest.FixtureRequest, shards: Shards) -> Any:
    """Shard 0 settled, 1 held until NOW + 60, 3 fenced without an owner, 4 sealed; 2 was never claimed."""
    claim = shards.claim(BATCH_ID, 0, "owner", NOW, NOW + 60)
    shards.flush(
        BATCH_ID, claim, part_key="p", done=b"\1", tally=Tally(succeeded=1), lease_until=NOW + 60, settled=True
    )
    shards.claim(BATCH_ID, 1, "owner", NOW, NOW + 60)
    shards.fence(BATCH_ID, 3, Ending.CANCELLED)
    shards.seal(BATCH_ID, 4, Ending.EXPIRED)
    if request.param == "moto":
        return shards
    return MemoryShards({row.number: row for row in shards.rows(BATCH_ID)})


def test_ranges_of_shard_rows(rows: Any) -> None:
    """By number, both ends included; numbers without a row are left out."""

    def numbers(*bounds: int) -> list[int]:
        return [row.number for row in rows.rows(BATCH_ID, *bounds)]

    assert numbers() == [0, 1, 3, 4]
    assert numbers(1, 3) == [1, 3]
    assert numbers(2) == [3, 4]
    assert numbers(2, 2) == numbers(7) == numbers(3, 1) == []
    assert rows.get(BATCH_ID, 2) is None and rows.get(BATCH_ID, 0).state is ShardState.SETTLED


def test_sealing_shard_rows(rows: Any) -> None:
    """What is settled or sealed refuses; an open row is sealed with a version more; a row is made if there is none.
    With `lease_before`, a lease that lasts is respected."""
    with pytest.raises(ShardSettled):
        rows.seal(BATCH_ID, 0, Ending.CANCELLED)
    with pytest.raises(ShardFenced):
        rows.seal(BATCH_ID, 4, Ending.CANCELLED)
    with pytest.raises(LeaseHeld):
        rows.seal(BATCH_ID, 1, Ending.CANCELLED, lease_before=NOW + 60)
    sealed = rows.seal(BATCH_ID, 1, Ending.CANCELLED, lease_before=NOW + 61)
    assert (sealed.state, sealed.version, sealed.fence, sealed.owner) == (ShardState.SEALED, 2, "cancelled", "owner")
    made = rows.seal(BATCH_ID, 2, Ending.EXPIRED, lease_before=NOW)
    assert (made.state, made.version, made.fence, made.lease_until) == (ShardState.SEALED, 1, "expired", 0)
    assert rows.seal(BATCH_ID, 3, Ending.FAILED).fence == "failed"
    assert [row.state for row in rows.rows(BATCH_ID)] == [ShardState.SETTLED] + [ShardState.SEALED] * 4


@pytest.fixture(params=["memory", "moto"])
def kept(request: pytest.FixtureRequest, batches: Batches) -> Any:
    """A batch that is being validated."""
    batch = create_batch(batches)
    return batches if request.param == "moto" else OneBatch(batch)


def test_a_batch_moves_as_its_drawing_says(kept: Any) -> None:
    """Times and fields are set; a move that is not drawn is refused and changes nothing."""
    batch = kept.enter(kept.current(BATCH), Status.IN_PROGRESS, NOW + 1, task_token="t")
    assert (batch.status, batch.status_times["in_progress"], batch.task_token) == (Status.IN_PROGRESS, NOW + 1, "t")
    for refused in (Status.COMPLETED, Status.CANCELLED, Status.IN_PROGRESS):
        with pytest.raises(ConditionFailed):
            kept.enter(batch, refused, NOW + 2)
    assert kept.get(BATCH) == batch
    assert kept.get(BatchRef("acct_other", BATCH_ID)) is None
    with pytest.raises(BooksDoNotBalance):
        kept.current(BatchRef("acct_other", BATCH_ID))


def test_a_batch_that_ends(kept: Any) -> None:
    """Tally, files and time are on the row, its token is gone, and nothing moves it again."""
    kept.enter(kept.current(BATCH), Status.IN_PROGRESS, NOW + 1, task_token="t")
    batch = kept.enter(kept.current(BATCH), Status.FINALIZING, NOW + 2)
    output = File("file-o", ACCOUNT, "output.jsonl", "batch_output", 5, NOW)
    ended = kept.finish(batch, Status.COMPLETED, NOW + 3, tally=Tally(succeeded=2), files=(output, None))
    assert (ended.output_file_id, ended.error_file_id, ended.task_token) == ("file-o", None, None)
    assert (ended.tally.succeeded, ended.status_times["completed"]) == (2, NOW + 3)
    for again in (Status.COMPLETED, Status.FAILED):
        with pytest.raises(ConditionFailed):
            kept.finish(batch, again, NOW + 4)
    with pytest.raises(ConditionFailed):
        kept.finish(ended, Status.FAILED, NOW + 4)


def test_a_batch_that_moved_since_it_was_read_does_not_end(kept: Any) -> None:
    """What there is to publish may have changed with its status."""
    stale = kept.enter(kept.current(BATCH), Status.IN_PROGRESS, NOW + 1)
    kept.enter(stale, Status.FINALIZING, NOW + 2)
    with pytest.raises(ConditionFailed):
        kept.finish(stale, Status.EXPIRED, NOW + 3)


def test_a_doomed_batch_does_not_end_well(kept: Any) -> None:
    """With errors on its row it can only fail."""
    batch = kept.enter(kept.current(BATCH), Status.IN_PROGRESS, NOW + 1)
    error = LineError("input_file_deleted", "The input file was deleted.")
    if isinstance(kept, OneBatch):
        batch = kept.enter(batch, Status.FINALIZING, NOW + 2, errors=(error,))
    else:
        kept.doom(batch, (error,))
        batch = kept.enter(batch, Status.FINALIZING, NOW + 2)
    for well in (Status.COMPLETED, Status.EXPIRED):
        with pytest.raises(ConditionFailed):
            kept.finish(batch, well, NOW + 3)
    assert kept.finish(batch, Status.FAILED, NOW + 3).status is Status.FAILED


def test_messages_are_kept_as_the_queue_gets_them(batches: Batches, objects: Objects) -> None:
    """What the recording double holds is what a worker would receive, delayed or not."""
    batch = start_batch(batches, objects, plan({"m": 12}))
    messages = [shard_message(batch, Shard(n, 0, n * 100, 100, 10, n * 10)) for n in range(12)]
    sqs = clients.client("sqs")
    url = sqs.create_queue(QueueName="openai")["QueueUrl"]
    Queues(sqs, {"openai": url}).send(messages)
    received: list[ShardMessage] = []
    while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        received += [ShardMessage.from_json(each["Body"]) for each in found]
    steps, worker = SentMessages(), WorkerMessages()
    steps.send(messages)
    worker.send(messages)
    assert sorted(received, key=lambda each: each.shard.number) == steps.messages
    assert [message for message, _ in worker.sent] == messages


def machine() -> Workflow:
    definition = {"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 60, "End": True}}}
    arn = clients.client("stepfunctions").create_state_machine(
        name="stand-ins", definition=json.dumps(definition), roleArn="arn:aws:iam::123456789012:role/states"
    )["stateMachineArn"]
    return Workflow(clients.client("stepfunctions"), arn)


def stop(workflow: Workflow | RecordedWorkflow, number: int) -> None:
    """End an execution, as AWS does when a step fails for good."""
    if isinstance(workflow, RecordedWorkflow):
        workflow.lives[BATCH_ID, number] = Life.ENDED
        return
    states = clients.client("stepfunctions")
    (found,) = [
        each["executionArn"]
        for each in states.list_executions(stateMachineArn=workflow._arn)["executions"]
        if each["name"] == (f"{BATCH_ID}-{number}" if number else BATCH_ID)
    ]
    states.stop_execution(executionArn=found)


@pytest.mark.parametrize("make", [RecordedWorkflow, machine])
def test_an_execution_is_started_once(aws_clients: None, make: Callable[[], Workflow | RecordedWorkflow]) -> None:
    """A number that was started stays what it is, however often it is started again; each number is its own."""
    workflow = make()
    assert workflow.execution(BATCH_ID).life is Life.ABSENT
    workflow.start(BATCH)
    workflow.start(BATCH)
    assert workflow.execution(BATCH_ID).life is Life.RUNNING
    stop(workflow, 0)
    workflow.start(BATCH)
    ended = workflow.execution(BATCH_ID)
    assert ended.life is Life.ENDED and ended.ended_at > 0
    assert workflow.execution(BATCH_ID, 1).life is Life.ABSENT
    workflow.start(BATCH, 1)
    assert workflow.execution(BATCH_ID, 1).life is Life.RUNNING


def test_the_batch_of_the_tests_is_a_batch(batches: Batches) -> None:
    """What the tests make as a batch comes back from the table as it was."""
    made: Batch = create_batch(batches)
    assert batches.current(BATCH) == made
