"""Finalize on real rows and objects: files, figures and status become visible together, once."""

from __future__ import annotations

from dataclasses import dataclass

import orjson
import pytest

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.files import Files
from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.shards import Shards
from batchyard.adapters.aws.stores import Stores
from batchyard.adapters.aws.table import Key, Table
from batchyard.core.batches import Batch, Ending, Status
from batchyard.core.errors import BooksDoNotBalance, ConditionFailed
from batchyard.core.files import FileRef, FileStatus
from batchyard.core.items import Item, work_line
from batchyard.core.keys import file_key, manifest_key, part_key, work_key
from batchyard.core.lanes import Lane
from batchyard.core.parts import encode_part
from batchyard.core.results import Outcome, Result, tally
from batchyard.core.sharding import LaneShards, Plan, Shard, manifest_record
from batchyard.core.shards import ShardRow, ShardState, mark_done
from batchyard.core.usage import Tally, Usage
from batchyard.steps import finalize as finalize_module
from batchyard.steps.finalize import finalize
from tests.invariants import check_files, check_rows
from tests.steps.running import ACCOUNT, BATCH, BATCH_ID, NOW, create_batch

ITEMS = 6
SHARDS = 3
IDS = [f"id-{n}" for n in range(ITEMS)]


@dataclass
class Yard:
    """A batch of six items in three shards of two, one lane."""

    table: Table
    batches: Batches
    shards: Shards
    objects: Objects
    files: Files

    def start(self) -> Batch:
        lines = [work_line(Item(n, IDS[n], "gpt-4o-mini", b'{"model":"gpt-4o-mini"}')) for n in range(ITEMS)]
        size = len(lines[0])
        manifest = [Shard(n, 0, n * 2 * size, 2 * size, 2, 2 * n) for n in range(SHARDS)]
        self.objects.put(work_key(ACCOUNT, BATCH_ID, "run"), b"".join(lines))
        self.objects.put(manifest_key(ACCOUNT, BATCH_ID, "run"), b"".join(map(manifest_record, manifest)))
        lanes = (LaneShards(Lane("openai", "gpt-4o-mini"), 0, SHARDS, ITEMS),)
        plan = Plan("run", ITEMS, SHARDS, lanes, 8, False, None)
        return self.batches.set_plan(create_batch(self.batches), plan, "gpt-4o-mini", NOW + 1)

    def work(self, number: int, positions: list[int]) -> ShardRow:
        """Claim a shard, run some of its items (item 1 fails), flush them; settled when all are done."""
        claim = self.shards.claim(BATCH_ID, number, "worker", NOW, NOW + 60)
        results = []
        for index in [2 * number + position for position in positions]:
            ok = index != 1
            outcome, status = (Outcome.SUCCEEDED, 200) if ok else (Outcome.FAILED, 400)
            usage = Usage(input_tokens=10, output_tokens=5)
            results.append(Result(index, IDS[index], outcome, status, "r", b'{"n":1}', usage=usage, cost_picousd=3))
        key = part_key(ACCOUNT, BATCH_ID, number, claim.version, 0)
        self.objects.put(key, encode_part(BATCH_ID, results))
        return self.shards.flush(
            BATCH_ID,
            claim,
            part_key=key,
            done=mark_done(b"", positions, 2),
            tally=tally(results),
            lease_until=NOW + 60,
            settled=len(positions) == 2,
        )

    def finalize(self, asked: Ending, now: int = NOW + 100) -> Batch:
        return finalize(BATCH, asked, clock=lambda: now, stores=Stores.of(self.table, self.objects))

    def content(self, file_id: str | None) -> bytes | None:
        return None if file_id is None else self.objects.get(file_key(ACCOUNT, file_id))

    def check(self, batch: Batch) -> None:
        """Exactly one line per item; the batch's figures are its shards'."""
        check_files(IDS, self.content(batch.output_file_id), self.content(batch.error_file_id))
        row = self.table.get(Key(f"account#{ACCOUNT}", f"batch#{BATCH_ID}"))
        assert row is not None
        check_rows(row, self.table.query(f"batch#{BATCH_ID}", prefix="shard#"))
        assert batch.tally.items == ITEMS
        assert self.batches.open.oldest() == []

    def check_no_other_files(self, batch: Batch) -> None:
        published = [file_key(ACCOUNT, id) for id in (batch.output_file_id, batch.error_file_id) if id]
        assert self.objects.keys("files/", at_most=10) == sorted(published)


@pytest.fixture
def yard(table: Table, batches: Batches, shards: Shards, objects: Objects) -> Yard:
    return Yard(table, batches, shards, objects, Files(table))


def test_a_settled_batch_is_completed_with_its_files(yard: Yard) -> None:
    """Files, their rows, counts, tokens and cost; and a second run returns the same."""
    yard.start()
    for number in range(SHARDS):
        yard.work(number, [1, 0])
    batch = yard.finalize(Ending.COMPLETED)
    assert batch.status is Status.COMPLETED
    assert batch.status_times["finalizing"] == batch.status_times["completed"] == NOW + 100
    assert batch.tally == Tally(
        succeeded=5, failed=1, input_tokens=60, output_tokens=30, cost_picousd=18, realtime_picousd=18
    )
    yard.check(batch)
    output = yard.files.get(FileRef(ACCOUNT, batch.output_file_id or ""))
    error = yard.files.get(FileRef(ACCOUNT, batch.error_file_id or ""))
    assert output is not None and error is not None
    assert (output.filename, output.purpose, output.lines) == (f"{BATCH_ID}_output.jsonl", "batch_output", 5)
    assert (error.filename, error.lines, error.status) == (f"{BATCH_ID}_error.jsonl", 1, FileStatus.PROCESSED)
    assert output.bytes == len(yard.content(output.id) or b"")
    assert output.expires_at is None
    assert yard.finalize(Ending.COMPLETED, NOW + 200) == batch


def test_files_expire_when_the_batch_asked_for_it(yard: Yard) -> None:
    """`output_expires_after` counts from the files' creation."""
    yard.start()
    yard.table.update(Key(f"account#{ACCOUNT}", f"batch#{BATCH_ID}"), set={"output_expires_after_seconds": 3600})
    for number in range(SHARDS):
        yard.work(number, [0, 1])
    batch = yard.finalize(Ending.COMPLETED)
    file = yard.files.get(FileRef(ACCOUNT, batch.output_file_id or ""))
    assert file is not None and file.expires_at == NOW + 100 + 3600


def test_a_cancelled_batch_keeps_partial_results(yard: Yard) -> None:
    """A settled shard, a half-done one and an untouched one: three results kept, three lines that say why not."""
    batch = yard.start()
    yard.work(0, [0, 1])
    yard.work(1, [1])
    yard.batches.enter(batch, Status.CANCELLING, NOW + 50)
    batch = yard.finalize(Ending.CANCELLED)
    assert batch.status is Status.CANCELLED
    assert batch.errors == ()
    assert (batch.tally.succeeded, batch.tally.failed, batch.tally.cancelled) == (2, 1, 3)
    yard.check(batch)
    lines = [orjson.loads(line) for line in (yard.content(batch.error_file_id) or b"").splitlines()]
    assert [line["error"] and line["error"]["code"] for line in lines] == [None] + ["batch_cancelled"] * 3


def test_an_expired_batch_keeps_partial_results(yard: Yard) -> None:
    """The rest of an expired batch is `batch_expired`."""
    yard.start()
    yard.work(2, [0])
    batch = yard.finalize(Ending.EXPIRED)
    assert (batch.status, batch.tally.succeeded, batch.tally.expired) == (Status.EXPIRED, 1, 5)
    yard.check(batch)


def test_a_failed_batch_keeps_results_and_says_why(yard: Yard) -> None:
    """The rest fails with `batch_failed`, and the batch carries an error."""
    yard.start()
    yard.work(2, [0])
    batch = yard.finalize(Ending.FAILED)
    assert (batch.status, batch.tally.succeeded, batch.tally.failed) == (Status.FAILED, 1, 5)
    assert [error.code for error in batch.errors] == ["batch_failed"]
    yard.check(batch)


def test_nobody_can_flush_once_it_has_begun(yard: Yard) -> None:
    """A stopped batch's open shards are sealed before they are read, so that no result comes too late to be seen."""
    yard.start()
    yard.work(0, [0])
    yard.finalize(Ending.EXPIRED)
    assert {row.state for row in yard.shards.rows(BATCH_ID)} == {ShardState.SEALED}


@pytest.mark.parametrize("asked", [Ending.EXPIRED, Ending.FAILED])
def test_a_run_that_takes_over_ends_the_batch_as_the_first_one_would_have(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, asked: Ending
) -> None:
    """Fenced, finalizing, then its execution dies. The next execution finds it finalizing and knows no more than that;
    the sealed shards say why they were."""
    yard.start()
    yard.work(0, [0, 1])
    yard.work(1, [0])
    with monkeypatch.context() as patched:
        patched.setattr(finalize_module, "_write", None)
        with pytest.raises(TypeError):
            yard.finalize(asked)
    batch = yard.finalize(Ending.COMPLETED)
    assert (batch.status, batch.tally.succeeded) == (asked.status, 2)
    assert getattr(batch.tally, asked) == (3 if asked is Ending.EXPIRED else 4)
    yard.check(batch)


def test_a_window_that_ends_when_all_is_done_expires_nothing(yard: Yard) -> None:
    """The last shard settled as the deadline came: every item has its result, so the batch is completed."""
    yard.start()
    for number in range(SHARDS):
        yard.work(number, [0, 1])
    batch = yard.finalize(Ending.EXPIRED)
    assert (batch.status, batch.tally.expired) == (Status.COMPLETED, 0)
    yard.check(batch)


def test_completed_with_an_unsettled_shard_is_refused(yard: Yard) -> None:
    """`completed` is only for batches whose every shard is settled; afterwards `failed` still ends the batch."""
    yard.start()
    yard.work(0, [0, 1])
    yard.work(1, [0])
    with pytest.raises(BooksDoNotBalance):
        yard.finalize(Ending.COMPLETED)
    assert {row.state for row in yard.shards.rows(BATCH_ID)} == {ShardState.SETTLED, ShardState.OPEN}
    batch = yard.finalize(Ending.FAILED)
    assert batch.status is Status.FAILED
    yard.check(batch)


def test_a_cancel_that_comes_late_wins_the_status(yard: Yard) -> None:
    """All shards settled, then a cancel before Finalize: `cancelled`, with every result kept."""
    batch = yard.start()
    for number in range(SHARDS):
        yard.work(number, [0, 1])
    yard.batches.enter(batch, Status.CANCELLING, NOW + 50)
    batch = yard.finalize(Ending.COMPLETED)
    assert (batch.status, batch.tally.succeeded, batch.tally.cancelled) == (Status.CANCELLED, 5, 0)
    yard.check(batch)


@pytest.mark.parametrize("asked", [Ending.EXPIRED, Ending.FAILED])
def test_a_batch_without_a_plan_just_ends(yard: Yard, asked: Ending) -> None:
    """No shards, no files, no figures."""
    create_batch(yard.batches)
    batch = yard.finalize(asked)
    assert batch.status is asked.status
    assert (batch.output_file_id, batch.error_file_id, batch.tally) == (None, None, Tally())
    assert yard.batches.open.oldest() == []


def test_a_batch_cancelled_while_validating_is_cancelled(yard: Yard) -> None:
    """`cancelling` without a plan ends as `cancelled`; `completed` without a plan is impossible."""
    batch = create_batch(yard.batches)
    with pytest.raises(BooksDoNotBalance):
        yard.finalize(Ending.COMPLETED)
    yard.batches.enter(batch, Status.CANCELLING, NOW + 1)
    assert yard.finalize(Ending.CANCELLED).status is Status.CANCELLED


def test_lost_parts_fail_loudly_and_then_end_the_batch(yard: Yard) -> None:
    """Without a part nothing is published; the ending `failed` ends the batch, without files."""
    yard.start()
    for number in range(SHARDS):
        row = yard.work(number, [0, 1])
    yard.objects.put(row.parts[0], encode_part(BATCH_ID, []))
    with pytest.raises(BooksDoNotBalance):
        yard.finalize(Ending.COMPLETED)
    batch = yard.finalize(Ending.FAILED)
    assert (batch.status, batch.output_file_id, batch.error_file_id) == (Status.FAILED, None, None)
    assert [error.code for error in batch.errors] == ["batch_failed"]


def test_of_two_ends_at_once_one_wins_and_the_other_leaves_no_files(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ends as `failed` while one ends as `completed`: one status, one pair of files, no orphans."""
    yard.start()
    for number in range(SHARDS):
        yard.work(number, [0, 1])
    write = finalize_module._write
    overtaking: list[bool] = []

    def write_and_be_overtaken(*arguments: object) -> object:
        written = write(*arguments)  # type: ignore[arg-type]
        if not overtaking:
            overtaking.append(True)
            yard.finalize(Ending.FAILED)
        return written

    monkeypatch.setattr(finalize_module, "_write", write_and_be_overtaken)
    batch = yard.finalize(Ending.COMPLETED)
    assert batch.status is Status.FAILED
    yard.check(batch)
    yard.check_no_other_files(batch)


@pytest.mark.parametrize("dies_at", ["finish", "delete_many"])
def test_what_a_run_that_died_has_written_is_removed(yard: Yard, monkeypatch: pytest.MonkeyPatch, dies_at: str) -> None:
    """A run dies when its files are written, and the next one comes to another ending; or that one dies as well, as
    soon as the batch is over. No row names those files, so nobody else would ever delete them, nor the answers in
    them."""

    def die(*_: object, **__: object) -> None:
        raise SystemExit

    yard.start()
    for number in range(SHARDS):
        yard.work(number, [0, 1])
    with monkeypatch.context() as dying, pytest.raises(SystemExit):
        dying.setattr(Batches, "finish", die)
        yard.finalize(Ending.COMPLETED)
    written = yard.objects.keys("files/", at_most=10)
    assert len(written) == 2
    if dies_at == "delete_many":
        with monkeypatch.context() as dying, pytest.raises(SystemExit):
            dying.setattr(Objects, "delete_many", die)
            yard.finalize(Ending.FAILED)
    batch = yard.finalize(Ending.FAILED)
    assert batch.status is Status.FAILED
    yard.check(batch)
    yard.check_no_other_files(batch)
    assert not set(written) & set(yard.objects.keys("files/", at_most=10))


def test_two_runs_with_the_same_end_agree(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second run writes the same bytes under the same keys and does not delete the winner's files."""
    yard.start()
    for number in range(SHARDS):
        yard.work(number, [0, 1])
    write = finalize_module._write
    runs: list[Batch | None] = []

    def write_and_be_overtaken(*arguments: object) -> object:
        written = write(*arguments)  # type: ignore[arg-type]
        if not runs:
            runs.append(None)
            runs.append(yard.finalize(Ending.COMPLETED))
        return written

    monkeypatch.setattr(finalize_module, "_write", write_and_be_overtaken)
    batch = yard.finalize(Ending.COMPLETED)
    assert runs == [None, batch]
    yard.check(batch)


def test_a_batch_that_changes_each_time_is_given_up(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tried three times, then the state machine hears of it; what was written goes when the batch ends otherwise."""
    yard.start()
    for number in range(SHARDS):
        yard.work(number, [0, 1])
    tries = []

    def refuse(self: Batches, batch: Batch, *_: object, **__: object) -> Batch:
        tries.append(batch.status)
        raise ConditionFailed("somebody else was faster")

    with monkeypatch.context() as refusing, pytest.raises(ConditionFailed):
        refusing.setattr(Batches, "finish", refuse)
        yard.finalize(Ending.COMPLETED)
    assert tries == [Status.FINALIZING] * 3
    yard.check_no_other_files(yard.finalize(Ending.FAILED))
