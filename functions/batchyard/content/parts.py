"""Parts, read back: the results of a route, shard by shard, the next objects already on their way.

A shard's results stand in its parts as they came in, and are wanted by index. So all of them are held; if they are too
large for that, large answers are let go, and read again one after the other when it is their turn.

An item that was never finished is in no part; once its batch is over its result is made here, from the work file. Merge
reads all of them and checks them; Results shows a window.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from operator import attrgetter

from batchyard.adapters.aws.objects import Objects, Span
from batchyard.core.batches import Batch
from batchyard.core.items import read_work_lines
from batchyard.core.keys import work_key
from batchyard.core.parts import body_places, decode_part
from batchyard.core.results import Outcome, StoredResult, stored, unfinished
from batchyard.core.sharding import Plan, Shard
from batchyard.core.shards import ShardRow, ShardState, done_count

_SMALL_BYTES = 16 * 1024
"""Answers up to this size are always held: reading one again costs more than its memory."""


@dataclass(frozen=True, slots=True)
class ReadAhead:
    """How much may be on its way at a time: objects, and bytes. And as many bytes of a shard's answers are held."""

    at_most: int
    held_bytes: int

    def shared_by(self, routes: int) -> ReadAhead:
        return ReadAhead(max(1, self.at_most // routes), self.held_bytes // routes)


@dataclass(frozen=True, slots=True)
class ShardResults:
    """`stored`: what the shard's parts hold, without the answers that were let go; those stand at `places`, by index.
    `unfinished`: results made here for items that are in no part."""

    shard: Shard
    row: ShardRow
    stored: list[StoredResult]
    unfinished: list[StoredResult]
    places: Mapping[int, Span]
    objects: Objects
    ahead: ReadAhead

    def by_index(self, wanted: Callable[[StoredResult], bool] = lambda result: True) -> Iterator[StoredResult]:
        """The results that are `wanted`, whole, by index. `wanted` cannot ask for answers."""
        results = sorted(filter(wanted, (*self.stored, *self.unfinished)), key=attrgetter("index"))
        spans = (self.places[result.index] for result in results if result.index in self.places)
        reads = self.objects.get_many(spans, at_most=self.ahead.at_most, held_bytes=self.ahead.held_bytes)
        with closing(reads):
            for result in results:
                yield result._replace(body=next(reads)) if result.index in self.places else result


class Parts:
    """The parts of a batch. `rest`: the outcome of items that were never finished; None leaves them out, because they
    still may be. `on_part`: called with the object key and the bytes of each part."""

    def __init__(
        self,
        batch: Batch,
        plan: Plan,
        rest: Outcome | None,
        objects: Objects,
        on_part: Callable[[str, bytes], None] | None = None,
    ) -> None:
        self._on_part = on_part
        self._batch_id = batch.id
        self._price_reached = batch.price_reached
        self._work_key = work_key(batch.account_id, batch.id, plan.run)
        self._rest = rest
        self._objects = objects

    def read(self, shards: Iterable[Shard], rows: Mapping[int, ShardRow], ahead: ReadAhead) -> Generator[ShardResults]:
        """What each of `shards` has. `rows`: their rows; a shard without one has not begun."""
        lane = [(shard, rows.get(shard.number) or ShardRow(shard.number)) for shard in shards]
        spans = self._spans(lane)
        with closing(self._objects.get_many(spans, at_most=ahead.at_most, held_bytes=ahead.held_bytes)) as reads:
            for shard, row in lane:
                kept, places = self._kept(row, reads, ahead.held_bytes)
                rest = self._unfinished(kept, next(reads)) if self._has_rest(shard, row) else []
                yield ShardResults(shard, row, kept, rest, places, self._objects, ahead)

    def _kept(
        self, row: ShardRow, reads: Iterator[bytes], held_bytes: int
    ) -> tuple[list[StoredResult], dict[int, Span]]:
        """What the shard's parts hold, and where the answers are that were let go."""
        kept: list[StoredResult] = []
        places: dict[int, Span] = {}
        held = 0
        for key in row.parts:
            data = next(reads)
            if self._on_part is not None:
                self._on_part(key, data)
            let_go = _large_places(key, data) if held + len(data) > held_bytes else {}
            for result in decode_part(data):
                if result.index in let_go:
                    result = result._replace(body=b"")
                held += len(result.body)
                kept.append(result)
            places |= let_go
        return kept, places

    def _spans(self, lane: Iterable[tuple[Shard, ShardRow]]) -> Iterator[Span]:
        """What `read` reads, in that order: each shard's parts, then its items if some have no result."""
        for shard, row in lane:
            yield from map(Span, row.parts)
            if self._has_rest(shard, row):
                yield Span(self._work_key, shard.offset, shard.length)

    def _has_rest(self, shard: Shard, row: ShardRow) -> bool:
        is_over = self._rest is not None and row.state is not ShardState.SETTLED
        return is_over and done_count(row.done) < shard.items

    def _unfinished(self, kept: list[StoredResult], work: bytes) -> list[StoredResult]:
        if self._rest is None:
            return []
        rest, found = self._rest, {result.index for result in kept}
        return [
            stored(self._batch_id, unfinished(item.index, item.custom_id, rest, price_reached=self._price_reached))
            for item in read_work_lines(work)
            if item.index not in found
        ]


def _large_places(key: str, data: bytes) -> dict[int, Span]:
    """Where the large answers of a part are, by index."""
    return {index: Span(key, start, length) for index, start, length in body_places(data) if length > _SMALL_BYTES}
