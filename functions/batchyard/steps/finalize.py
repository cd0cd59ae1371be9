"""Finalize: write a batch's output and error files, check the books, and end it.

    outcome of the run      the batch was            ends as
    completed               in_progress, finalizing  completed    every shard is settled
    expired                 (the same), validating   expired      the rest gets `batch_expired` results
    failed                  (the same), validating   failed       the rest gets `batch_failed` results
    any                     cancelling               cancelled    the rest gets `batch_cancelled` results
    any                     doomed                   failed       for the reason in its `errors`

Results are read from the parts that shard rows name, and from nothing else. The files' ids derive from the batch and
its end, so that a second run writes the same bytes under the same keys; files, figures and status become visible in
one transaction. A run that loses to one with another end removes what it wrote; one that takes over from a run that
died ends the batch as that one would have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import partial

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.objects import ObjectMissing, Objects
from batchyard.adapters.aws.shards import Shards
from batchyard.adapters.aws.writer import ObjectWriter
from batchyard.content.merge import merge, outcome_of_the_rest
from batchyard.core.batches import Batch, Status
from batchyard.core.errors import BooksDoNotBalance, ConditionFailed, NotReady
from batchyard.core.files import File
from batchyard.core.ids import derive_id
from batchyard.core.items import LineError, WorkItem
from batchyard.core.keys import file_key, manifest_key
from batchyard.core.result_lines import result_line
from batchyard.core.results import Outcome, Result, StoredResult, unfinished
from batchyard.core.sharding import Plan, read_manifest
from batchyard.core.shards import ClaimRefused, ShardRow, ShardState
from batchyard.core.usage import Tally

JSONL = "application/jsonl"
PURPOSE = "batch_output"

_SEALS_AT_ONCE = 16
_ENDS = {"completed": Status.COMPLETED, "expired": Status.EXPIRED, "failed": Status.FAILED}
_FAULT = LineError(
    "batch_failed", "The batch stopped because of an internal fault. Finished requests keep their results."
)
_LOST = LineError(
    "batch_failed", "The batch stopped because of an internal fault, and its results cannot be published."
)


@dataclass(frozen=True, slots=True)
class _Published:
    """The files of a run, None where there would be nothing in it."""

    output: File | None
    error: File | None
    tally: Tally


def finalize(
    account_id: str,
    batch_id: str,
    outcome: str,
    *,
    clock: Callable[[], int],
    batches: Batches,
    shards: Shards,
    objects: Objects,
) -> Batch:
    """The batch, terminal. `outcome`: completed, cancelled, expired or failed. Raises BooksDoNotBalance where results
    are missing or too many; only with the outcome `failed` the batch then ends all the same, without files."""
    found = batches.current(account_id, batch_id)
    if found.status.is_terminal:
        return found
    rows: Mapping[int, ShardRow] = {row.number: row for row in shards.rows(batch_id)} if found.plan else {}
    outcome = _as_the_shards_say(outcome, found, rows)
    if outcome == "completed" and found.plan is not None:
        _check_settled(found, found.plan, rows)
    batch = _begin(found, clock(), batches)
    if batch.status.is_terminal:
        return batch
    if (batch.plan is None) != (found.plan is None):
        raise NotReady(f"{batch_id} was validated meanwhile")
    end = _end_of(batch, outcome)
    errors = batch.errors if batch.is_doomed else (_FAULT,) if end is Status.FAILED else ()
    nothing = _Published(None, None, Tally())
    if batch.plan is None:
        if end is Status.COMPLETED:
            raise BooksDoNotBalance(f"{batch_id} cannot be completed without a plan")
        return _finish(batch, end, nothing, errors, clock(), batches, objects)
    rows = _final_rows(batch, batch.plan, outcome, rows, shards)
    try:
        published = _publish(batch, batch.plan, end, rows, clock(), objects)
    except (BooksDoNotBalance, ObjectMissing):
        if outcome != "failed":
            raise
        published, errors = nothing, (_LOST,)
    ended = _finish(batch, end, published, errors, clock(), batches, objects)
    if not ended.status.is_terminal:  # doomed meanwhile: once more, to end so
        return finalize(account_id, batch_id, outcome, clock=clock, batches=batches, shards=shards, objects=objects)
    return ended


def _begin(batch: Batch, now: int, batches: Batches) -> Batch:
    """in_progress -> finalizing: from here on it is too late to cancel."""
    if batch.status is not Status.IN_PROGRESS:
        return batch
    try:
        return batches.enter(batch, Status.FINALIZING, now)
    except ConditionFailed:
        return batches.current(batch.account_id, batch.id)


def _as_the_shards_say(outcome: str, batch: Batch, rows: Mapping[int, ShardRow]) -> str:
    """The outcome by what became of the shards. A run that was stopped before, by an execution that then died, is not
    complete: its sealed shards know why they are. A window that ended as the last shard settled was long enough."""
    if outcome == "completed":
        return next((row.fence for row in rows.values() if row.state is ShardState.SEALED and row.fence), outcome)
    settled = sum(row.state is ShardState.SETTLED for row in rows.values())
    return "completed" if outcome == "expired" and batch.plan and settled == batch.plan.shards else outcome


def _end_of(batch: Batch, outcome: str) -> Status:
    if batch.status is Status.CANCELLING:
        return Status.CANCELLED
    if batch.is_doomed:
        return Status.FAILED
    if outcome not in _ENDS:
        raise BooksDoNotBalance(f"{batch.id} is {batch.status} and cannot end as {outcome}")
    return _ENDS[outcome]


def _publish(
    batch: Batch, plan: Plan, end: Status, rows: Mapping[int, ShardRow], now: int, objects: Objects
) -> _Published:
    manifest = read_manifest(objects.get(manifest_key(batch.account_id, batch.id, plan.run)))
    if len(manifest) != plan.shards:
        raise BooksDoNotBalance(f"{batch.id} has {plan.shards} shards, its manifest {len(manifest)}")
    rest = outcome_of_the_rest(end)
    results = merge(batch, plan, manifest, rows, partial(_unfinished, rest), objects)
    with closing(results):
        output, error, counts = _write(batch, end, now, results, objects)
    tally = sum((row.tally for row in rows.values()), Tally())
    tally += Tally(**{str(rest): plan.items - tally.items})
    if any(counts[each] != getattr(tally, each) for each in Outcome):
        raise BooksDoNotBalance(f"{batch.id}: its files hold {dict(counts)}, its shards counted {tally}")
    return _Published(output, error, tally)


def _unsettled(plan: Plan, rows: Mapping[int, ShardRow]) -> list[int]:
    return [n for n in range(plan.shards) if n not in rows or rows[n].state is ShardState.OPEN]


def _check_settled(batch: Batch, plan: Plan, rows: Mapping[int, ShardRow]) -> None:
    """Raises BooksDoNotBalance, before anything of the batch has changed: a Finalize that comes too early must not
    keep its shards from going on."""
    if unsettled := _unsettled(plan, rows):
        raise BooksDoNotBalance(f"{batch.id} is complete, yet {len(unsettled)} shards are not, first: {unsettled[0]}")


def _final_rows(
    batch: Batch, plan: Plan, outcome: str, rows: Mapping[int, ShardRow], shards: Shards
) -> Mapping[int, ShardRow]:
    """Every shard's row, which nobody can change any more. `rows`: those that there are."""
    unsettled = _unsettled(plan, rows)
    if not unsettled:
        return rows

    def seal(number: int) -> None:
        with suppress(ClaimRefused):
            shards.seal(batch.id, number, outcome)

    with ThreadPoolExecutor(_SEALS_AT_ONCE) as pool:
        list(pool.map(seal, unsettled))
    return {row.number: row for row in shards.rows(batch.id)}


def _unfinished(outcome: Outcome, item: WorkItem) -> Result:
    return unfinished(item.index, item.custom_id, outcome)


def _write(
    batch: Batch, end: Status, now: int, results: Iterator[StoredResult], objects: Objects
) -> tuple[File | None, File | None, Counter[Outcome]]:
    """The output file, the error file, and how many results of which outcome they hold."""
    counts: Counter[Outcome] = Counter()
    with ExitStack() as stack:
        output, error = (_Sheet(batch, end, kind, objects, stack) for kind in ("output", "error"))
        for result in results:
            counts[result.outcome] += 1
            (output if result.outcome is Outcome.SUCCEEDED else error).write(result_line(result))
    return output.file(now), error.file(now), counts


class _Sheet:
    """One of the two files. Its object is begun with its first line."""

    def __init__(self, batch: Batch, end: Status, kind: str, objects: Objects, stack: ExitStack) -> None:
        self._id = derive_id("file-", batch.id, f"{end}/{kind}")
        self._name = f"{batch.id}_{kind}.jsonl"
        self._batch = batch
        self._objects = objects
        self._stack = stack
        self._writer: ObjectWriter | None = None
        self._rows = 0

    def write(self, line: bytes) -> None:
        if self._writer is None:
            key = file_key(self._batch.account_id, self._id)
            self._writer = self._stack.enter_context(self._objects.writer(key, JSONL))
        self._writer.write(line)
        self._rows += 1

    def file(self, now: int) -> File | None:
        if self._writer is None:
            return None
        seconds = self._batch.output_expires_after_seconds
        return File(
            id=self._id,
            account_id=self._batch.account_id,
            filename=self._name,
            purpose=PURPOSE,
            bytes=self._writer.bytes_written,
            created_at=now,
            expires_at=None if seconds is None else now + seconds,
            rows=self._rows,
        )


def _finish(
    batch: Batch,
    end: Status,
    published: _Published,
    errors: tuple[LineError, ...],
    now: int,
    batches: Batches,
    objects: Objects,
) -> Batch:
    files = (published.output, published.error)
    try:
        return batches.finish(batch, end, now, tally=published.tally, files=files, errors=errors)
    except ConditionFailed:
        winner = batches.current(batch.account_id, batch.id)
        if not winner.status.is_terminal and not (winner.is_doomed and end is not Status.FAILED):
            raise
        kept = (winner.output_file_id, winner.error_file_id)
        objects.delete_many(file_key(file.account_id, file.id) for file in files if file and file.id not in kept)
        return winner
