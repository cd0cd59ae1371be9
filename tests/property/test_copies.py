"""Copies: items that are like an earlier one are in no shard, and have its result all the same."""

from __future__ import annotations

from random import Random
from unittest.mock import patch

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.content import copy_views
from batchyard.content.copies import CopyFinder
from batchyard.content.item_views import Items
from batchyard.content.results import results
from batchyard.content.workfile import WorkFile
from batchyard.core.batches import Batch, Ending, Status
from batchyard.core.copies import Copy, copy_line, read_copy_line
from batchyard.core.errors import BooksDoNotBalance, NotFound
from batchyard.core.items import Item, work_line
from batchyard.core.keys import copies_key, manifest_key, work_key
from batchyard.core.lanes import Lane
from batchyard.core.requests import ItemsRequest, ResultWindow
from batchyard.core.results import Outcome, result_id
from batchyard.core.sharding import Plan, ShardSizes, manifest_record
from simulation.memory_objects import MemoryObjects
from tests.invariants import check_files
from tests.memory import MemoryShards, OneBatch
from tests.property.test_merge import ACCOUNT, BATCH_ID, World, run_shard


class CopiedWorld(World):
    """`original`: index -> that of the item whose result it has."""

    original: dict[int, int]


def run_batch(random: Random, items: int, kinds: int, complete: bool) -> CopiedWorld:
    """A batch of so many kinds of items on two lanes, of which each kind is sent once for each lane."""
    objects, pieces, lines = MemoryObjects(), list[bytes](), list[bytes]()
    work = WorkFile(pieces.append, sizes=ShardSizes(4), bytes_at_most=500, lanes_at_most=9, held_bytes=900)
    finder = CopyFinder(lines.append)
    seen: dict[tuple[str, bytes], int] = {}
    original: dict[int, int] = {}
    for index in range(items):
        model = random.choice(["m0", "m1"])
        item = Item(index, f"id-{index}", model, b'"%d"' % random.randrange(kinds))
        lane = work.lane(Lane("openai", model))
        original[index] = seen.setdefault((model, item.body), index)
        assert finder.is_copy(lane, item) == (original[index] != index)
        if original[index] == index:
            work.add(lane, index, work_line(item))
    lane_shards, shards = work.finish()
    data = b"".join(pieces)
    objects.put(work_key(ACCOUNT, BATCH_ID, "run"), data)
    objects.put(copies_key(ACCOUNT, BATCH_ID, "run"), b"".join(lines))
    objects.put(manifest_key(ACCOUNT, BATCH_ID, "run"), b"".join(map(manifest_record, shards)))
    expected: dict[str, Outcome] = {}
    rows = MemoryShards()
    for shard in shards:
        if complete or random.random() < 0.8:
            rows.by_number[shard.number] = run_shard(random, shard, data, objects, expected, complete)
    plan = Plan("run", items, len(shards), tuple(lane_shards), 8, False, None, copies=finder.found)
    batch = Batch(
        BATCH_ID, ACCOUNT, "openai", "/v1/embeddings", "file-1", "24h", Status.IN_PROGRESS, 0, 86_400, plan=plan
    )
    world = CopiedWorld(OneBatch(batch), rows, objects, expected)
    world.original = original
    return world


sizes = {
    "random": st.randoms(use_true_random=False),
    "items": st.integers(1, 60),
    "kinds": st.integers(1, 20),
    "together": st.integers(1, 7),
    "asked": st.sampled_from([Ending.COMPLETED, Ending.CANCELLED, Ending.EXPIRED]),
}


@given(**sizes)
def test_a_copy_has_the_result_of_its_original(
    random: Random, items: int, kinds: int, together: int, asked: Ending
) -> None:
    """However a batch ends: each item has one line, under its own ids and in its place, that is otherwise its
    original's; counts add up, and what was not sent has cost nothing."""
    world = run_batch(random, items, kinds, complete=asked is Ending.COMPLETED)
    if asked is Ending.CANCELLED:
        world.batches.enter(world.batches.batch, Status.CANCELLING, 0)
    with patch("batchyard.content.copies._TOGETHER", together):
        batch = world.finalize(asked)
    output, error = world.file(batch.output_file_id), world.file(batch.error_file_id)
    checked = check_files([f"id-{n}" for n in range(items)], output, error)
    lines = [orjson.loads(line) for data in (output, error) for line in (data or b"").splitlines()]
    by_index = {int(line["custom_id"].removeprefix("id-")): line for line in lines}
    for index, line in by_index.items():
        assert line["id"] == result_id(BATCH_ID, index)
        like = by_index[world.original[index]]
        assert (line["response"], line["error"]) == (like["response"], like["error"])
    for data in (output, error):
        places = [int(orjson.loads(line)["custom_id"][3:]) for line in (data or b"").splitlines()]
        assert places == sorted(places)
    assert (batch.tally.items, batch.tally.succeeded) == (items, checked.succeeded)
    assert (batch.tally.cost_picousd, batch.tally.input_tokens) == (7 * len(world.expected), 2 * len(world.expected))


@given(random=st.randoms(use_true_random=False), items=st.integers(1, 40), kinds=st.integers(1, 9))
def test_results_of_a_running_batch_leave_copies_out_until_it_is_over(random: Random, items: int, kinds: int) -> None:
    """While it runs only what was sent is shown; afterwards each item is, in every window."""
    world = run_batch(random, items, kinds, complete=True)

    def shown(window: ResultWindow) -> list[int]:
        found = results(world.batches.batch, window, shards=world.shards, objects=world.objects)  # type: ignore[arg-type]
        return [result.index for result in found]

    sent = [index for index, original in world.original.items() if index == original]
    assert shown(ResultWindow()) == sent
    world.finalize(Ending.COMPLETED)
    assert shown(ResultWindow()) == list(range(items))
    assert shown(ResultWindow(items // 2, 5)) == list(range(items))[items // 2 :][:5]


@given(random=st.randoms(use_true_random=False), items=st.integers(1, 40), kinds=st.integers(1, 9))
def test_a_copy_is_found_by_its_index_and_its_custom_id(random: Random, items: int, kinds: int) -> None:
    """When a batch is over, the page that shows items shows what was asked of its original, and what that came to."""
    world = run_batch(random, items, kinds, complete=True)
    world.finalize(Ending.COMPLETED)
    plan = world.batches.batch.plan
    assert plan is not None
    found = Items(world.batches.batch, plan, world.shards, world.objects)  # type: ignore[arg-type]
    for index, original in world.original.items():
        shown, like = found.item(index), found.item(original)
        assert (shown.index, shown.custom_id) == (index, f"id-{index}")
        assert (shown.request, shown.answer, shown.outcome) == (like.request, like.answer, like.outcome)
        (item,) = found.find(f"id-{index}", None).items
        assert (item.index, item.outcome) == (index, like.outcome)
    with pytest.raises(NotFound):
        found.item(items)
    assert found.find("id", None).items == []


@given(**(sizes | {"asked": st.sampled_from([Ending.COMPLETED, Ending.CANCELLED]), "limit": st.integers(1, 5)}))
def test_copies_are_found_by_their_outcome(
    random: Random, items: int, kinds: int, together: int, asked: Ending, limit: int
) -> None:
    """When a batch is over, behind the items that were sent, page after page: each with a wanted outcome once, however
    few shards and bytes a look reads; while it runs copies have no outcome."""
    world = run_batch(random, items, kinds, complete=asked is Ending.COMPLETED)
    plan = world.batches.batch.plan
    assert plan is not None

    def failed() -> list[tuple[int, str, Outcome | None]]:
        found, cursor = [], None
        looks = Items(world.batches.batch, plan, world.shards, world.objects)  # type: ignore[arg-type]
        while True:
            page = looks.page(ItemsRequest(BATCH_ID, frozenset(Outcome) - {Outcome.SUCCEEDED}, None, cursor, limit))
            assert len(page.items) <= limit
            found += [(each.index, each.custom_id, each.outcome) for each in page.items]
            if page.next_cursor is None:
                return found
            cursor = page.next_cursor

    with (
        patch.object(copy_views, "_WINDOW_BYTES", 30 * together),
        patch.object(copy_views, "_SHARDS_AT_ONCE", 1 + together % 2),
    ):
        sent = {index for index, original in world.original.items() if index == original}
        assert {index for index, _, _ in failed()} <= sent
        if asked is Ending.CANCELLED:
            world.batches.enter(world.batches.batch, Status.CANCELLING, 0)
        world.finalize(asked)
        shown = failed()
    outcomes = {index: Items(world.batches.batch, plan, world.shards, world.objects).item(index).outcome  # type: ignore[arg-type]
                for index in range(items)}  # fmt: skip
    wanted = [(index, f"id-{index}", each) for index, each in outcomes.items() if each is not Outcome.SUCCEEDED]
    assert sorted(shown) == wanted


@given(random=st.randoms(use_true_random=False), items=st.integers(2, 40))
def test_a_copy_without_its_original_is_never_published(random: Random, items: int) -> None:
    """A file of copies that belongs to other results fails loudly, as does one that is short."""
    world = run_batch(random, items, 1, complete=True)
    key = copies_key(ACCOUNT, BATCH_ID, "run")
    lines = world.objects.stored[key].splitlines(keepends=True)
    if not lines:
        return
    first = read_copy_line(lines[0])
    for wrong in ([*lines[1:]], [copy_line(Copy(first.index, "x", first.index)), *lines[1:]]):
        world.objects.stored[key] = b"".join(wrong)
        with pytest.raises(BooksDoNotBalance):
            world.finalize(Ending.COMPLETED)
        assert world.batches.files == (None, None)
