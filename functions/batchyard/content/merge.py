"""Merge: every result of a batch once, in the order of its input, whatever shards and parts it comes from.

A lane's shards hold rising runs of indexes, so each lane is read shard by shard, its next objects already on their way,
and the lanes are merged. What a stopped shard never finished becomes a result here, from the batch's work file.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from operator import itemgetter

from batchyard.adapters.aws.objects import Objects, Span
from batchyard.core.batches import Batch, Status
from batchyard.core.errors import BooksDoNotBalance
from batchyard.core.items import WorkItem, read_work_lines
from batchyard.core.keys import work_key
from batchyard.core.parts import decode_part
from batchyard.core.results import Outcome, Result, StoredResult, stored
from batchyard.core.sharding import Plan, Shard
from batchyard.core.shards import ShardRow, ShardState, done_count

_READS_AT_ONCE = 24
_HELD_BYTES = 96 * 1024 * 1024

_REST = {Status.CANCELLED: Outcome.CANCELLED, Status.EXPIRED: Outcome.EXPIRED}

Line = tuple[int, StoredResult]
Unfinished = Callable[[WorkItem], Result]


def merge(
    batch: Batch,
    plan: Plan,
    manifest: list[Shard],
    rows: Mapping[int, ShardRow],
    unfinished: Unfinished,
    objects: Objects,
) -> Generator[StoredResult]:
    """Each of the batch's results, by index from 0. `rows`: every shard's row, settled or sealed. `unfinished` makes
    the result of an item that has none. Raises BooksDoNotBalance as soon as an index is missing or comes twice."""
    with ExitStack() as stack:
        lanes = []
        for lane in plan.lanes:
            shards = manifest[lane.first_shard : lane.first_shard + lane.shards]
            reads = objects.get_many(
                _spans(shards, rows, work_key(batch.account_id, batch.id, plan.run)),
                at_most=max(1, _READS_AT_ONCE // len(plan.lanes)),
                held_bytes=_HELD_BYTES // len(plan.lanes),
            )
            stack.enter_context(closing(reads))
            lanes.append(_lane(batch.id, shards, rows, reads, unfinished))
        merged = heapq.merge(*lanes, key=itemgetter(0)) if len(lanes) > 1 else iter(lanes[0])
        yield from _checked(merged, plan.items)


def outcome_of_the_rest(end: Status) -> Outcome:
    """The outcome of what was never finished, by the batch's end."""
    return _REST.get(end, Outcome.FAILED)


def _spans(shards: Iterable[Shard], rows: Mapping[int, ShardRow], work: str) -> Iterator[Span]:
    """What `_lane` reads, in that order: each shard's parts, then its items where some have no result."""
    for shard in shards:
        row = rows[shard.number]
        yield from map(Span, row.parts)
        if _is_unfinished(shard, row):
            yield Span(work, shard.offset, shard.length)


def _lane(
    batch_id: str, shards: Iterable[Shard], rows: Mapping[int, ShardRow], reads: Iterator[bytes], unfinished: Unfinished
) -> Iterator[Line]:
    for shard in shards:
        row = rows[shard.number]
        results = [result for _ in row.parts for result in decode_part(next(reads))]
        found = {result.index: result for result in results}
        if len(found) != len(results) or len(found) != done_count(row.done):
            raise BooksDoNotBalance(
                f"shard {shard.number} says {done_count(row.done)} items are done; its parts hold {len(results)} "
                f"results of {len(found)} items"
            )
        if _is_unfinished(shard, row):
            for item in read_work_lines(next(reads)):
                if item.index not in found:
                    found[item.index] = stored(batch_id, unfinished(item))
        if len(found) != shard.items:
            raise BooksDoNotBalance(f"shard {shard.number} has {shard.items} items and {len(found)} results")
        yield from sorted(found.items(), key=itemgetter(0))


def _is_unfinished(shard: Shard, row: ShardRow) -> bool:
    return row.state is not ShardState.SETTLED and done_count(row.done) < shard.items


def _checked(lines: Iterator[Line], items: int) -> Iterator[StoredResult]:
    expected = 0
    for index, result in lines:
        if index != expected:
            raise BooksDoNotBalance(f"result {expected} of {items} is due, result {index} is there")
        yield result
        expected += 1
    if expected != items:
        raise BooksDoNotBalance(f"{expected} results for {items} items")
