"""The table, and the rows of batches, shards and progress, against moto."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.budgets import Budgets
from batchyard.adapters.aws.files import Uploads
from batchyard.adapters.aws.idempotency import Idempotency, IdempotencyKeyUsed
from batchyard.adapters.aws.jobs import Jobs
from batchyard.adapters.aws.progress import Progress
from batchyard.adapters.aws.shards import Shards
from batchyard.adapters.aws.table import Key, Put, Table
from batchyard.core.batches import Batch, BatchRef, Ending, Status
from batchyard.core.errors import ConditionFailed, LeaseLost
from batchyard.core.files import File, Upload, UploadRef
from batchyard.core.ids import made_at
from batchyard.core.jobs import JobRef
from batchyard.core.lanes import Lane
from batchyard.core.sharding import LaneShards, Plan
from batchyard.core.shards import LeaseHeld, ShardFenced, ShardSettled, ShardState
from batchyard.core.usage import Tally

NOW = 1_800_000_000
BATCH_ID = "batch_01m7vzgc0060rk4csm6mv3ee1s"
PLAN = Plan("run1", 40, 2, (LaneShards(Lane("openai", "gpt-4o-mini"), 0, 2, 40),), 128, False, None)


def make_batch(batch_id: str = BATCH_ID, account_id: str = "acct_a") -> Batch:
    return Batch(
        id=batch_id,
        account_id=account_id,
        surface="openai",
        endpoint="/v1/chat/completions",
        input_file_id="file-1",
        completion_window="24h",
        status=Status.VALIDATING,
        created_at=NOW,
        expires_at=NOW + 86_400,
        metadata={"team": "search"},
    )


def test_every_kind_of_value_survives_the_table(table: Table) -> None:
    """A row comes back as it was written, and its ints are ints."""
    row = {"i": 3, "s": "x", "b": b"\x00\xff", "t": True, "n": None, "l": [1, ["a"]], "m": {"k": 2}, "ns": {1, 2}}
    table.put(Key("p", "s"), row)
    assert table.get(Key("p", "s")) == row | {"pk": "p", "sk": "s"}
    with pytest.raises(TypeError):
        table.put(Key("p", "s"), {"money": 0.1})


def test_every_row_of_what_was_done_is_deleted_one_day(table: Table) -> None:
    """400 days after its batch was made, whoever writes it first, and no later for being written again."""
    shards, jobs = Shards(table), Jobs(table)
    ref = JobRef(BatchRef("acct_a", BATCH_ID), 0, 1)
    shards.claim(BATCH_ID, 0, "w", NOW, NOW + 60)
    shards.fence(BATCH_ID, 1, Ending.CANCELLED)
    shards.seal(BATCH_ID, 2, Ending.CANCELLED)
    jobs.claim(ref, "w", NOW, NOW + 60)
    jobs.fence(replace(ref, number=1), Ending.CANCELLED)
    Progress(table).take(BATCH_ID, 0, Tally(succeeded=1), 1)
    Budgets(table).start(BATCH_ID, [0], 1, 10)
    shards.claim(BATCH_ID, 0, "other", NOW + 90, NOW + 150)
    rows = list(table.query(f"batch#{BATCH_ID}"))
    made = made_at(BATCH_ID)
    assert made is not None and len(rows) == 7
    assert {row["ttl"] for row in rows} == {made + 400 * 86_400}


def test_query_pages_in_both_directions(table: Table) -> None:
    """`after` is exclusive, `limit` is the most rows, order is by sort key."""
    for number in range(5):
        table.put(Key("p", f"row#{number}"), {"number": number})
    table.put(Key("p", "other"), {})
    assert [r["number"] for r in table.query("p", prefix="row#", limit=3)] == [0, 1, 2]
    assert [r["number"] for r in table.query("p", prefix="row#", after="row#2")] == [3, 4]
    assert [r["number"] for r in table.query("p", prefix="row#", after="row#2", descending=True)] == [1, 0]


def test_a_transaction_is_all_or_nothing(table: Table) -> None:
    """One condition that does not hold undoes the other writes and names the row in the way."""
    table.put(Key("p", "taken"), {"by": "first"})
    with pytest.raises(ConditionFailed):
        table.transact([Put(Key("p", "new"), {}), Put(Key("p", "taken"), {}, only_if_absent=True)])
    assert table.get(Key("p", "new")) is None


def test_a_batch_row_keeps_every_field(batches: Batches) -> None:
    """What is created is what is read, also after the plan is set."""
    batch = make_batch()
    batches.create(batch)
    assert batches.get(batch.ref) == batch
    assert batches.get(BatchRef("acct_b", batch.id)) is None
    planned = batches.set_plan(batch, PLAN, "gpt-4o-mini", NOW + 5)
    assert planned.plan == PLAN
    assert planned.status_times == {"in_progress": NOW + 5}
    assert batches.get(batch.ref) == planned


def test_a_reused_idempotency_key_names_the_first_batch(batches: Batches) -> None:
    """The second create writes nothing and says which batch the key stands for."""
    key = Idempotency("key-12345", "print", NOW + 100)
    batches.create(make_batch(), key)
    with pytest.raises(IdempotencyKeyUsed) as caught:
        batches.create(make_batch("batch_other"), key)
    assert (caught.value.batch_id, caught.value.fingerprint) == (BATCH_ID, "print")
    assert batches.get(BatchRef("acct_a", "batch_other")) is None


def test_nothing_leaves_a_terminal_status(batches: Batches) -> None:
    """Once completed, a batch can be neither cancelled nor failed nor finished again; its open row is gone."""
    batch = make_batch()
    batches.create(batch)
    assert batches.open.oldest() == [(batch.ref, NOW)]
    batch = batches.set_plan(batch, PLAN, None, NOW + 1)
    batch = batches.enter(batch, Status.FINALIZING, NOW + 2)
    output = File("file-out", "acct_a", "out.jsonl", "batch_output", 10, NOW + 3)
    done = batches.finish(batch, Status.COMPLETED, NOW + 3, tally=Tally(succeeded=40), files=(output, None))
    assert (done.output_file_id, done.error_file_id, done.tally.succeeded) == ("file-out", None, 40)
    assert batches.open.oldest() == []
    for status in (Status.CANCELLING, Status.FAILED, Status.EXPIRED, Status.IN_PROGRESS):
        with pytest.raises(ConditionFailed):
            batches.enter(batch, status, NOW + 4)
    with pytest.raises(ConditionFailed):
        batches.finish(batch, Status.COMPLETED, NOW + 4)
    assert batches.get(BatchRef("acct_a", BATCH_ID)) == done


def test_a_batch_ends_only_from_the_status_it_was_read_in(batches: Batches) -> None:
    """Who read it as validating, without a plan, cannot end it once it runs: its items would be in no file."""
    validating = make_batch()
    batches.create(validating)
    running = batches.set_plan(validating, PLAN, None, NOW + 1)
    with pytest.raises(ConditionFailed):
        batches.finish(validating, Status.FAILED, NOW + 2)
    with pytest.raises(ConditionFailed):
        batches.finish(running, Status.COMPLETED, NOW + 2)
    assert batches.finish(running, Status.FAILED, NOW + 2).status is Status.FAILED


def test_pages_of_batches_are_newest_first(batches: Batches) -> None:
    """Ids sort by time; `after` continues behind a batch; the last page says so."""
    for number in range(3):
        batches.create(make_batch(f"batch_{number}"))
    batches.create(make_batch("batch_9", "acct_b"))
    first, more = batches.page("acct_a", after=None, limit=2)
    assert ([b.id for b in first], more) == (["batch_2", "batch_1"], True)
    rest, more = batches.page("acct_a", after="batch_1", limit=2)
    assert ([b.id for b in rest], more) == (["batch_0"], False)


def test_a_shard_has_one_owner_at_a_time(shards: Shards) -> None:
    """A live lease is respected, an expired one is not, and the old owner's writes then fail."""
    first = shards.claim(BATCH_ID, 0, "one", NOW, NOW + 60)
    with pytest.raises(LeaseHeld) as held:
        shards.claim(BATCH_ID, 0, "two", NOW + 30, NOW + 90)
    assert held.value.row.lease_until == NOW + 60
    second = shards.claim(BATCH_ID, 0, "two", NOW + 61, NOW + 120)
    assert (second.version, second.attempts) == (first.version + 1, 2)
    with pytest.raises(LeaseLost):
        shards.flush(
            BATCH_ID, first, part_key="p", done=b"\x01", tally=Tally(succeeded=1), lease_until=0, settled=False
        )
    with pytest.raises(LeaseLost):
        shards.heartbeat(BATCH_ID, first, NOW + 200)


def test_the_same_owner_name_does_not_bring_an_old_lease_back(shards: Shards) -> None:
    """The version fences, not the name: a claim made twice by one owner leaves the first without rights."""
    old = shards.claim(BATCH_ID, 0, "one", NOW, NOW + 60)
    shards.claim(BATCH_ID, 0, "one", NOW + 61, NOW + 120)
    with pytest.raises(LeaseLost):
        shards.release(BATCH_ID, old)


def test_flushes_add_parts_and_the_last_one_settles(shards: Shards) -> None:
    """Parts are appended, the rest is replaced; a settled shard can be neither claimed nor sealed."""
    claim = shards.claim(BATCH_ID, 0, "one", NOW, NOW + 60)
    claim = shards.flush(
        BATCH_ID, claim, part_key="p1", done=b"\x01", tally=Tally(succeeded=1), lease_until=NOW + 90, settled=False
    )
    assert (claim.parts, claim.attempts, claim.lease_until) == (("p1",), 0, NOW + 90)
    row = shards.flush(
        BATCH_ID, claim, part_key="p2", done=b"\x03", tally=Tally(succeeded=2), lease_until=NOW + 90, settled=True
    )
    assert (row.parts, row.tally.succeeded, row.state) == (("p1", "p2"), 2, ShardState.SETTLED)
    with pytest.raises(ShardSettled):
        shards.claim(BATCH_ID, 0, "two", NOW + 1000, NOW + 2000)
    with pytest.raises(ShardSettled):
        shards.seal(BATCH_ID, 0, Ending.CANCELLED)


def test_a_released_shard_can_be_claimed_at_once(shards: Shards) -> None:
    """Handing back ends the lease and is no failed attempt."""
    claim = shards.claim(BATCH_ID, 0, "one", NOW, NOW + 60)
    shards.release(BATCH_ID, claim)
    assert shards.claim(BATCH_ID, 0, "two", NOW + 1, NOW + 61).attempts == 1


def test_a_shards_row_counts_owners_that_began(shards: Shards) -> None:
    """Each once, however often the write is repeated; until something is flushed or handed back."""
    for number in range(2):
        claim = shards.claim(BATCH_ID, 0, "one", NOW + 100 * number, NOW + 100 * number + 60)
        assert claim.begun == number
        shards.begin(BATCH_ID, claim, NOW + 100 * number + 60)
        assert shards.begin(BATCH_ID, claim, NOW + 100 * number + 60).begun == number + 1
    shards.release(BATCH_ID, claim)
    claim = shards.claim(BATCH_ID, 0, "two", NOW + 300, NOW + 360)
    assert claim.begun == 0
    shards.begin(BATCH_ID, claim, NOW + 360)
    flushed = shards.flush(
        BATCH_ID, claim, part_key="p", done=b"\x01", tally=Tally(succeeded=1), lease_until=NOW + 360, settled=False
    )
    assert flushed.begun == 0


def test_a_fence_lets_the_owner_flush_and_nobody_claim(shards: Shards) -> None:
    """The owner sees the fence in its next write; a shard never claimed is fenced too."""
    claim = shards.claim(BATCH_ID, 0, "one", NOW, NOW + 60)
    shards.fence(BATCH_ID, 0, Ending.CANCELLED)
    row = shards.flush(
        BATCH_ID, claim, part_key="p", done=b"\x01", tally=Tally(succeeded=1), lease_until=NOW + 90, settled=False
    )
    assert row.fence == "cancelled"
    shards.fence(BATCH_ID, 1, Ending.CANCELLED)
    for number in (0, 1):
        with pytest.raises(ShardFenced):
            shards.claim(BATCH_ID, number, "two", NOW + 1000, NOW + 2000)


def test_a_seal_shuts_a_live_owner_out(shards: Shards) -> None:
    """With `lease_before` a live lease is respected; without it the owner's next write fails."""
    claim = shards.claim(BATCH_ID, 0, "one", NOW, NOW + 60)
    with pytest.raises(LeaseHeld):
        shards.seal(BATCH_ID, 0, Ending.EXPIRED, lease_before=NOW + 1)
    assert shards.seal(BATCH_ID, 0, Ending.EXPIRED).state is ShardState.SEALED
    with pytest.raises(LeaseLost):
        shards.heartbeat(BATCH_ID, claim, NOW + 120)
    assert [row.state for row in shards.rows(BATCH_ID)] == [ShardState.SEALED]


def test_progress_takes_each_shard_once(progress: Progress) -> None:
    """Reporting twice counts once; the batch is complete when every shard has reported."""
    for number in (0, 1, 2, 1):
        row = progress.take(BATCH_ID, number, Tally(succeeded=5, input_tokens=7), rows=2)
        assert number in row.taken
    assert progress.total(BATCH_ID) == Tally(succeeded=15, input_tokens=21)
    assert not progress.all_taken(BATCH_ID, 4)
    row = progress.take(BATCH_ID, 3, Tally(failed=1), rows=2)
    assert progress.row_is_full(row, 3, 4, 2)
    assert progress.all_taken(BATCH_ID, 4)


def test_a_flush_that_is_repeated_names_its_part_once(shards: Shards) -> None:
    """botocore repeats a write whose answer got lost: the part must not count twice, nor the owner think it lost."""
    claim = shards.claim(BATCH_ID, 0, "worker-a", NOW, NOW + 60)
    for settled in (False, False, True, True):
        part = f"part-{int(settled)}"
        tally = Tally(succeeded=1 + settled)
        row = shards.flush(
            BATCH_ID, claim, part_key=part, done=b"\1", tally=tally, lease_until=NOW + 60, settled=settled
        )
    assert row.parts == ("part-0", "part-1")
    assert row.state is ShardState.SETTLED
    assert shards.get(BATCH_ID, 0) == row


def test_an_upload_whose_answer_got_lost_is_made(table: Table) -> None:
    """botocore writes it again: that is no conflict, the id is new."""
    upload = Upload("upload_1", "acct_a", "in.jsonl", "batch", 10, NOW, NOW + 3600)
    for _ in range(2):
        Uploads(table).create(upload)
    assert Uploads(table).get(UploadRef("acct_a", "upload_1")) == upload


def test_the_next_deadline_is_not_always_that_of_the_oldest_batch(batches: Batches, table: Table) -> None:
    """A batch of the tier flex has two windows; of a row without a deadline it is one window after its creation."""
    assert batches.open.next_deadline(100) is None
    first = replace(make_batch("batch_a"), created_at=1000, expires_at=1200)
    batches.create(first)
    batches.create(replace(make_batch("batch_b"), created_at=1010, expires_at=1110))
    assert batches.open.next_deadline(100) == 1110
    table.put(Key("open", "batch_0"), {"account_id": "acct_a", "created_at": 990})
    assert batches.open.next_deadline(100) == 1090
