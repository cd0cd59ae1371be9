"""Delete: a file, its bytes first, what batches hold of it, and the batches that live on it if that is the rule.

A batch may be made from the file at the same time. If it was made before the file's row was deleted, there is a row by
which this step finds it; if after, its validation finds no file. So no batch is missed, and all of this may be repeated
after a crash at any point.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.stores import Stores
from batchyard.adapters.aws.workflow import Workflow
from batchyard.content import files as stored
from batchyard.content.files import own_keys
from batchyard.core.batches import Batch, BatchRef, Ending, Status
from batchyard.core.errors import ConditionFailed
from batchyard.core.files import File, FileRef
from batchyard.core.items import LineError
from batchyard.steps.purge import note_results, note_work, purge_now

_THREADS = 16


def delete(
    ref: FileRef,
    *,
    now: int,
    stores: Stores,
    workflow: Workflow,
    end_batches: bool,
) -> File:
    """The file that was deleted. Raises NotFound. `end_batches`: batches made from it that have not ended end as
    failed, with the results they have."""
    file = stores.files.get(ref, consistent=True)
    if file is None or file.is_expired(now):
        if end_batches:
            _end_batches(ref, now, stores.batches, workflow)
        purge_now(note_work(ref, stores=stores), stores)
        raise stored.missing(ref.file_id)
    stores.objects.delete_many(own_keys(ref))
    leftovers = note_results(file, stores=stores)
    stores.files.delete(ref)
    if end_batches:
        _end_batches(ref, now, stores.batches, workflow)
    purge_now(leftovers + note_work(ref, stores=stores), stores)
    return file


def _end_batches(ref: FileRef, now: int, batches: Batches, workflow: Workflow) -> None:
    reason = LineError(
        "input_file_deleted",
        f"The input file {ref.file_id} was deleted, which ends the batches that refer to it.",
        param="input_file_id",
    )

    def end(batch_id: str) -> None:
        for batch in _while_it_is_open(BatchRef(ref.account_id, batch_id), batches):
            if _end(batch, reason, now, batches, workflow):
                return

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(end, batches.made_from(ref)))


def _while_it_is_open(ref: BatchRef, batches: Batches) -> Iterator[Batch]:
    """The batch as it stands, again and again, until it is over or the caller, whose writes may lose against others,
    has done what it wanted."""
    while (batch := batches.get(ref, consistent=True)) is not None and not batch.status.is_terminal:
        yield batch


def _end(batch: Batch, reason: LineError, now: int, batches: Batches, workflow: Workflow) -> bool:
    """Whether the batch is over, or will be for this reason or an earlier one. Nothing of a batch that is validating
    has run, so it ends here, and its execution finds that out. One that runs is doomed, and its execution is woken."""
    if batch.status is Status.CANCELLING:
        return True
    try:
        if batch.status is Status.VALIDATING:
            batches.finish(batch, Status.FAILED, now, errors=(reason,))
            return True
        if not batch.is_doomed:
            batch = batches.doom(batch, (reason,))
    except ConditionFailed:
        return False
    if batch.task_token is not None:
        workflow.wake(batch.task_token, Ending.FAILED)
    return True
