"""View: batches as the dashboard shows them, one or a page of them, from rows that are there anyway.

A page is one query, and some reads for each batch on it that runs. A page of batches with one status reads a bounded
number of rows and says where it stopped, so that no account is too large to be looked at.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from batchyard.adapters.aws.stores import Stores
from batchyard.core.batch_views import BatchesPage, BatchView, Throughput, full_view, listed_view, throughput_of
from batchyard.core.batches import Batch, BatchRef
from batchyard.core.errors import NotFound
from batchyard.core.jobs import JobRow
from batchyard.core.requests import ViewRequest
from batchyard.core.usage import Tally
from batchyard.steps.explain import LaneLook, explain

_SEARCHED_AT_MOST = 300
"""Rows that one page of batches with a certain status reads. A row has a kilobyte or two."""
_LOOKED_AT_ONCE = 8
_LANES_IN_A_LIST = 3
"""Of each batch on a page so many lanes are looked at for what it waits for: a read or two each."""
_FEW_SHARDS = 64
"""Batches with no more shards show what each of them has flushed so far; larger ones what has settled."""


def view_page(account_id: str, wanted: ViewRequest, *, now: int, stores: Stores, look: LaneLook) -> BatchesPage:
    """The account's batches, newest first."""
    reads = wanted.limit if wanted.has_any else _SEARCHED_AT_MOST
    rows = stores.batches.newest(account_id, after=wanted.after, limit=reads + 1)
    found: list[Batch] = []
    searched = 0
    for batch in rows[:reads]:
        if len(found) == wanted.limit:
            break
        searched += 1
        if wanted.has(batch.status):
            found.append(batch)
    has_more = searched < len(rows)
    with ThreadPoolExecutor(_LOOKED_AT_ONCE, thread_name_prefix="view") as pool:
        in_a_list = replace(look, at_most=_LANES_IN_A_LIST)
        views = list(pool.map(lambda batch: _listed(_looked_at(batch, now, stores, in_a_list), now, stores), found))
    return BatchesPage(views, rows[searched - 1].id if has_more else None, searched)


def _listed(batch: Batch, now: int, stores: Stores) -> BatchView:
    """The batch in a list. The rows of its jobs say what they left to other lanes; they are read only if its plan was
    changed."""
    was_moved = batch.revision > 0 and not batch.lanes
    return listed_view(batch, _jobs(batch, stores) if was_moved else {}, now)


def _jobs(batch: Batch, stores: Stores) -> dict[int, JobRow]:
    return {row.number: row for row in stores.jobs.rows(batch.id)}


def view(ref: BatchRef, *, now: int, stores: Stores, look: LaneLook) -> BatchView:
    """One batch, with its timeline. Raises NotFound."""
    found = found_batch(ref, stores)
    batch = _looked_at(found, now, stores, look)
    has_jobs = batch.plan is not None and (bool(batch.plan.jobs) or batch.revision > 0)
    return full_view(batch, _jobs(batch, stores) if has_jobs else {}, now)


def throughput(ref: BatchRef, *, now: int, stores: Stores) -> Throughput:
    """Reads the row of every shard: half a kilobyte for 256 items. Raises NotFound."""
    batch = found_batch(ref, stores)
    return throughput_of(batch, stores.shards.rows(batch.id) if batch.plan else (), now)


def found_batch(ref: BatchRef, stores: Stores) -> Batch:
    batch = stores.batches.get(ref, consistent=True)
    if batch is None:
        raise NotFound(f"There is no batch {ref.batch_id}.", param="batch_id", code="batch_not_found")
    return batch


def _looked_at(batch: Batch, now: int, stores: Stores, look: LaneLook) -> Batch:
    """The batch with its tally so far, what it waits for, and its lanes."""
    if batch.status.is_terminal or batch.plan is None or batch.plan.shards > _FEW_SHARDS:
        return explain(batch, now=now, stores=stores, look=look)
    tallies = {row.number: row.tally for row in stores.shards.rows(batch.id)}
    counted = replace(batch, tally=sum(tallies.values(), Tally()))
    done = {number: tally.items for number, tally in tallies.items()}
    return explain(counted, now=now, stores=stores, look=look, done=done)
