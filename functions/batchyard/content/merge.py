"""Merge: every result of a batch once, in the order of its input, whatever shards and parts it comes from.

A route's shards hold rising runs of indexes, whichever lanes they ran on, so each route is read shard by shard, and the
routes are merged. Copies, which are in no shard, come in between.
"""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, closing
from operator import attrgetter

from batchyard.adapters.aws.objects import Objects
from batchyard.content.copies import CopiedResults
from batchyard.content.parts import Parts, ReadAhead, ShardResults
from batchyard.core.batches import Batch
from batchyard.core.errors import BooksDoNotBalance
from batchyard.core.keys import copies_key
from batchyard.core.results import Outcome, StoredResult
from batchyard.core.sharding import Plan, Shard, routes
from batchyard.core.shards import ShardRow, done_count

_AHEAD = ReadAhead(at_most=24, held_bytes=96 * 1024 * 1024)


def merge(
    batch: Batch, plan: Plan, manifest: list[Shard], rows: Mapping[int, ShardRow], rest: Outcome, objects: Objects
) -> Generator[StoredResult]:
    """Each of the batch's results, by index from 0. `rows`: every shard's row, settled or sealed. `rest`: the outcome
    of items that have no result. Raises BooksDoNotBalance as soon as an index is missing or comes twice."""
    copied = _copied(batch, plan, objects) if plan.copies else None
    parts = Parts(batch, plan, rest, objects, copied.note_part if copied else None)
    runs = routes(manifest)
    ahead = _AHEAD.shared_by(len(runs))
    with ExitStack() as stack:
        found = [stack.enter_context(closing(parts.read(shards, rows, ahead))) for shards in runs]
        results = [_balanced(route) for route in found]
        merged = heapq.merge(*results, key=attrgetter("index")) if len(results) > 1 else iter(results[0])
        yield from _checked(copied.among(merged) if copied else merged, plan.items)


def _copied(batch: Batch, plan: Plan, objects: Objects) -> CopiedResults:
    return CopiedResults(batch.id, copies_key(batch.account_id, batch.id, plan.run), objects)


def _balanced(route: Iterator[ShardResults]) -> Iterator[StoredResult]:
    """The route's results by index, one for each of its items."""
    for found in route:
        number, done = found.shard.number, done_count(found.row.done)
        indexes = {result.index for result in found.stored}
        if len(indexes) != len(found.stored) or len(indexes) != done:
            raise BooksDoNotBalance(
                f"shard {number} says {done} items are done; its parts hold {len(found.stored)} results of "
                f"{len(indexes)} items"
            )
        results = len(indexes) + len(found.unfinished)
        if results != found.shard.items:
            raise BooksDoNotBalance(f"shard {number} has {found.shard.items} items and {results} results")
        yield from found.by_index()


def _checked(results: Iterator[StoredResult], items: int) -> Iterator[StoredResult]:
    expected = 0
    for result in results:
        if result.index != expected:
            raise BooksDoNotBalance(f"result {expected} of {items} is due, result {result.index} is there")
        yield result
        expected += 1
    if expected != items:
        raise BooksDoNotBalance(f"{expected} results for {items} items")
