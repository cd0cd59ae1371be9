"""Cancel: fence a batch's row, then wake its execution, which drains what is in flight and keeps what is done."""

from __future__ import annotations

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.workflow import Workflow
from batchyard.core.batches import FROM, Batch, BatchRef, Ending, Status
from batchyard.core.errors import ConditionFailed, Conflict, NotFound


def cancel(ref: BatchRef, *, now: int, batches: Batches, workflow: Workflow) -> Batch:
    """The batch, `cancelling` or already `cancelled`. Raises NotFound, or Conflict if it ended otherwise."""
    batch = batches.get(ref, consistent=True)
    if batch is None:
        raise missing(ref.batch_id)
    if batch.status is Status.CANCELLED:
        return batch
    if batch.status is not Status.CANCELLING:
        if batch.status not in FROM[Status.CANCELLING]:
            raise Conflict(
                f"Cannot cancel a batch with status '{batch.status}'. Only one that is validating or in progress can.",
                param="batch_id",
                code="batch_not_cancellable",
            )
        try:
            batch = batches.enter(batch, Status.CANCELLING, now)
        except ConditionFailed:
            return cancel(ref, now=now, batches=batches, workflow=workflow)
    if batch.task_token is not None:
        workflow.wake(batch.task_token, Ending.CANCELLED)
    return batch


def missing(batch_id: str) -> NotFound:
    return NotFound(f"No batch found with id '{batch_id}'.", param="batch_id", code="batch_not_found")
