"""Finalize: write a batch's output and error files, check the books, and end it.

How it ends is decided in `core/endings.py`. Each item that was never finished gets a result that says so. Results are
read from the parts that shard rows name, and from nothing else. The files' ids derive from the batch and its ending, so
that a second run writes the same bytes under the same keys; files, figures and status become visible in one
transaction. A run that takes over from one that died ends the batch as that one would have, as a rule. If runs come to
different endings, what those have written that are not the batch's is removed once it is over: no row names it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.objects import ObjectMissing, Objects
from batchyard.adapters.aws.shards import Shards
from batchyard.adapters.aws.stores import Stores
from batchyard.adapters.aws.writer import ObjectWriter
from batchyard.content.merge import merge
from batchyard.core.batches import Batch, BatchRef, Ending, Status
from batchyard.core.endings import Rows, ending_of, errors_of, open_shards, outcome_of_the_rest
from batchyard.core.errors import BooksDoNotBalance, ConditionFailed
from batchyard.core.files import File
from batchyard.core.ids import derive_id
from batchyard.core.items import LineError
from batchyard.core.keys import file_key, manifest_key
from batchyard.core.result_lines import result_line
from batchyard.core.results import Outcome, StoredResult
from batchyard.core.sharding import Plan, read_manifest
from batchyard.core.shards import ClaimRefused
from batchyard.core.usage import Tally

JSONL = "application/jsonl"
_PURPOSE = "batch_output"
_KINDS = ("output", "error")

_TRIES = 3
"""A batch can change twice while it is finalized: it can be doomed, and it can end."""
_SEALS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class _Published:
    """What a run has written: the files (None for one that would be empty), and the figures of the results in them."""

    output: File | None = None
    error: File | None = None
    tally: Tally = field(default_factory=Tally)

    @property
    def files(self) -> tuple[File | None, File | None]:
        return self.output, self.error


def finalize(ref: BatchRef, asked: Ending, *, clock: Callable[[], int], stores: Stores) -> Batch:
    """The batch, terminal. `asked`: the ending that the state machine asks for. Raises BooksDoNotBalance if results are
    missing or too many; a batch that ends as failed ends even then, without files. Raises ConditionFailed if the batch
    keeps changing."""
    batch = _end(ref, asked, clock, stores)
    _delete_unpublished(batch, stores.objects)
    return batch


def _end(ref: BatchRef, asked: Ending, clock: Callable[[], int], stores: Stores) -> Batch:
    batches = stores.batches
    for _ in range(_TRIES):
        found = batches.current(ref)
        if found.status.is_terminal:
            return found
        rows: Rows = {row.number: row for row in stores.shards.rows(found.id)} if found.plan else {}
        ending_of(found, rows, asked)  # raises before anything has changed: a Finalize too early must not stop shards
        batch = _begin(found, clock(), batches)
        if batch.status.is_terminal:
            return batch
        ending = ending_of(batch, rows, asked)
        published, errors = _close(batch, rows, ending, asked, clock(), stores)
        with suppress(ConditionFailed):
            return batches.finish(
                batch, ending.status, clock(), tally=published.tally, files=published.files, errors=errors
            )
    return _over(batches.current(ref))


def _begin(batch: Batch, now: int, batches: Batches) -> Batch:
    """in_progress -> finalizing: from here on it is too late to cancel."""
    if batch.status is not Status.IN_PROGRESS:
        return batch
    try:
        return batches.enter(batch, Status.FINALIZING, now)
    except ConditionFailed:
        return batches.current(batch.ref)


def _close(
    batch: Batch, rows: Rows, ending: Ending, asked: Ending, now: int, stores: Stores
) -> tuple[_Published, tuple[LineError, ...]]:
    """What is published of the batch, and the errors it ends with."""
    if batch.plan is None:
        return _Published(), errors_of(batch, ending)
    rows = _seal(batch, batch.plan, rows, ending, stores.shards)
    try:
        return _publish(batch, batch.plan, rows, ending, now, stores.objects), errors_of(batch, ending)
    except (BooksDoNotBalance, ObjectMissing):
        if Ending.FAILED not in (asked, ending):
            raise
        return _Published(), errors_of(batch, ending, results_lost=True)


def _seal(batch: Batch, plan: Plan, rows: Rows, ending: Ending, shards: Shards) -> Rows:
    """Seals every shard that has not settled. The rows, which nobody can change from here on."""
    unsettled = open_shards(plan, rows)
    if not unsettled:
        return rows

    def seal(number: int) -> None:
        with suppress(ClaimRefused):
            shards.seal(batch.id, number, ending)

    with ThreadPoolExecutor(_SEALS_AT_ONCE) as pool:
        list(pool.map(seal, unsettled))
    return {row.number: row for row in shards.rows(batch.id)}


def _publish(batch: Batch, plan: Plan, rows: Rows, ending: Ending, now: int, objects: Objects) -> _Published:
    manifest = read_manifest(objects.get(manifest_key(batch.account_id, batch.id, plan.run)))
    if len(manifest) != plan.shards:
        raise BooksDoNotBalance(f"{batch.id} has {plan.shards} shards, its manifest {len(manifest)}")
    rest = outcome_of_the_rest(ending)
    results = merge(batch, plan, manifest, rows, rest, objects)
    with closing(results):
        output, error, counts = _write(batch, ending, now, results, objects)
    tally = sum((row.tally for row in rows.values()), Tally())
    tally += Tally(**{str(rest): plan.items - plan.copies - tally.items})
    copied = {each: counts[each] - getattr(tally, each) for each in Outcome}
    if min(copied.values()) < 0 or sum(copied.values()) != plan.copies:
        raise BooksDoNotBalance(f"{batch.id}: its files hold {dict(counts)}, its shards counted {tally}")
    return _Published(output, error, tally + Tally(**copied))


def _delete_unpublished(batch: Batch, objects: Objects) -> None:
    """Deletes what runs have written that died, or lost, before the batch ended otherwise. Every run that finds the
    batch over does so, because the one that ended it may have died as well."""
    if batch.plan is None:
        return
    kept = (batch.output_file_id, batch.error_file_id)
    written = (_file_id(batch, ending, kind) for ending in Ending for kind in _KINDS)
    objects.delete_many(file_key(batch.account_id, each) for each in written if each not in kept)


def _file_id(batch: Batch, ending: Ending, kind: str) -> str:
    return derive_id("file-", batch.id, f"{ending}/{kind}")


def _over(batch: Batch) -> Batch:
    if not batch.status.is_terminal:
        raise ConditionFailed(f"{batch.id} is {batch.status} and changed each time it was to end")
    return batch


def _write(
    batch: Batch, ending: Ending, now: int, results: Iterator[StoredResult], objects: Objects
) -> tuple[File | None, File | None, Counter[Outcome]]:
    """Writes output and error file. Returns them (None for one that would be empty), and how many results of each
    outcome they hold."""
    counts: Counter[Outcome] = Counter()
    with ExitStack() as stack:
        output, error = (_Sheet(batch, ending, kind, objects, stack) for kind in _KINDS)
        for result in results:
            counts[result.outcome] += 1
            (output if result.outcome is Outcome.SUCCEEDED else error).write(result_line(result))
    return output.file(now), error.file(now), counts


class _Sheet:
    """One of the two files. Its first line creates the object."""

    def __init__(self, batch: Batch, ending: Ending, kind: str, objects: Objects, stack: ExitStack) -> None:
        self._id = _file_id(batch, ending, kind)
        self._name = f"{batch.id}_{kind}.jsonl"
        self._batch = batch
        self._objects = objects
        self._stack = stack
        self._writer: ObjectWriter | None = None
        self._lines = 0

    def write(self, line: bytes) -> None:
        if self._writer is None:
            key = file_key(self._batch.account_id, self._id)
            self._writer = self._stack.enter_context(self._objects.writer(key, JSONL))
        self._writer.write(line)
        self._lines += 1

    def file(self, now: int) -> File | None:
        if self._writer is None:
            return None
        seconds = self._batch.output_expires_after_seconds
        return File(
            id=self._id,
            account_id=self._batch.account_id,
            filename=self._name,
            purpose=_PURPOSE,
            bytes=self._writer.bytes_written,
            created_at=now,
            expires_at=None if seconds is None else now + seconds,
            lines=self._lines,
            batch_id=self._batch.id,
        )
