"""Dispatch: bring a validated batch to the workers and its provider jobs to the native executor, then let the execution
wait on its task token.

Which shards to send is derived from the shard rows, so a second execution of the same batch picks up where the first
one ended: it sends what is neither settled nor waiting for a predecessor, and wakes itself when nothing is left.
"""

from __future__ import annotations

from batchyard.adapters.aws.job_starter import JobStarter
from batchyard.adapters.aws.queues import Queues
from batchyard.adapters.aws.stores import Stores
from batchyard.adapters.aws.workflow import Workflow
from batchyard.core.batches import Batch, BatchRef, Ending, Status
from batchyard.core.endings import asked_of
from batchyard.core.errors import BooksDoNotBalance, ConditionFailed
from batchyard.core.jobs import JobRef
from batchyard.core.keys import manifest_key
from batchyard.core.messages import shard_message
from batchyard.core.sharding import read_manifest
from batchyard.core.shards import ShardState


def dispatch(
    ref: BatchRef, task_token: str, *, stores: Stores, queues: Queues, job_starter: JobStarter, workflow: Workflow
) -> int:
    """How many shards and jobs were sent. `task_token` wakes the execution and says which ending to work towards: it is
    used here if nothing is left to run, else when the last shard settles or somebody stops the batch."""
    batches = stores.batches
    batch = batches.current(ref)
    try:
        batch = batches.set_task_token(batch, task_token)
    except ConditionFailed:
        workflow.wake(task_token, asked_of(batches.current(ref)))
        return 0
    if batch.starts_nothing:
        workflow.wake(task_token, asked_of(batch))
        return 0
    sent = _send_due(batch, stores, queues) + _send_jobs(batch, stores, job_starter)
    if sent == 0:
        workflow.wake(task_token, Ending.COMPLETED)
    return sent


def _send_due(batch: Batch, stores: Stores, queues: Queues) -> int:
    """Sends every shard that is due. How many those are; 0 only if all are settled but those of provider jobs."""
    plan = batch.plan
    if plan is None:
        raise BooksDoNotBalance(f"{batch.id} is in progress without a plan")
    settled = {row.number for row in stores.shards.rows(batch.id) if row.state is ShardState.SETTLED}
    due = plan.due(settled)
    manifest = read_manifest(stores.objects.get(manifest_key(batch.account_id, batch.id, plan.run)))
    messages = [shard_message(batch, manifest[number]) for number in due]
    queues.send(messages)
    stores.rosters.enter(messages, batch.status_times.get(Status.IN_PROGRESS, batch.created_at))
    return len(due)


def _send_jobs(batch: Batch, stores: Stores, job_starter: JobStarter) -> int:
    """Sends every job that is not done. How many those are."""
    if batch.plan is None or not batch.plan.jobs:
        return 0
    done = {row.number for row in stores.jobs.rows(batch.id) if row.is_done}
    open_jobs = [entry for entry in batch.plan.jobs if entry.first_shard not in done]
    job_starter.start([JobRef(batch.ref, entry.first_shard, entry.shards) for entry in open_jobs])
    return len(open_jobs)
