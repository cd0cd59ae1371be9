"""Sweep: a batch whose execution is missing or dead is started again, and closed when nothing helps."""

from __future__ import annotations

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.workflow import Life
from batchyard.core.batches import Status
from batchyard.steps.sweep import sweep
from tests.contract.running import ACCOUNT, BATCH_ID, NOW, RecordedWorkflow, create_batch, plan, start_batch


def run(batches: Batches, workflow: RecordedWorkflow, now: int = NOW + 1000) -> list[tuple[str, int]]:
    found = sweep(
        now=now,
        grace_seconds=120,
        max_executions=2,
        batches=batches,
        workflow=workflow,  # type: ignore[arg-type]
    )
    return [(one.batch_id, one.execution) for one in found]


def test_a_batch_whose_start_was_lost_is_started(batches: Batches) -> None:
    """Created, never started: the same execution that creation would have started. Young batches are left alone."""
    create_batch(batches)
    workflow = RecordedWorkflow()
    assert run(batches, workflow, NOW + 60) == []
    assert run(batches, workflow) == [(BATCH_ID, 0)]
    assert workflow.started == [(BATCH_ID, 0, None)]
    assert run(batches, workflow) == []


def test_a_dead_execution_is_followed_by_another_and_in_the_end_the_batch_is_closed(batches: Batches) -> None:
    """Two further tries; from then on executions that close the batch as failed."""
    create_batch(batches)
    workflow = RecordedWorkflow(lives={(BATCH_ID, 0): Life.ENDED})
    for execution in (1, 2, 3, 4):
        assert run(batches, workflow) == [(BATCH_ID, execution)]
        workflow.lives[BATCH_ID, execution] = Life.ENDED
    assert [outcome for _, _, outcome in workflow.started] == [None, None, "failed", "failed"]


def test_a_cancel_that_lost_its_wake_up_is_repeated(batches: Batches, objects: Objects) -> None:
    """Cancelling, execution running and waiting: the token is used again."""
    batch = batches.set_task_token(start_batch(batches, objects, plan({"a": 1})), "token")
    batches.enter(batch, Status.CANCELLING, NOW + 3)
    workflow = RecordedWorkflow(lives={(BATCH_ID, 0): Life.RUNNING})
    assert run(batches, workflow) == []
    assert workflow.woken == [("token", "cancelled")]


def test_a_terminal_batch_is_forgotten(batches: Batches) -> None:
    """An open row that outlived its batch is dropped, and nothing is started."""
    batch = create_batch(batches)
    batches.enter(batch, Status.FAILED, NOW + 3)
    workflow = RecordedWorkflow()
    assert run(batches, workflow) == []
    assert batches.open_batches() == []
    assert batches.get(ACCOUNT, BATCH_ID) is not None
