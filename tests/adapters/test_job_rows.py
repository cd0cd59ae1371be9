"""Rows of provider jobs, of native lanes, and plans that change: conditional writes on moto's table."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.jobs import Jobs
from batchyard.adapters.aws.native_lanes import NativeLanes
from batchyard.adapters.aws.table import Table
from batchyard.core.batches import BatchRef, Ending, Status
from batchyard.core.errors import ConditionFailed, LeaseLost
from batchyard.core.jobs import JobHeld, JobRef, JobState, is_due
from batchyard.core.lanes import Lane, LaneId, Mode
from batchyard.core.native_history import NativeHistory
from batchyard.core.sharding import LaneShards, Plan, Shard
from tests.steps.running import NOW, create_batch

REF = JobRef(BatchRef("acct_a", "batch_1"), 4, 3)
REALTIME = Lane("openai", "m")
PLAN = Plan(
    "run", 4, 2, (LaneShards(replace(REALTIME, mode=Mode.NATIVE), 0, 2, 4, NOW, (REALTIME,)),), 128, False, None
)


@pytest.fixture
def jobs(table: Table) -> Jobs:
    return Jobs(table)


def test_a_job_has_one_owner_at_a_time(jobs: Jobs) -> None:
    """Who comes too early is told so; who comes after the lease has it, and the first one can write no more."""
    first = jobs.claim(REF, "a", NOW, NOW + 60)
    assert (first.number, first.shards, first.state, first.version) == (4, 3, JobState.SUBMITTING, 1)
    with pytest.raises(JobHeld) as held:
        jobs.claim(REF, "b", NOW + 60, NOW + 120)
    assert held.value.row.owner == "a"
    assert jobs.claim(REF, "a", NOW, NOW + 60) == first, "its own claim, repeated because the answer got lost"
    assert jobs.claim(REF, "b", NOW + 61, NOW + 120).version == 2
    with pytest.raises(LeaseLost):
        jobs.change(REF.batch.batch_id, first, attempt=1)


def test_what_is_written_is_read(jobs: Jobs) -> None:
    """A write that is repeated because its answer got lost is no lost lease; a job that is done is nobody's."""
    claim = jobs.claim(REF, "a", NOW, NOW + 60)
    for _ in range(2):
        row = jobs.change(REF.batch.batch_id, claim, state=JobState.RUNNING, provider_job_id="vb_1", due_at=NOW + 30)
    assert jobs.get(REF.batch.batch_id, 4) == row == next(jobs.rows(REF.batch.batch_id))
    assert (row.state, row.provider_job_id) == (JobState.RUNNING, "vb_1")
    jobs.change(REF.batch.batch_id, claim, state=JobState.DONE, lease_until=0)
    with pytest.raises(JobHeld):
        jobs.claim(REF, "b", NOW + 600, NOW + 700)
    with pytest.raises(LeaseLost):
        jobs.change(REF.batch.batch_id, claim, attempt=9)
    assert jobs.fence(REF, Ending.CANCELLED).is_done


def test_a_fence_comes_before_or_after_the_claim(jobs: Jobs) -> None:
    """Whoever has the job, or will have it, sees why it is over."""
    assert jobs.fence(REF, Ending.EXPIRED).state is JobState.SUBMITTING
    claim = jobs.claim(REF, "a", NOW, NOW + 60)
    assert claim.fence is Ending.EXPIRED
    jobs.fence(REF, Ending.CANCELLED)
    assert jobs.change(REF.batch.batch_id, claim, tries=1).fence is Ending.CANCELLED


def test_when_a_job_is_due(jobs: Jobs) -> None:
    """Before it has a row; when its time has come and nobody holds it; never when it is done."""
    assert is_due(jobs.get(REF.batch.batch_id, 4), NOW)
    claim = jobs.claim(REF, "a", NOW, NOW + 60)
    assert not is_due(claim, NOW + 60)
    assert is_due(claim, NOW + 61)
    waiting = jobs.change(REF.batch.batch_id, claim, lease_until=0, due_at=NOW + 30)
    assert [is_due(waiting, NOW + seconds) for seconds in (29, 30)] == [False, True]
    assert not is_due(replace(waiting, state=JobState.DONE), NOW + 900)


def test_a_native_lane_remembers_its_last_jobs(table: Table) -> None:
    """How long they took, forty at most; and whether there is a batch API, until a job shows that there is."""
    lanes, lane = NativeLanes(table), LaneId("openai", "m")
    assert lanes.history(lane) == NativeHistory()
    lanes.note_unsupported(lane, NOW)
    assert lanes.history(lane).is_unsupported(NOW + 60)
    for seconds in range(50):
        lanes.ended(lane, seconds, NOW + seconds)
    lanes.ended(lane, 5, NOW + 60, has_finished=False)  # what was stopped sooner than usual says nothing
    known = lanes.history(lane)
    assert (len(known.seconds), known.usual_seconds, known.ended_at) == (40, 29.0, NOW + 49)
    assert not known.is_unsupported(NOW + 60)
    assert lanes.history(LaneId("openai", "m", "acct_a")) == NativeHistory()


def test_a_plan_changes_for_one_at_a_time(batches: Batches) -> None:
    """Of two who read the same plan the second one is refused; so is everybody once the batch is over."""
    batch = batches.set_plan(create_batch(batches), PLAN, None, NOW)
    moved = PLAN.moved(range(2), REALTIME, [Shard(0, 0, 0, 1, 2, 0), Shard(1, 0, 1, 1, 2, 2)])
    changed = batches.change_plan(batch, moved)
    assert (changed.plan, changed.revision) == (moved, 1)
    with pytest.raises(ConditionFailed):
        batches.change_plan(batch, moved)
    batches.enter(changed, Status.CANCELLING, NOW)
    with pytest.raises(ConditionFailed):
        batches.change_plan(changed, PLAN)
