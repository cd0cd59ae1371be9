"""Sweep: find batches whose execution never started or has died, and start them again.

Every step picks up where the rows say, so a further execution finishes what the first one left. A batch that has used
up its executions is closed as failed, with the results it has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.workflow import Life, Workflow
from batchyard.core.batches import Batch, Status


@dataclass(frozen=True, slots=True)
class Revived:
    batch_id: str
    execution: int


def sweep(
    *, now: int, grace_seconds: int, max_executions: int, batches: Batches, workflow: Workflow
) -> Iterator[Revived]:
    """The batches started again in this call. `grace_seconds`: how old a batch must be to be looked at."""
    for account_id, batch_id, created_at in batches.open_batches():
        if created_at > now - grace_seconds:
            return
        batch = batches.get(account_id, batch_id, consistent=True)
        if batch is None or batch.status.is_terminal:
            batches.forget_open(batch_id)
        elif workflow.life(batch.id, batch.executions) is Life.RUNNING:
            _repeat_wake(batch, workflow)
        else:
            yield _revive(batch, max_executions, batches, workflow)


def _repeat_wake(batch: Batch, workflow: Workflow) -> None:
    """A cancel or a deletion that died between the batch's row and its wake-up would leave the execution waiting until
    the deadline."""
    if batch.task_token is None:
        return
    if batch.status is Status.CANCELLING:
        workflow.wake(batch.task_token, "cancelled")
    elif batch.is_doomed:
        workflow.wake(batch.task_token, "failed")


def _revive(batch: Batch, max_executions: int, batches: Batches, workflow: Workflow) -> Revived:
    if batch.executions == 0 and workflow.life(batch.id) is Life.ABSENT:
        workflow.start(batch.account_id, batch.id)
        return Revived(batch.id, 0)
    execution = batches.count_execution(batch)
    outcome = "failed" if execution > max_executions else None
    workflow.start(batch.account_id, batch.id, execution, outcome)
    return Revived(batch.id, execution)
