"""Results: what a batch has so far, in the order of its input and from any item on, in flat memory.

A lane's shards hold rising runs of indexes, so the manifest alone tells which shards a window touches; only their rows
and parts are read. While the batch runs, items without a result are left out. Once it is over, those that were never
finished have the result that Finalize gave them.
"""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from operator import attrgetter

from batchyard.adapters.aws.objects import ObjectMissing, Objects, Span
from batchyard.adapters.aws.shards import Shards
from batchyard.core.batches import Batch
from batchyard.core.errors import NotFound
from batchyard.core.items import read_work_lines
from batchyard.core.keys import manifest_key, work_key
from batchyard.core.parts import StoredResult, decode_part
from batchyard.core.requests import ResultWindow
from batchyard.core.results import Outcome, result_line, unfinished
from batchyard.core.sharding import LaneShards, Plan, Shard, read_manifest
from batchyard.core.shards import ShardRow, done_count
from batchyard.steps.merge import outcome_of_the_rest

_READS_AT_ONCE = 16
_HELD_BYTES = 64 * 1024 * 1024


def results(batch: Batch, window: ResultWindow, *, shards: Shards, objects: Objects) -> Generator[StoredResult]:
    """The results of the window's items, by index. Raises NotFound where they are no longer kept."""
    plan = batch.plan
    if plan is None:
        return
    stop = plan.items if window.limit is None else min(plan.items, window.offset + window.limit)
    if window.offset >= stop:
        return
    try:
        yield from _read(batch, plan, range(window.offset, stop), shards, objects)
    except ObjectMissing as error:
        raise _no_longer_kept(batch) from error


def touched(plan: Plan, lane: LaneShards, manifest: list[Shard], wanted: range) -> list[Shard]:
    """The shards of a lane that may hold an index of `wanted`."""
    own = manifest[lane.first_shard : lane.first_shard + lane.shards]
    ends = [shard.first_index for shard in own[1:]] + [plan.items]
    return [
        shard for shard, end in zip(own, ends, strict=True) if shard.first_index < wanted.stop and end > wanted.start
    ]


def _read(batch: Batch, plan: Plan, wanted: range, shards: Shards, objects: Objects) -> Iterator[StoredResult]:
    manifest = read_manifest(objects.get(manifest_key(batch.account_id, batch.id, plan.run)))
    lanes = [found for lane in plan.lanes if (found := touched(plan, lane, manifest, wanted))]
    rest = outcome_of_the_rest(batch.status) if batch.status.is_terminal else None
    work = work_key(batch.account_id, batch.id, plan.run)
    with ExitStack() as stack:
        streams = []
        for lane in lanes:
            rows = {row.number: row for row in shards.rows(batch.id, lane[0].number, lane[-1].number)}
            reads = objects.get_many(
                _spans(lane, rows, work if rest else None),
                at_most=max(1, _READS_AT_ONCE // len(lanes)),
                held_bytes=_HELD_BYTES // len(lanes),
            )
            stack.enter_context(closing(reads))
            streams.append(_lane(batch.id, lane, rows, reads, wanted, rest))
        yield from heapq.merge(*streams, key=attrgetter("index")) if len(streams) > 1 else iter(streams[0])


def _spans(lane: list[Shard], rows: dict[int, ShardRow], work: str | None) -> Iterator[Span]:
    """What `_lane` reads, in that order. `work`: the work file, where the unfinished items count too."""
    for shard in lane:
        row = rows.get(shard.number) or ShardRow(shard.number)
        yield from map(Span, row.parts)
        if work and done_count(row.done) < shard.items:
            yield Span(work, shard.offset, shard.length)


def _lane(
    batch_id: str,
    lane: list[Shard],
    rows: dict[int, ShardRow],
    reads: Iterator[bytes],
    wanted: range,
    rest: Outcome | None,
) -> Iterator[StoredResult]:
    for shard in lane:
        row = rows.get(shard.number) or ShardRow(shard.number)
        parts = (result for _ in row.parts for result in decode_part(next(reads)))
        found = {result.index: result for result in parts if result.index in wanted}
        if rest and done_count(row.done) < shard.items:
            for item in read_work_lines(next(reads)):
                if item.index in wanted and item.index not in found:
                    line = result_line(batch_id, unfinished(item.index, item.custom_id, rest))
                    found[item.index] = StoredResult(item.index, rest, line)
        yield from (found[index] for index in sorted(found))


def _no_longer_kept(batch: Batch) -> NotFound:
    kept = " and ".join(file_id for file_id in (batch.output_file_id, batch.error_file_id) if file_id)
    where = f" Its files {kept} have them, for as long as you keep those." if kept else ""
    return NotFound(f"The results of {batch.id} are too old to be read one by one.{where}", code="results_expired")
