"""Recover: send the shards of a running batch again whose owner died.

    progress rows ─▶ which shards are due ─▶ their rows ─▶ owner lost? ─▶ send the shard ─▶ take the lease from its row

The message that a dead worker held is invisible until SQS lets go of it, a quarter of an hour; a lease ends within a
minute. Sending comes before the row says so: a crash in between sends a shard twice, which its lease makes harmless.

A batch costs one query for its progress rows and, as a rule, one for the rows of the shards that are due.

The provider jobs of a batch are started when their rows say that they are due.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from batchyard.adapters.aws.job_starter import JobStarter
from batchyard.adapters.aws.queues import Queues
from batchyard.adapters.aws.shards import Shards
from batchyard.adapters.aws.stores import Stores
from batchyard.core.batches import Batch, Status
from batchyard.core.jobs import JobRef, is_due
from batchyard.core.keys import manifest_key
from batchyard.core.messages import shard_message
from batchyard.core.sharding import read_manifest
from batchyard.core.shards import ShardRow, owner_is_lost

_NEW_SECONDS = 120
"""Dispatch has sent the jobs of a batch by then."""
_NEIGHBOURS = 32
"""Rows of shards that are so far apart at most are read by one query: a row too many costs less than a call."""


def recover(batch: Batch, *, now: int, stores: Stores, queues: Queues) -> list[int]:
    """The numbers of the shards that were sent again."""
    plan = batch.plan
    if plan is None or batch.status is not Status.IN_PROGRESS or batch.starts_nothing or now >= batch.expires_at:
        return []
    due = plan.due(stores.progress.taken(batch.id))
    lost = [row for row in _rows(batch.id, due, stores.shards) if owner_is_lost(row, now)]
    if lost:
        manifest = read_manifest(stores.objects.get(manifest_key(batch.account_id, batch.id, plan.run)))
        queues.send([shard_message(batch, manifest[row.number]) for row in lost])
    for row in lost:
        stores.shards.forget_lease(batch.id, row)
    return [row.number for row in lost]


def start_due_jobs(batch: Batch, *, now: int, stores: Stores, job_starter: JobStarter) -> list[int]:
    """The numbers of the provider jobs that were due and are started, also of those whose shards are moved and that
    have still to tidy up."""
    plan = batch.plan
    if plan is None or batch.status.is_terminal or batch.status is Status.VALIDATING:
        return []
    began = batch.status_times.get(Status.IN_PROGRESS, batch.created_at)
    if not plan.jobs and batch.revision == 0:
        return []
    rows = {row.number: row for row in stores.jobs.rows(batch.id)}
    refs = {row.number: JobRef(batch.ref, row.number, row.shards) for row in rows.values()}
    if now >= began + _NEW_SECONDS:
        refs |= {entry.first_shard: JobRef(batch.ref, entry.first_shard, entry.shards) for entry in plan.jobs}
    due = [ref for number, ref in refs.items() if is_due(rows.get(number), now)]
    job_starter.start(due)
    return [ref.number for ref in due]


def _rows(batch_id: str, numbers: Iterable[int], shards: Shards) -> Iterator[ShardRow]:
    """The rows of the shards `numbers` that have one."""
    for wanted in neighbours(numbers):
        members = set(wanted)
        yield from (row for row in shards.rows(batch_id, wanted[0], wanted[-1]) if row.number in members)


def neighbours(numbers: Iterable[int]) -> list[list[int]]:
    """Ascending `numbers`, cut wherever there is a long way from one to the next."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number - runs[-1][-1] <= _NEIGHBOURS:
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs
