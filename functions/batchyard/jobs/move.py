"""Move: give what a job leaves to another lane of its batch (`core.leftovers`), and send what is due of it.

A plan that was changed already is not changed again, so this may be run twice.
"""

from __future__ import annotations

from batchyard.core.errors import ConditionFailed
from batchyard.core.keys import manifest_key
from batchyard.core.messages import shard_message
from batchyard.core.sharding import LaneShards, Shard, read_manifest
from batchyard.core.shards import ShardState
from batchyard.jobs.held import HeldJob
from batchyard.jobs.lines import left_items

_PLAN_TRIES = 5


def move_the_rest(job: HeldJob) -> None:
    """Gives what is not settled the best other lane, and sends what is due of it. Nothing if the batch is over: then
    Fence seals it."""
    settled = _settled(job)
    if settled >= set(job.ref.numbers):
        return
    manifest: list[Shard] = []
    for _ in range(_PLAN_TRIES):
        job.reread()
        if not job.is_wanted:
            return
        manifest = manifest or _manifest(job)
        if job.entry is None or _move(job, job.entry, manifest):
            break
    else:
        raise ConditionFailed(f"the plan of {job.batch.id} changed each time it was to be changed")
    due = [number for number in job.plan.due(settled) if number in job.ref.numbers]
    messages = [shard_message(job.batch, manifest[number]) for number in due]
    job.tools.queues.send(messages)
    job.tools.stores.rosters.enter(messages, job.tools.now)


def _settled(job: HeldJob) -> set[int]:
    """The shards that have settled: of the job, and of its batch if one of those may have to go first."""
    first, last = (0, None) if job.plan.one_chain else (job.ref.numbers.start, job.ref.numbers[-1])
    rows = job.tools.stores.shards.rows(job.batch.id, first, last)
    return {row.number for row in rows if row.state is ShardState.SETTLED}


def _move(job: HeldJob, entry: LaneShards, manifest: list[Shard]) -> bool:
    """Whether the plan has changed; if not, it had changed since it was read."""
    lane, flex_until = job.lane_for(left_items(job))
    plan = job.plan.moved(entry.numbers, lane, manifest, flex_until=flex_until)
    try:
        job.batch = job.tools.stores.batches.change_plan(job.batch, plan)
    except ConditionFailed:
        return False
    return True


def _manifest(job: HeldJob) -> list[Shard]:
    key = manifest_key(job.batch.account_id, job.batch.id, job.plan.run)
    return read_manifest(job.tools.stores.objects.get(key))
