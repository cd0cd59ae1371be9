"""Fence: bring the unsettled shards of a batch that is cancelled, expired or broken to a stop.

Each call looks at every shard once. A shard that nobody works on is sealed. One with a live owner is fenced: the owner
notices at its next write, flushes what it holds, and gives up. When `drain_seconds` have passed since the first round,
the remaining shards are sealed, whoever works on them. Then nothing can change any more, and Finalize may read.

The shards of a provider job have no owner while their vendor works on them. They are left alone until the native
executor has asked the vendor to stop, and stored what it had finished; a vendor may take ten minutes for that.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from batchyard.adapters.aws.job_starter import JobStarter
from batchyard.adapters.aws.jobs import Jobs
from batchyard.adapters.aws.shards import Shards
from batchyard.adapters.aws.stores import Stores
from batchyard.core.batches import Batch, BatchRef, Ending
from batchyard.core.jobs import JobRef, JobState, is_due
from batchyard.core.sharding import Plan
from batchyard.core.shards import LeaseHeld, ShardFenced, ShardSettled, ShardState

_THREADS = 16


@dataclass(frozen=True, slots=True)
class Fenced:
    """`live`: shards whose owner may still flush, and provider jobs whose results are awaited."""

    live: int

    @property
    def drained(self) -> bool:
        return self.live == 0


@dataclass(frozen=True, slots=True)
class Drain:
    """How long what is in flight gets: calls, and the provider jobs of a cancelled batch."""

    seconds: int
    job_seconds: int


def fence(
    ref: BatchRef, ending: Ending, *, since: int, now: int, drain: Drain, stores: Stores, job_starter: JobStarter
) -> Fenced:
    """One round. `ending`: what the batch is stopped for. `since`: unix second of the first round. A batch without a
    plan has nothing to stop."""
    batch, shards = stores.batches.get(ref, consistent=True), stores.shards
    if batch is None or batch.plan is None:
        return Fenced(0)
    over = {row.number for row in shards.rows(ref.batch_id) if row.state is not ShardState.OPEN}
    drain_is_over = now >= since + drain.seconds
    job_seconds = drain.job_seconds if ending is Ending.CANCELLED else drain.seconds
    jobs = []
    if now < since + job_seconds:
        jobs = _live_jobs(batch, batch.plan, ending, now, stores.jobs, job_starter)
    spared = {number for job in jobs for number in job.numbers}

    def stop(number: int) -> bool:
        """Whether the shard still has a live owner."""
        try:
            shards.seal(ref.batch_id, number, ending, lease_before=None if drain_is_over else now)
        except (ShardSettled, ShardFenced, LeaseHeld):
            return _fence_live_owner(shards, ref.batch_id, number, ending)
        return False

    with ThreadPoolExecutor(_THREADS) as pool:
        live = sum(pool.map(stop, [n for n in range(batch.plan.shards) if n not in over and n not in spared]))
    return Fenced(live + len(jobs))


def _live_jobs(batch: Batch, plan: Plan, ending: Ending, now: int, jobs: Jobs, job_starter: JobStarter) -> list[JobRef]:
    """The provider jobs that are not done, each fenced, and started if it is due: no sweep comes so often."""
    live, to_start = list[JobRef](), list[JobRef]()
    for entry in plan.jobs:
        ref = JobRef(batch.ref, entry.first_shard, entry.shards)
        row = jobs.fence(ref, ending)
        if row.is_done:
            continue
        live.append(ref)
        is_news = row.state in (JobState.SUBMITTING, JobState.RUNNING)
        if is_due(row, now) or (is_news and row.lease_until < now):
            to_start.append(ref)
    job_starter.start(to_start)
    return live


def _fence_live_owner(shards: Shards, batch_id: str, number: int, ending: Ending) -> bool:
    try:
        shards.fence(batch_id, number, ending)
    except (ShardSettled, ShardFenced):
        return False
    return True
