"""Sweep: find batches whose execution never started or has died, and start them again.

Every step goes on from what the rows say, so a further execution finishes what the first one left. Each one waits twice
as long as the one before it, so that an outage does not use them all up. A batch that has used up its executions is
closed as failed, with the results it has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.workflow import Life, Workflow
from batchyard.core.batches import Batch, BatchRef, Ending
from batchyard.core.endings import asked_of
from batchyard.core.errors import ConditionFailed

_LONGEST_WAIT_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class Revived:
    batch_id: str
    execution: int


def sweep(
    *, now: int, grace_seconds: int, max_executions: int, batches: Batches, workflow: Workflow
) -> Iterator[Revived]:
    """The batches started again in this call. `grace_seconds`: how old a batch must be to be looked at, and how long
    ago its first execution must have ended. If something goes wrong with some batches, the others are looked at first,
    and then it is raised."""
    faults: list[Exception] = []
    for account_id, batch_id, created_at in batches.open_batches():
        if created_at > now - grace_seconds:
            continue
        try:
            batch = batches.get(BatchRef(account_id, batch_id), consistent=True)
            if batch is None or batch.status.is_terminal:
                batches.forget_open(batch_id)
                continue
            revived = _look_after(batch, now, grace_seconds, max_executions, batches, workflow)
        except Exception as fault:
            faults.append(fault)
            continue
        if revived is not None:
            yield revived
    if faults:
        raise ExceptionGroup("batches that could not be looked after", faults)


def _look_after(
    batch: Batch, now: int, grace_seconds: int, max_executions: int, batches: Batches, workflow: Workflow
) -> Revived | None:
    last = workflow.execution(batch.id, batch.executions)
    if last.life is Life.RUNNING:
        _repeat_wake(batch, workflow)
        return None
    number = batch.executions
    if last.life is Life.ENDED:
        if now < last.ended_at + min(grace_seconds << number, _LONGEST_WAIT_SECONDS):
            return None
        try:
            number = batches.count_execution(batch)
        except ConditionFailed:  # the batch ended, or another sweep was faster
            return None
    workflow.start(batch.ref, number, Ending.FAILED if number > max_executions else None)
    return Revived(batch.id, number)


def _repeat_wake(batch: Batch, workflow: Workflow) -> None:
    """If a cancel or a deletion died after it had changed the batch's row and before it woke the execution, the
    execution would wait until the deadline."""
    asked = asked_of(batch)
    if batch.task_token is not None and asked is not Ending.COMPLETED:
        workflow.wake(batch.task_token, asked)
