"""Items, looked at: those of a batch that came to a certain outcome, the one with a certain custom_id, and what was
asked of one beside what it was answered.

A batch may have a million items, so each look reads a bounded amount and says where it stopped. Shards' rows count
their results by outcome, so only parts with something to show are read. A custom_id is searched in the work file, in
which each item's stands before its request. When parts and work file are no longer kept, only the batch's files are
left.

Copies (`core.copies`) are in neither: they are found in the file that they stand in, those with a certain outcome
(`content.copy_views`) behind all other items.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial

import orjson

from batchyard.adapters.aws.objects import ObjectMissing, Objects, Span
from batchyard.adapters.aws.shards import Shards
from batchyard.content.copies import read_copies
from batchyard.content.copy_views import CopyViews
from batchyard.content.parts import Parts, ReadAhead
from batchyard.content.results import no_longer_kept
from batchyard.core.batches import Batch
from batchyard.core.copies import Copy
from batchyard.core.endings import outcome_of_the_rest
from batchyard.core.errors import NotFound
from batchyard.core.item_views import ItemView, item_view
from batchyard.core.items import WorkItem, read_work_lines
from batchyard.core.keys import copies_key, manifest_key, work_key
from batchyard.core.lanes import Lane
from batchyard.core.parts import body_places, lane_of
from batchyard.core.requests import ItemsCursor, ItemsRequest
from batchyard.core.results import Outcome, StoredResult
from batchyard.core.sharding import MANIFEST_RECORD_BYTES, Plan, Shard, read_manifest, routes
from batchyard.core.shards import ShardRow, ShardState

_ROWS_AT_ONCE = 500
"""Rows of shards that one look reads: a quarter of a megabyte."""
_SHARDS_AT_ONCE = 24
"""Shards whose parts one look reads."""
_AHEAD = ReadAhead(at_most=8, held_bytes=32 * 1024 * 1024)
_ONE = ReadAhead(at_most=4, held_bytes=16 * 1024 * 1024)
_WINDOW_BYTES = 8 * 1024 * 1024
_WINDOWS_AT_ONCE = 6
"""A look searches so many windows of the work file, side by side: about 50 MB."""
_LONGEST_HEAD_BYTES = 16 * 1024
"""What stands before an item's request in the work file is shorter: windows overlap by it."""
_START = ItemsCursor(0, -1, 0)


@dataclass(frozen=True, slots=True)
class ItemsPage:
    """`next_cursor`: None at the end. `searched`: how many items of the batch are behind it."""

    items: list[ItemView]
    next_cursor: ItemsCursor | None
    searched: int


class Items:
    """The items of one batch. Every method raises NotFound if what it reads is no longer kept."""

    def __init__(self, batch: Batch, plan: Plan, shards: Shards, objects: Objects) -> None:
        self._batch = batch
        self._plan = plan
        self._shards = shards
        self._objects = objects
        self._work_key = work_key(batch.account_id, batch.id, plan.run)
        self._rest = outcome_of_the_rest(batch.ending) if batch.ending else None

    @property
    def total(self) -> int:
        return self._plan.items

    def page(self, wanted: ItemsRequest) -> ItemsPage:
        """Items with one of the wanted outcomes, shard by shard; behind them copies. A cursor whose place is no shard
        stands in the file of copies, so many bytes behind its beginning as there are shards less."""
        cursor = wanted.cursor or _START
        first, last = cursor.place, min(cursor.place + _ROWS_AT_ONCE, self._plan.shards) - 1
        try:
            if first <= last:
                return self._with_copies_behind(self._page(wanted, cursor, self._manifest(first, last)))
            return self._page_of_copies(wanted, cursor) if self._has_copies else ItemsPage([], None, self._plan.items)
        except ObjectMissing as error:
            raise no_longer_kept(self._batch) from error

    def find(self, custom_id: str, cursor: ItemsCursor | None) -> ItemsPage:
        """The item with this custom_id, if it stands in the next part of the work file."""
        place = cursor.place if cursor else 0
        windows = range(place, place + _WINDOW_BYTES * _WINDOWS_AT_ONCE, _WINDOW_BYTES)
        head = b"," + orjson.dumps(custom_id) + b"]\t"
        try:
            found, end = self._search(head, windows)
            if found is None and end is None:
                return ItemsPage([], ItemsCursor(windows.stop, -1, 0), self._items_before(windows.stop))
            if found is None:
                item = self._copy(lambda copy: copy.custom_id == custom_id)
            else:
                item = self._item_at(found, custom_id)
        except ObjectMissing as error:
            raise no_longer_kept(self._batch) from error
        shown = [] if item is None else [replace(item, request=None, answer=None, lane=None)]
        return ItemsPage(shown, None, self._plan.items)

    def item(self, index: int) -> ItemView:
        """One item, with what was asked and answered. Raises NotFound if the batch has no such item."""
        try:
            for shard in self._shards_around(index):
                for item in read_work_lines(self._objects.get(self._work_key, shard.offset, shard.length)):
                    if item.index == index:
                        return self._shown(shard, item)
            copied = self._copy(lambda copy: copy.index == index)
        except ObjectMissing as error:
            raise no_longer_kept(self._batch) from error
        if copied is not None:
            return copied
        raise NotFound(f"The batch has no item {index}.", param="index", code="item_not_found")

    # A page by outcome.

    def _page(self, wanted: ItemsRequest, cursor: ItemsCursor, manifest: list[Shard]) -> ItemsPage:
        first, last = manifest[0].number, manifest[-1].number
        rows = {row.number: row for row in self._shards.rows(self._batch.id, first, last)}
        due = [shard for shard in manifest if self._may_have(shard, rows.get(shard.number), wanted.outcomes)]
        searched = {shard.number: cursor.searched + before for shard, before in _items_before_each(manifest)}
        parts = Parts(self._batch, self._plan, self._rest, self._objects)
        found: list[ItemView] = []
        with closing(parts.read(due[:_SHARDS_AT_ONCE], rows, _AHEAD)) as reading:
            for results in reading:
                number = results.shard.number
                start = cursor.index if number == cursor.place else -1
                for result in results.by_index(partial(_is_due, wanted.outcomes, start)):
                    found.append(item_view(result))
                    if len(found) == wanted.limit:
                        next_cursor = ItemsCursor(number, result.index, searched[number])
                        return ItemsPage(found, next_cursor, searched[number])
        following = due[_SHARDS_AT_ONCE].number if len(due) > _SHARDS_AT_ONCE else last + 1
        behind = searched.get(following, cursor.searched + sum(shard.items for shard in manifest))
        is_end = following >= self._plan.shards
        return ItemsPage(found, None if is_end else ItemsCursor(following, -1, behind), behind)

    def _may_have(self, shard: Shard, row: ShardRow | None, outcomes: frozenset[Outcome]) -> bool:
        if row is not None and any(getattr(row.tally, each) for each in outcomes):
            return True
        is_settled = row is not None and row.state is ShardState.SETTLED
        return self._rest in outcomes and not is_settled and (row is None or row.tally.items < shard.items)

    # Copies by outcome.

    @property
    def _has_copies(self) -> bool:
        """Whether there are any that have results, which they get at the end."""
        return self._plan.copies > 0 and self._batch.ending is not None

    def _with_copies_behind(self, page: ItemsPage) -> ItemsPage:
        if page.next_cursor is not None or not self._has_copies:
            return page
        return replace(page, next_cursor=ItemsCursor(self._plan.shards, -1, page.searched))

    def _page_of_copies(self, wanted: ItemsRequest, cursor: ItemsCursor) -> ItemsPage:
        rows = {row.number: row for row in self._shards.rows(self._batch.id)}
        key = copies_key(self._batch.account_id, self._batch.id, self._plan.run)
        views = CopyViews(key, self._manifest(), rows, self._objects)
        look = views.look(
            cursor.place - self._plan.shards,
            wanted.limit,
            wanted.outcomes,
            lambda shard, row: self._may_have(shard, row, wanted.outcomes),
            Parts(self._batch, self._plan, self._rest, self._objects),
        )
        searched = cursor.searched + look.searched
        if look.next_place is None:
            return ItemsPage(look.items, None, self._plan.items)
        return ItemsPage(look.items, ItemsCursor(self._plan.shards + look.next_place, -1, searched), searched)

    # A search by custom_id.

    def _search(self, head: bytes, windows: range) -> tuple[int | None, int | None]:
        """(the byte at which the item's head was found, the end of the work file), each if it was reached."""
        spans = (Span(self._work_key, start, _WINDOW_BYTES + _LONGEST_HEAD_BYTES) for start in windows)
        reads = self._objects.get_many(spans, at_most=_WINDOWS_AT_ONCE, held_bytes=2**30)
        with closing(reads):
            for start, data in zip(windows, reads, strict=True):
                if (position := data.find(head)) >= 0:
                    return start + position, None
                if len(data) < _WINDOW_BYTES + _LONGEST_HEAD_BYTES:
                    return None, start + len(data)
        return None, None

    def _item_at(self, place: int, custom_id: str) -> ItemView:
        manifest = sorted(self._manifest(), key=lambda shard: shard.offset)
        shard = manifest[bisect_right([shard.offset for shard in manifest], place) - 1]
        items = read_work_lines(self._objects.get(self._work_key, shard.offset, shard.length))
        return self._shown(shard, next(item for item in items if item.custom_id == custom_id))

    def _items_before(self, place: int) -> int:
        return sum(shard.items for shard in self._manifest() if shard.offset + shard.length <= place)

    # One item.

    def _shards_around(self, index: int) -> Iterator[Shard]:
        """The shards that may have the item: one of each route."""
        for route in routes(self._manifest()):
            before = bisect_right([shard.first_index for shard in route], index)
            if before:
                yield route[before - 1]

    def _shown(self, shard: Shard, item: WorkItem) -> ItemView:
        lane = self._plan.lane_of(shard.number).lane
        result, answered_by = self._result(shard, item.index)
        if result is None:
            return ItemView(item.index, item.custom_id, request=item.body, lane=lane)
        return replace(item_view(result), request=item.body, answer=result.body or None, lane=answered_by or lane)

    def _copy(self, is_wanted: Callable[[Copy], bool]) -> ItemView | None:
        """The copy that is wanted, as its original is: copies are in no shard, and have their results at the end."""
        if not self._plan.copies:
            return None
        key = copies_key(self._batch.account_id, self._batch.id, self._plan.run)
        with closing(read_copies(key, self._objects)) as copies:
            copy = next(filter(is_wanted, copies), None)
        if copy is None:
            return None
        original = self.item(copy.original)
        if self._batch.ending is None:
            return ItemView(copy.index, copy.custom_id, request=original.request, lane=original.lane)
        return replace(original, index=copy.index, custom_id=copy.custom_id)

    def _result(self, shard: Shard, index: int) -> tuple[StoredResult | None, Lane | None]:
        """The item's result, and who answered it, if that is known."""
        row = self._shards.get(self._batch.id, shard.number)
        lanes: dict[int, Lane | None] = {}

        def note_lane(key: str, data: bytes) -> None:
            lanes.update(dict.fromkeys((found for found, _, _ in body_places(data)), lane_of(data)))

        parts = Parts(self._batch, self._plan, self._rest, self._objects, note_lane)
        with closing(parts.read([shard], {shard.number: row} if row else {}, _ONE)) as reading:
            for results in reading:
                for result in results.by_index(lambda result: result.index == index):
                    return result, lanes.get(index)
        return None, None

    def _manifest(self, first: int = 0, last: int | None = None) -> list[Shard]:
        key = manifest_key(self._batch.account_id, self._batch.id, self._plan.run)
        length = None if last is None else (last - first + 1) * MANIFEST_RECORD_BYTES
        return read_manifest(self._objects.get(key, first * MANIFEST_RECORD_BYTES, length))


def _is_due(outcomes: frozenset[Outcome], start: int, result: StoredResult) -> bool:
    return result.outcome in outcomes and result.index > start


def _items_before_each(manifest: list[Shard]) -> Iterator[tuple[Shard, int]]:
    behind = 0
    for shard in manifest:
        yield shard, behind
        behind += shard.items
