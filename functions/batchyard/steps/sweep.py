"""Sweep: find batches whose execution never started or has died, and start them again; send again the shards whose
owner died (`recover`).

Every step picks up where the rows say, so a further execution finishes what the first one left. Each one waits twice as
long as the one before it, so that an outage does not use them all up. A batch that has used up its executions is closed
as failed, with the results it has.

Which executions run is asked for all batches at once. Only those that are not among them are looked at one by one: they
have ended, never started, or did so a moment ago. An execution that ended a moment ago is found by the next sweep.

A sweep has so much time. Each begins at another one of the open batches, so that with very many of them all get their
turn.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.open_batches import OpenBatch
from batchyard.adapters.aws.workflow import Life, Workflow, execution_name
from batchyard.core.batches import Batch, Ending
from batchyard.core.endings import asked_of
from batchyard.core.errors import ConditionFailed

_LONGEST_WAIT_SECONDS = 3600
_GOLDEN_RATIO = 0.618034


@dataclass(frozen=True, slots=True)
class Revived:
    batch_id: str
    execution: int


@dataclass(frozen=True, slots=True)
class SentAgain:
    """Shards whose owner died."""

    batch_id: str
    shards: list[int]


@dataclass(frozen=True, slots=True)
class SweepLimits:
    """`grace_seconds`: how old a batch must be to be started again, and how long ago its first execution must have
    ended. `max_executions`: how many further ones a batch may have."""

    grace_seconds: int
    max_executions: int


def sweep(
    *,
    now: int,
    limits: SweepLimits,
    batches: Batches,
    workflow: Workflow,
    recover: Callable[[Batch], list[int]],
    has_time: Callable[[], bool],
) -> Iterator[Revived | SentAgain]:
    """What was started or sent again in this call. `recover`: the step of that name, bound to its adapters; a batch
    that was just started again does not need it, because its execution dispatches it. Raises what went wrong with some
    batches once all others had their turn, or there `has_time` no more."""
    found = _in_turns(batches.open.oldest(), now)
    new_since = now - limits.grace_seconds
    running: Container[str] = ()
    faults: list[Exception] = []
    if any(each.created_at <= new_since for each in found):
        try:
            running = workflow.running()
        except Exception as fault:  # then each one is looked at
            faults.append(fault)
    for ref, created_at in found:
        if not has_time():
            break
        is_new = created_at > new_since
        try:
            batch = batches.get(ref, consistent=True)
            if batch is None or batch.status.is_terminal:
                batches.open.forget(ref.batch_id)
                continue
            revived = None if is_new else _look_after(batch, now, limits, batches, workflow, running)
            sent = [] if revived else recover(batch)
        except Exception as fault:
            faults.append(fault)
            continue
        if revived is not None:
            yield revived
        if sent:
            yield SentAgain(ref.batch_id, sent)
    if faults:
        raise ExceptionGroup("batches that could not be looked after", faults)


def _in_turns(found: list[OpenBatch], now: int) -> list[OpenBatch]:
    """Beginning elsewhere each minute: multiples of the golden ratio leave no part of the list out for long."""
    first = int(now // 60 * _GOLDEN_RATIO % 1 * len(found))
    return found[first:] + found[:first]


def _look_after(
    batch: Batch, now: int, limits: SweepLimits, batches: Batches, workflow: Workflow, running: Container[str]
) -> Revived | None:
    if execution_name(batch.id, batch.executions) in running:
        _repeat_wake(batch, workflow)
        return None
    last = workflow.execution(batch.id, batch.executions)
    if last.life is Life.RUNNING:
        _repeat_wake(batch, workflow)
        return None
    number = batch.executions
    if last.life is Life.ENDED:
        if now < last.ended_at + min(limits.grace_seconds << number, _LONGEST_WAIT_SECONDS):
            return None
        try:
            number = batches.count_execution(batch)
        except ConditionFailed:  # the batch ended, or another sweep was faster
            return None
    workflow.start(batch.ref, number, Ending.FAILED if number > limits.max_executions else None)
    return Revived(batch.id, number)


def _repeat_wake(batch: Batch, workflow: Workflow) -> None:
    """If a cancel or a deletion died after it had changed the batch's row and before it woke the execution, the
    execution would wait until the deadline."""
    asked = asked_of(batch)
    if batch.task_token is not None and asked is not Ending.COMPLETED:
        workflow.wake(batch.task_token, asked)
