"""Delete a batch that is over: its files, what else it holds, and its row, in this order, so that a repeat after a
crash finishes what was begun. A file that its owner has uploaded stays, because other batches may be made from it; and
its webhook is told that the batch is over, as it would have been without the deletion."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from batchyard.adapters.aws.leftovers import Kind, Leftover
from batchyard.adapters.aws.stores import Stores
from batchyard.adapters.aws.workflow import Workflow
from batchyard.content.input_files import own_file_id
from batchyard.core.batches import Batch, BatchRef
from batchyard.core.errors import Conflict, NotFound
from batchyard.core.files import FileRef
from batchyard.steps import cancel
from batchyard.steps.delete import delete
from batchyard.steps.purge import note, purge_now

Announce = Callable[[BatchRef], object]
"""Makes the delivery of a batch that is over, unless it was made (`steps.announce`)."""


def delete_batch(ref: BatchRef, *, now: int, stores: Stores, workflow: Workflow, announce: Announce) -> Batch:
    """The batch that was deleted. Raises NotFound, or Conflict if it has not ended."""
    batch = stores.batches.get(ref, consistent=True)
    if batch is None:
        raise cancel.missing(ref.batch_id)
    if not batch.status.is_terminal:
        raise Conflict(
            f"The batch {batch.id} has not ended yet. Cancel it, and delete it when it has ended.",
            param="batch_id",
            code="batch_not_ended",
        )
    announce(ref)
    for file_id in _own_files(batch):
        with suppress(NotFound):  # it was deleted or has expired
            delete(FileRef(ref.account_id, file_id), now=now, stores=stores, workflow=workflow, end_batches=False)
    leftovers = note([Leftover(ref, Kind.RESULTS), Leftover(ref, Kind.WORK)], stores)
    stores.batches.delete(batch)
    purge_now(leftovers, stores)
    return batch


def _own_files(batch: Batch) -> list[str]:
    """Those that were made for it or by it."""
    made_for_it = own_file_id(batch.id)
    input_file_id = made_for_it if batch.input_file_id == made_for_it else None
    return [each for each in (input_file_id, batch.output_file_id, batch.error_file_id) if each is not None]
