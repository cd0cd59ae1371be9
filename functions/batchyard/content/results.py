"""Results: what a batch has so far, in the order of its input and from any item on, in flat memory.

A route's shards hold rising runs of indexes, so the manifest alone tells which shards a window touches; only their rows
and parts are read. While the batch runs, items without a result are left out. Once it is over, those that were never
finished have the result that Finalize gave them.

Parts are kept for some days. After that the batch's two files are read instead, from their start. The id in a line says
which item it belongs to, which is all that it takes to merge the two.
"""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from operator import attrgetter

from batchyard.adapters.aws.objects import ObjectMissing, Objects
from batchyard.adapters.aws.shards import Shards
from batchyard.content.lines import read_lines
from batchyard.content.parts import Parts, ReadAhead, ShardResults
from batchyard.core import exact_json
from batchyard.core.batches import Batch
from batchyard.core.endings import outcome_of_the_rest
from batchyard.core.errors import BooksDoNotBalance, NotFound
from batchyard.core.keys import file_key, manifest_key
from batchyard.core.requests import ResultWindow
from batchyard.core.result_lines import read_result_line, result_line_start
from batchyard.core.results import StoredResult, stored, unfinished
from batchyard.core.sharding import Plan, Shard, read_manifest, routes

_AHEAD = ReadAhead(at_most=16, held_bytes=64 * 1024 * 1024)
_LONGEST_LINE_BYTES = 64 * 1024 * 1024
"""Longer than any line can be: answers have a limit that is lower."""


def results(batch: Batch, window: ResultWindow, *, shards: Shards, objects: Objects) -> Generator[StoredResult]:
    """The results of the window's items, by index. Raises NotFound if they are no longer kept, because a file of the
    batch was deleted."""
    plan = batch.plan
    if plan is None:
        return
    stop = plan.items if window.limit is None else min(plan.items, window.offset + window.limit)
    if window.offset >= stop:
        return
    due = window.offset
    if plan.copies and batch.ending is not None:  # copies are in no part, and have their results once it is over
        yield from _from_files(batch, range(due, stop), objects)
        return
    try:
        for result in _read(batch, plan, range(due, stop), shards, objects):
            yield result
            due = result.index + 1
    except ObjectMissing:
        yield from _from_files(batch, range(due, stop), objects)


def touched(plan: Plan, route: list[Shard], wanted: range) -> list[Shard]:
    """The shards of a route that may hold an index of `wanted`."""
    ends = [shard.first_index for shard in route[1:]] + [plan.items]
    return [
        shard for shard, end in zip(route, ends, strict=True) if shard.first_index < wanted.stop and end > wanted.start
    ]


def _read(batch: Batch, plan: Plan, wanted: range, shards: Shards, objects: Objects) -> Iterator[StoredResult]:
    manifest = read_manifest(objects.get(manifest_key(batch.account_id, batch.id, plan.run)))
    runs = [found for route in routes(manifest) if (found := touched(plan, route, wanted))]
    parts = Parts(batch, plan, outcome_of_the_rest(batch.ending) if batch.ending else None, objects)
    ahead = _AHEAD.shared_by(len(runs))
    with ExitStack() as stack:
        streams = []
        for run in runs:
            rows = {row.number: row for row in shards.rows(batch.id, run[0].number, run[-1].number)}
            reading = stack.enter_context(closing(parts.read(run, rows, ahead)))
            streams.append(_in_window(reading, wanted))
        yield from heapq.merge(*streams, key=attrgetter("index")) if len(streams) > 1 else iter(streams[0])


def _in_window(route: Iterator[ShardResults], wanted: range) -> Iterator[StoredResult]:
    for found in route:
        yield from found.by_index(lambda result: result.index in wanted)


def _from_files(batch: Batch, wanted: range, objects: Objects) -> Iterator[StoredResult]:
    with ExitStack() as stack:
        heads = [
            _Head(stack.enter_context(closing(objects.stream(file_key(batch.account_id, file_id)))))
            for file_id in (batch.output_file_id, batch.error_file_id)
            if file_id is not None
        ]
        if not heads:
            raise no_longer_kept(batch)
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
            raise no_longer_kept(batch) from error


def results_without_plan(batch: Batch, *, objects: Objects) -> Generator[StoredResult]:
    """The results of a batch that ended before its input was cut into shards: no item was run, and each says why. Its
    lines have a `custom_id`. Raises NotFound if its input file is gone."""
    if batch.ending is None:
        return
    outcome, reasons = outcome_of_the_rest(batch.ending), {error.line: error for error in batch.errors}
    try:
        with closing(objects.stream(file_key(batch.account_id, batch.input_file_id))) as chunks:
            for index, (number, line) in enumerate(read_lines(chunks, _LONGEST_LINE_BYTES)):
                result = unfinished(index, _custom_id(line), outcome)
                if error := reasons.get(number):
                    result = replace(result, error_code=error.code, error_message=error.message)
                yield stored(batch.id, result)
    except ObjectMissing as error:
        raise no_longer_kept(batch) from error


def _custom_id(line: bytes | None) -> str:
    """That of a line which may be wrong; empty if it has none."""
    try:
        fields = exact_json.loads(line or b"")
    except ValueError:
        return ""
    custom_id = fields.get("custom_id") if isinstance(fields, dict) else None
    return custom_id if isinstance(custom_id, str) else ""


def no_longer_kept(batch: Batch) -> NotFound:
    message = f"The results of {batch.id} are no longer kept one by one, and a file that had them is gone."
    return NotFound(message, code="results_expired")


class _Head:
    """A file that is read line by line. `line` is the next one with its line feed; empty at the end."""

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
