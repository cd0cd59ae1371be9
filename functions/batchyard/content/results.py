"""Results: what a batch has so far, in the order of its input and from any item on, in flat memory.

A lane's shards hold rising runs of indexes, so the manifest alone tells which shards a window touches; only their rows
and parts are read. While the batch runs, items without a result are left out. Once it is over, those that were never
finished have the result that Finalize gave them.

Parts are kept for some days. Later the batch's two files are read instead, from their start: a line's id says which
item it belongs to, so the two are merged without knowing more.
"""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from operator import attrgetter

from batchyard.adapters.aws.objects import ObjectMissing, Objects, Span
from batchyard.adapters.aws.shards import Shards
from batchyard.content.lines import read_lines
from batchyard.content.merge import outcome_of_the_rest
from batchyard.core.batches import Batch
from batchyard.core.errors import BooksDoNotBalance, NotFound
from batchyard.core.items import read_work_lines
from batchyard.core.keys import file_key, manifest_key, work_key
from batchyard.core.parts import decode_part
from batchyard.core.requests import ResultWindow
from batchyard.core.result_lines import read_result_line, result_line_start
from batchyard.core.results import Outcome, StoredResult, stored, unfinished
from batchyard.core.sharding import LaneShards, Plan, Shard, read_manifest
from batchyard.core.shards import ShardRow, done_count

_READS_AT_ONCE = 16
_HELD_BYTES = 64 * 1024 * 1024
_LONGEST_LINE_BYTES = 64 * 1024 * 1024
"""More than any provider's answer may have."""


def results(batch: Batch, window: ResultWindow, *, shards: Shards, objects: Objects) -> Generator[StoredResult]:
    """The results of the window's items, by index. Raises NotFound where they are no longer kept, because a file of
    the batch was deleted."""
    plan = batch.plan
    if plan is None:
        return
    stop = plan.items if window.limit is None else min(plan.items, window.offset + window.limit)
    if window.offset >= stop:
        return
    due = window.offset
    try:
        for result in _read(batch, plan, range(due, stop), shards, objects):
            yield result
            due = result.index + 1
    except ObjectMissing:
        yield from _from_files(batch, range(due, stop), objects)


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
                    found[item.index] = stored(batch_id, unfinished(item.index, item.custom_id, rest))
        yield from (found[index] for index in sorted(found))


def _from_files(batch: Batch, wanted: range, objects: Objects) -> Iterator[StoredResult]:
    with ExitStack() as stack:
        heads = [
            _Head(stack.enter_context(closing(objects.stream(file_key(batch.account_id, file_id)))))
            for file_id in (batch.output_file_id, batch.error_file_id)
            if file_id is not None
        ]
        if not heads:
            raise _no_longer_kept(batch)
        try:
            for index in range(wanted.stop):
                start = result_line_start(batch.id, index)
                head = next((head for head in heads if head.line.startswith(start)), None)
                if head is None:
                    raise BooksDoNotBalance(f"item {index} of {batch.id} is in neither of its files")
                if index >= wanted.start:
                    yield read_result_line(head.line, index)
                head.advance()
        except ObjectMissing as error:
            raise _no_longer_kept(batch) from error


def _no_longer_kept(batch: Batch) -> NotFound:
    message = f"The results of {batch.id} are no longer kept one by one, and a file that had them is gone."
    return NotFound(message, code="results_expired")


class _Head:
    """The line of a file that is next, with its line feed; empty behind the last one."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._lines = read_lines(chunks, _LONGEST_LINE_BYTES)
        self._line: bytes | None = None

    @property
    def line(self) -> bytes:
        if self._line is None:
            self.advance()
        return self._line or b""

    def advance(self) -> None:
        _, line = next(self._lines, (0, b""))
        self._line = line + b"\n" if line else b""
