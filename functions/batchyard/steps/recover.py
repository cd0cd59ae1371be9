"""Recover: send again the shards of a running batch whose owner died, and those whose message died with a worker.

    progress rows ─▶ which shards are due ─▶ their rows ─▶ owner lost? ─▶ send the shard ─▶ take the lease from its row
                                                  └──▶ nobody has it, and no message waits ─▶ send the shard

The message that a dead worker held is invisible until SQS lets go of it, a quarter of an hour; a lease ends within a
minute. Sending comes before the row says so: a crash in between sends a shard twice, which its lease makes harmless.

A worker that dies before it claims takes its messages with it, and no row tells. But if no message waits in the queue,
all of them are in workers' hands, and a shard that is due and in nobody's has none that would run it soon. As long as
messages wait, workers have enough to do, and nothing is sent.

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
from batchyard.core.messages import ShardMessage, shard_message
from batchyard.core.sharding import read_manifest
from batchyard.core.shards import ShardRow, is_free, owner_is_lost

_NEW_SECONDS = 120
"""Dispatch has sent the jobs of a batch by then."""
_SENT_SECONDS = 30
"""SQS counts by then what Dispatch has sent, as a rule."""
_NEIGHBOURS = 32
"""Rows of shards that are so far apart at most are read by one query: a row too many costs less than a call."""


def recover(batch: Batch, *, now: int, stores: Stores, queues: Queues) -> list[int]:
    """The numbers of the shards that were sent again."""
    plan = batch.plan
    if plan is None or batch.status is not Status.IN_PROGRESS or batch.starts_nothing or now >= batch.expires_at:
        return []
    due = plan.due(stores.progress.taken(batch.id))
    rows = {row.number: row for row in _rows(batch.id, due, stores.shards)}
    lost = [row for row in rows.values() if owner_is_lost(row, now)]
    free = [number for number in due if number not in rows or is_free(rows[number])]
    if now < batch.status_times.get(Status.IN_PROGRESS, batch.created_at) + _SENT_SECONDS:
        free = []
    if not lost and not free:
        return []
    manifest = read_manifest(stores.objects.get(manifest_key(batch.account_id, batch.id, plan.run)))
    messages = [shard_message(batch, manifest[row.number]) for row in lost]
    messages += _without_waiting_messages([shard_message(batch, manifest[number]) for number in free], queues)
    if messages:
        queues.send(messages)
        stores.rosters.enter(messages, now)
    for row in lost:
        stores.shards.forget_lease(batch.id, row)
    return sorted(message.shard.number for message in messages)


def _without_waiting_messages(messages: list[ShardMessage], queues: Queues) -> list[ShardMessage]:
    """Those whose provider's queue has none waiting."""
    none_waiting = {provider: queues.has_none_waiting(provider) for provider in {each.provider for each in messages}}
    return [message for message in messages if none_waiting[message.provider]]


def start_due_jobs(batch: Batch, *, now: int, stores: Stores, job_starter: JobStarter) -> list[int]:
    """The numbers of the provider jobs that are due, also of those whose shards are moved and that have still to tidy
    up. They are started, those that have waited longest first, as many as `job_starter` takes."""
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
    due.sort(key=lambda ref: rows[ref.number].due_at if ref.number in rows else began)
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
