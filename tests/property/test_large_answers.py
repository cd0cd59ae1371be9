"""Answers of megabytes: a batch of them is merged and shown in bounded memory, and comes to the same results."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from random import Random
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.content import copies, item_views, merge, parts, results
from batchyard.content.item_views import Items
from batchyard.content.parts import Parts, ReadAhead
from batchyard.core.batches import Batch, Ending, Status
from batchyard.core.keys import part_key
from batchyard.core.parts import encode_part
from batchyard.core.requests import ItemsRequest, ResultWindow
from batchyard.core.results import Outcome, Result, tally
from batchyard.core.sharding import Plan, Shard
from batchyard.core.shards import ShardRow, ShardState, mark_done
from simulation.memory_objects import MemoryObjects
from tests.property import test_copies, test_results
from tests.property.test_merge import ACCOUNT, BATCH_ID

MB = 1_000_000
ANSWERS = 60
PLAN = Plan("run", ANSWERS, 1, (), 8, False, None)
BATCH = Batch(BATCH_ID, ACCOUNT, "openai", "/v1/embeddings", "file-1", "24h", Status.IN_PROGRESS, 0, 86_400, plan=PLAN)


def large_shard(objects: MemoryObjects) -> ShardRow:
    """A shard of 60 answers of half a megabyte, in parts of four, in any order."""
    order = Random(1).sample(range(ANSWERS), ANSWERS)
    found = [
        Result(index, f"id-{index}", Outcome.SUCCEEDED, status_code=200, body=b"%06d" % index * (MB // 12))
        for index in order
    ]
    keys = [part_key(ACCOUNT, BATCH_ID, 0, 1, number) for number in range(ANSWERS // 4)]
    for number, key in enumerate(keys):
        objects.put(key, encode_part(BATCH_ID, found[4 * number : 4 * number + 4]))
    done = mark_done(b"", list(range(ANSWERS)), ANSWERS)
    return ShardRow(0, ShardState.SETTLED, done=done, parts=tuple(keys), tally=tally(found))


@pytest.mark.parametrize("held_bytes", [0, 4 * MB, 1000 * MB])
def test_what_is_held_of_a_shard_is_bounded(held_bytes: int) -> None:
    """30 MB of answers pass through little more than may be held, each once and whole, by index; if they fit they are
    read once."""
    objects = MemoryObjects()
    row = large_shard(objects)
    shard = Shard(0, 0, 0, 0, ANSWERS, 0)
    reading = Parts(BATCH, PLAN, None, objects).read([shard], {0: row}, ReadAhead(2, held_bytes))  # type: ignore[arg-type]
    tracemalloc.start()
    try:
        (found,) = [[result.body[:6] for result in each.by_index()] for each in reading]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == [b"%06d" % index for index in range(ANSWERS)]
    assert peak < 30 * MB + 8 * MB
    if held_bytes < 30 * MB:
        assert peak < held_bytes + 8 * MB, "a part, its answers, and the one that is looked at"


@given(random=st.randoms(use_true_random=False), held_bytes=st.integers(0, 200), at_most=st.integers(1, 9))
def test_nothing_changes_if_answers_are_let_go(random: Random, held_bytes: int, at_most: int) -> None:
    """Files, windows and items of a batch are the same, whatever fits into memory."""
    seed = random.randrange(10**9)

    def read() -> object:
        made = test_results.world(seed, complete=True)
        shown = test_results.read(made, ResultWindow(1, 7))
        items = Items(made.batches.batch, made.batches.batch.plan, made.shards, made.objects)  # type: ignore[arg-type]
        page = items.page(ItemsRequest(BATCH_ID, frozenset({Outcome.FAILED, Outcome.SUCCEEDED})))
        one = items.item(0)
        batch = made.finalize(Ending.COMPLETED)
        return shown, page, one, made.file(batch.output_file_id), made.file(batch.error_file_id)

    expected = read()
    small = ReadAhead(2, held_bytes)
    with (
        patch.object(parts, "_SMALL_BYTES", at_most),
        patch.object(merge, "_AHEAD", small),
        patch.object(results, "_AHEAD", small),
        patch.object(item_views, "_AHEAD", small),
        patch.object(item_views, "_ONE", small),
    ):
        assert read() == expected


@given(random=st.randoms(use_true_random=False), kinds=st.integers(1, 9), held_bytes=st.integers(0, 60))
def test_copies_of_large_answers(random: Random, kinds: int, held_bytes: int) -> None:
    """Answers that copies need are held as far as they fit; the others are read when it is their turn."""
    made = test_copies.run_batch(random, 40, kinds, complete=True)
    before = replace(made.batches.batch)
    whole = made.finalize(Ending.COMPLETED)
    expected = made.file(whole.output_file_id), made.file(whole.error_file_id)
    made.batches.batch = before
    with patch.object(copies, "_HELD_BYTES", held_bytes), patch.object(copies, "_TOGETHER", 5):
        again = made.finalize(Ending.COMPLETED)
    assert (made.file(again.output_file_id), made.file(again.error_file_id)) == expected
