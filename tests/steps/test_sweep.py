"""Sweep: a batch whose execution is missing or dead is started again, and closed when nothing helps."""

from __future__ import annotations

import time

import pytest

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.clients import client
from batchyard.adapters.aws.files import Files
from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.workflow import Execution, Life, Workflow
from batchyard.core.batches import Status
from batchyard.core.files import File, FileRef
from batchyard.handlers import sweep as handler
from batchyard.steps.sweep import Revived, SentAgain, SweepLimits, sweep
from tests.api.api import Cloud
from tests.api.gateway import Context
from tests.steps.running import (
    ACCOUNT,
    BATCH,
    BATCH_ID,
    NOW,
    RecordedWorkflow,
    create_batch,
    make_batch,
    plan,
    start_batch,
)


def run(batches: Batches, workflow: RecordedWorkflow, now: int = NOW + 10_000) -> list[tuple[str, int]]:
    found = sweep(
        now=now,
        limits=SweepLimits(grace_seconds=120, max_executions=2),
        batches=batches,
        workflow=workflow,  # type: ignore[arg-type]
        recover=lambda batch: [],
        has_time=lambda: True,
    )
    return [(one.batch_id, one.execution) for one in found if isinstance(one, Revived)]


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
    assert [ending for _, _, ending in workflow.started] == [None, None, "failed", "failed"]


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
    assert batches.open.oldest() == []
    assert batches.get(BATCH) is not None


def test_each_further_execution_waits_twice_as_long(batches: Batches) -> None:
    """An outage of half an hour must not use up every execution of every batch."""
    create_batch(batches)
    workflow = RecordedWorkflow(lives={(BATCH_ID, 0): Life.ENDED})
    assert run(batches, workflow, NOW + 121) == [(BATCH_ID, 1)]
    workflow.lives[BATCH_ID, 1] = Life.ENDED
    assert run(batches, workflow, NOW + 239) == []
    assert run(batches, workflow, NOW + 240) == [(BATCH_ID, 2)]
    workflow.lives[BATCH_ID, 2] = Life.ENDED
    assert run(batches, workflow, NOW + 479) == []
    assert run(batches, workflow, NOW + 480) == [(BATCH_ID, 3)]


def test_an_execution_that_was_counted_and_never_started_is_started(batches: Batches) -> None:
    """Sweep died between the two, or Step Functions refused: no number is used up, or an outage would fail batches."""
    create_batch(batches)
    workflow = RecordedWorkflow(lives={(BATCH_ID, 0): Life.ENDED})
    for _ in range(5):
        assert run(batches, workflow) == [(BATCH_ID, 1)]
        del workflow.lives[BATCH_ID, 1]
    assert set(workflow.started) == {(BATCH_ID, 1, None)}


def test_a_batch_that_ends_meanwhile_is_not_started_again(batches: Batches, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its execution had ended because the batch had: nothing moves any more, the count of executions neither."""
    batch = create_batch(batches)
    workflow = RecordedWorkflow(lives={(BATCH_ID, 0): Life.ENDED})
    execution = workflow.execution

    def ends_just_now(batch_id: str, number: int = 0) -> Execution:
        batches.finish(batch, Status.FAILED, NOW + 3)
        return execution(batch_id, number)

    monkeypatch.setattr(workflow, "execution", ends_just_now)
    assert run(batches, workflow) == []
    ended = batches.get(BATCH)
    assert ended is not None and (ended.status, ended.executions) == (Status.FAILED, 0)


def test_a_young_batch_hides_no_older_one(batches: Batches) -> None:
    """A dropped file's batch bears the time of the file, however late it was taken in: ids are in no order of age."""
    batches.create(make_batch("batch_0", created_at=NOW + 9_990))
    batches.create(make_batch("batch_1"))
    assert run(batches, RecordedWorkflow()) == [("batch_1", 0)]


def test_one_batch_that_cannot_be_looked_after_keeps_no_other_waiting(
    batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others have their turn, then what went wrong is raised."""
    for number in range(3):
        batches.create(make_batch(f"batch_{number}"))
    workflow = RecordedWorkflow()
    execution = workflow.execution

    def broken(batch_id: str, number: int = 0) -> Execution:
        if batch_id == "batch_1":
            raise ConnectionError("Step Functions is away")
        return execution(batch_id, number)

    monkeypatch.setattr(workflow, "execution", broken)
    with pytest.raises(ExceptionGroup) as caught:
        run(batches, workflow)
    assert [str(fault) for fault in caught.value.exceptions] == ["Step Functions is away"]
    assert {batch_id for batch_id, _, _ in workflow.started} == {"batch_0", "batch_2"}


def test_with_too_little_time_each_sweep_has_others_in_turn(batches: Batches) -> None:
    """Time for two of seven batches: no sweep looks at more, and in ten minutes all had their turn."""
    for number in range(7):
        batches.create(make_batch(f"batch_{number}"))
    workflow = RecordedWorkflow()
    for minute in range(10):
        left = iter([True, True, False])
        found = sweep(
            now=NOW + 10_000 + 60 * minute,
            limits=SweepLimits(grace_seconds=120, max_executions=2),
            batches=batches,
            workflow=workflow,  # type: ignore[arg-type]
            recover=lambda batch: [],
            has_time=lambda left=left: next(left),  # type: ignore[misc]
        )
        assert len(list(found)) <= 2
    assert {batch_id for batch_id, _, _ in workflow.started} == {f"batch_{number}" for number in range(7)}


def test_a_batch_that_was_started_again_is_left_to_its_execution(batches: Batches) -> None:
    """Dispatch sends whatever is due; of all others the shards are looked at, and told."""
    batches.create(make_batch("batch_0"))
    batches.create(make_batch("batch_1"))
    found = sweep(
        now=NOW + 10_000,
        limits=SweepLimits(grace_seconds=120, max_executions=2),
        batches=batches,
        workflow=RecordedWorkflow(lives={("batch_0", 0): Life.RUNNING}),  # type: ignore[arg-type]
        recover=lambda batch: [3, 4],
        has_time=lambda: True,
    )
    assert sorted(found, key=lambda one: one.batch_id) == [SentAgain("batch_0", [3, 4]), Revived("batch_1", 0)]


def test_running_executions_are_asked_for_together(batches: Batches) -> None:
    """However many batches run: only those whose execution does not are looked at one by one."""
    for number in range(5):
        batches.create(make_batch(f"batch_{number}"))
    workflow = RecordedWorkflow(lives={(f"batch_{number}", 0): Life.RUNNING for number in (0, 1, 3)})
    assert sorted(run(batches, workflow)) == [("batch_2", 0), ("batch_4", 0)]
    assert sorted(workflow.described) == [("batch_2", 0), ("batch_4", 0)]


def test_without_the_list_each_execution_is_looked_at(batches: Batches, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that cannot be had keeps no batch waiting, and is told."""
    batches.create(make_batch("batch_0"))
    batches.create(make_batch("batch_1"))
    workflow = RecordedWorkflow(lives={("batch_1", 0): Life.RUNNING})

    def refused() -> frozenset[str]:
        raise ConnectionError("Step Functions is busy")

    monkeypatch.setattr(workflow, "running", refused)
    with pytest.raises(ExceptionGroup) as caught:
        run(batches, workflow)
    assert [str(fault) for fault in caught.value.exceptions] == ["Step Functions is busy"]
    assert workflow.started == [("batch_0", 0, None)]


def test_lost_shards_of_a_young_batch_are_found(batches: Batches) -> None:
    """Its execution is left alone, but a killed worker is as dead as in an old batch."""
    batches.create(make_batch("batch_0"))
    workflow = RecordedWorkflow()
    found = sweep(
        now=NOW + 5,
        limits=SweepLimits(grace_seconds=120, max_executions=2),
        batches=batches,
        workflow=workflow,  # type: ignore[arg-type]
        recover=lambda batch: [3],
        has_time=lambda: True,
    )
    assert list(found) == [SentAgain("batch_0", [3])]
    assert workflow.started == []


def test_files_expire_though_a_batch_cannot_be_looked_after(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The duties of the schedule do not hinder each other: neither the last one the first,"""
    files = Files(cloud.table)
    files.put(File("file-1", ACCOUNT, "r.jsonl", "batch", 3, 1, expires_at=2))
    create_batch(Batches(cloud.table))
    monkeypatch.setenv("SWEEP_GRACE_SECONDS", str(-NOW))
    monkeypatch.setattr(Workflow, "execution", None)
    with pytest.raises(ExceptionGroup):
        handler.handler({}, Context())
    assert files.get(FileRef(ACCOUNT, "file-1")) is None


def test_batches_are_looked_after_though_files_cannot_expire(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """nor the first one the last."""
    create_batch(Batches(cloud.table))
    monkeypatch.setenv("SWEEP_GRACE_SECONDS", str(-NOW))
    monkeypatch.setattr(Files, "expired", None)
    with pytest.raises(ExceptionGroup):
        handler.handler({}, Context())
    assert cloud.started == [BATCH_ID]


def test_an_execution_is_absent_running_or_ended_since_some_second(cloud: Cloud) -> None:
    """What Step Functions says of it."""
    workflow = Workflow(client("stepfunctions"), cloud.state_machine_arn)
    assert workflow.execution(BATCH_ID, 2) == Execution(Life.ABSENT)
    workflow.start(BATCH, 2)
    assert workflow.execution(BATCH_ID, 2).life is Life.RUNNING
    assert workflow.running() == {f"{BATCH_ID}-2"}
    arn = f"{cloud.state_machine_arn.replace(':stateMachine:', ':execution:')}:{BATCH_ID}-2"
    client("stepfunctions").stop_execution(executionArn=arn)
    ended = workflow.execution(BATCH_ID, 2)
    assert workflow.running() == frozenset()
    assert ended.life is Life.ENDED and abs(ended.ended_at - time.time()) < 60
