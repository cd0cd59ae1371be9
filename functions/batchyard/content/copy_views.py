"""Copies with a certain outcome, looked at: they are in no shard, so they are found behind all others, in the file that
they stand in, and have the outcomes of their originals.

A look reads a window of that file and the rows of the shards, and the parts of some shards that have something to show.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace

from batchyard.adapters.aws.objects import Objects
from batchyard.content.parts import Parts, ReadAhead
from batchyard.core.copies import Copy, read_copy_line
from batchyard.core.item_views import ItemView, item_view
from batchyard.core.results import Outcome
from batchyard.core.sharding import Shard, routes
from batchyard.core.shards import ShardRow

_WINDOW_BYTES = 4 * 1024 * 1024
_SHARDS_AT_ONCE = 24
_AHEAD = ReadAhead(at_most=8, held_bytes=32 * 1024 * 1024)

MayHave = Callable[[Shard, ShardRow | None], bool]
"""Whether a shard may have results with a wanted outcome."""


@dataclass(frozen=True, slots=True)
class CopiesLook:
    """What was found from `place`, a byte of the file, on. `next_place`: None at the end. `searched`: how many copies
    are between the two."""

    items: list[ItemView]
    next_place: int | None
    searched: int


@dataclass(frozen=True, slots=True)
class _Placed:
    """A copy, and the byte behind its line."""

    copy: Copy
    end: int


class CopyViews:
    """The copies of a batch that is over. `key`: of the file that they stand in."""

    def __init__(self, key: str, manifest: list[Shard], rows: Mapping[int, ShardRow], objects: Objects) -> None:
        self._key = key
        self._routes = [(run, [shard.first_index for shard in run]) for run in routes(manifest)]
        self._rows = rows
        self._objects = objects

    def look(
        self, place: int, limit: int, outcomes: Collection[Outcome], may_have: MayHave, parts: Parts
    ) -> CopiesLook:
        """At most `limit` of those with one of `outcomes`."""
        data = self._objects.get(self._key, place, _WINDOW_BYTES)
        is_last = len(data) < _WINDOW_BYTES
        whole = data if is_last else data[: data.rfind(b"\n") + 1]
        found, due, is_all = self._candidates(whole, may_have)
        seen = self._results({each.copy.original for each in found}, due, outcomes, parts)
        shown = [each for each in found if each.copy.original in seen]
        items = [_as_copy(seen[each.copy.original], each.copy) for each in shown[:limit]]
        end = len(whole)
        if len(shown) > limit:
            end = shown[limit - 1].end
        elif not is_all:
            end = found[-1].end
        is_over = is_last and end == len(whole)
        return CopiesLook(items, None if is_over else place + end, whole[:end].count(b"\n"))

    def _candidates(self, data: bytes, may_have: MayHave) -> tuple[list[_Placed], dict[int, Shard], bool]:
        """The copies whose originals may have a wanted outcome, as far as they are in few shards; those shards; whether
        these are all."""
        found: list[_Placed] = []
        due: dict[int, Shard] = {}
        for copy, end in _copies(data):
            near = self._shards_around(copy.original)
            around = [shard for shard in near if may_have(shard, self._rows.get(shard.number))]
            if not around:
                continue
            if len(due.keys() | {each.number for each in around}) > max(_SHARDS_AT_ONCE, len(around)):
                return found, due, False
            due |= {each.number: each for each in around}
            found.append(_Placed(copy, end))
        return found, due, True

    def _shards_around(self, index: int) -> Iterator[Shard]:
        for run, firsts in self._routes:
            if before := bisect_right(firsts, index):
                yield run[before - 1]

    def _results(
        self, originals: set[int], due: Mapping[int, Shard], outcomes: Collection[Outcome], parts: Parts
    ) -> dict[int, ItemView]:
        seen: dict[int, ItemView] = {}
        with closing(parts.read(due.values(), self._rows, _AHEAD)) as reading:
            for results in reading:
                for result in results.by_index(lambda each: each.index in originals and each.outcome in outcomes):
                    seen[result.index] = item_view(result)
        return seen


def _as_copy(original: ItemView, copy: Copy) -> ItemView:
    return replace(original, index=copy.index, custom_id=copy.custom_id)


def _copies(data: bytes) -> Iterator[tuple[Copy, int]]:
    """Each with the byte behind its line."""
    start = 0
    while (end := data.find(b"\n", start) + 1) > 0:
        yield read_copy_line(data[start:end]), end
        start = end
