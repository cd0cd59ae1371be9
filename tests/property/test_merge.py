"""Merge: however results are spread over lanes, shards and parts, each item has one line in one of two files."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.content.workfile import WorkFile
from batchyard.core.batches import Batch, BatchRef, Ending, Status
from batchyard.core.errors import BooksDoNotBalance
from batchyard.core.items import Item, read_work_lines, work_line
from batchyard.core.keys import file_key, manifest_key, part_key, work_key
from batchyard.core.lanes import Lane
from batchyard.core.parts import decode_part, encode_part
from batchyard.core.results import Outcome, Result, tally
from batchyard.core.sharding import Plan, Shard, ShardSizes, manifest_record
from batchyard.core.shards import ShardRow, ShardState, mark_done
from batchyard.core.usage import Usage
from batchyard.steps.finalize import finalize
from simulation.memory_objects import MemoryObjects
from tests.invariants import check_files
from tests.memory import MemoryShards, OneBatch, memory_stores

ACCOUNT = "acct_a"
BATCH_ID = "batch_01m7vzgc0060rk4csm6mv3ee1s"


@dataclass
class World:
    """A batch that has run: its rows and objects, and what its items should have come to."""

    batches: OneBatch
    shards: MemoryShards
    objects: MemoryObjects
    expected: dict[str, Outcome]

    def finalize(self, asked: Ending) -> Batch:
        return finalize(
            BatchRef(ACCOUNT, BATCH_ID),
            asked,
            clock=lambda: 1000,
            stores=memory_stores(self.batches, self.shards, self.objects),
        )

    def file(self, file_id: str | None) -> bytes | None:
        return None if file_id is None else self.objects.stored[file_key(ACCOUNT, file_id)]


def run_batch(random: Random, *, items: int, lanes: int, items_at_most: int, complete: bool) -> World:
    """A batch whose shards have done some of their items (all, if `complete`), in any order and any number of parts."""
    objects, pieces = MemoryObjects(), []
    work = WorkFile(pieces.append, sizes=ShardSizes(items_at_most), bytes_at_most=500, lanes_at_most=9, held_bytes=900)
    for index in range(items):
        lane = work.lane(Lane("openai", f"m{random.randrange(lanes)}"))
        work.add(lane, index, work_line(Item(index, f"id-{index}", "m", b'"x"')))
    lane_shards, shards = work.finish()
    data = b"".join(pieces)
    objects.put(work_key(ACCOUNT, BATCH_ID, "run"), data)
    objects.put(manifest_key(ACCOUNT, BATCH_ID, "run"), b"".join(map(manifest_record, shards)))
    expected: dict[str, Outcome] = {}
    rows = MemoryShards()
    for shard in shards:
        if not complete and random.random() < 0.2:
            continue
        rows.by_number[shard.number] = run_shard(random, shard, data, objects, expected, complete)
    plan = Plan("run", items, len(shards), tuple(lane_shards), 8, False, None)
    batch = Batch(
        BATCH_ID, ACCOUNT, "openai", "/v1/embeddings", "file-1", "24h", Status.IN_PROGRESS, 0, 86_400, plan=plan
    )
    return World(OneBatch(batch), rows, objects, expected)


def run_shard(
    random: Random, shard: Shard, data: bytes, objects: MemoryObjects, expected: dict[str, Outcome], complete: bool
) -> ShardRow:
    """The row of a shard whose owner flushed some parts."""
    todo = read_work_lines(data[shard.offset : shard.offset + shard.length])
    if not complete:
        todo = random.sample(todo, random.randint(0, len(todo)))
    random.shuffle(todo)
    results = []
    for item in todo:
        ok = random.random() < 0.7
        expected[item.custom_id] = Outcome.SUCCEEDED if ok else Outcome.FAILED
        status, body = (200, b'{"a":"\xe2\x80\xa8","n":%d}' % item.index) if ok else (500, b'{"error":{}}')
        results.append(
            Result(
                item.index,
                item.custom_id,
                expected[item.custom_id],
                status_code=status,
                body=body,
                usage=Usage(2, 1, 3, 1),
                cost_picousd=7,
            )
        )
    keys = []
    rest = list(results)
    while rest:
        size = random.randint(1, len(rest))
        keys.append(part_key(ACCOUNT, BATCH_ID, shard.number, 1, len(keys)))
        objects.put(keys[-1], encode_part(BATCH_ID, rest[:size]))
        rest = rest[size:]
    settled = len(results) == shard.items and (complete or random.random() < 0.5)
    return ShardRow(
        shard.number,
        state=ShardState.SETTLED if settled else random.choice([ShardState.OPEN, ShardState.SEALED]),
        done=mark_done(b"", [item.position for item in todo], shard.items),
        parts=tuple(keys),
        tally=tally(results),
    )


sizes = {
    "random": st.randoms(use_true_random=False),
    "items": st.integers(1, 60),
    "lanes": st.integers(1, 4),
    "items_at_most": st.integers(1, 20),
}


@given(**sizes)
def test_a_completed_batch_has_every_result_once_in_input_order(
    random: Random, items: int, lanes: int, items_at_most: int
) -> None:
    """Successes are in the output file, the rest in the error file, both by index; counts, tokens and cost add up."""
    world = run_batch(random, items=items, lanes=lanes, items_at_most=items_at_most, complete=True)
    batch = world.finalize(Ending.COMPLETED)
    output, error = world.file(batch.output_file_id), world.file(batch.error_file_id)
    checked = check_files([f"id-{n}" for n in range(items)], output, error)
    assert batch.status is Status.COMPLETED
    assert checked.succeeded == list(world.expected.values()).count(Outcome.SUCCEEDED) == batch.tally.succeeded
    assert checked.failed == batch.tally.failed
    assert (batch.tally.input_tokens, batch.tally.cost_picousd) == (2 * items, 7 * items)
    for data in (output, error):
        places = [int(line.split(b'"id-')[1].split(b'"')[0]) for line in (data or b"").split(b"\n") if line]
        assert places == sorted(places)
    for file in filter(None, world.batches.files):
        stored = world.file(file.id)
        assert stored is not None
        assert (file.bytes, file.lines) == (len(stored), stored.count(b"\n"))


@given(asked=st.sampled_from([Ending.CANCELLED, Ending.EXPIRED, Ending.FAILED]), **sizes)
def test_a_stopped_batch_keeps_what_is_done_and_accounts_for_the_rest(
    asked: Ending, random: Random, items: int, lanes: int, items_at_most: int
) -> None:
    """Whatever was flushed is kept; every other item has one line that says why; and it is the same when run twice. (A
    window that ends when everything is settled expires nothing.)"""
    world = run_batch(random, items=items, lanes=lanes, items_at_most=items_at_most, complete=False)
    settled = [row for row in world.shards.by_number.values() if row.state is ShardState.SETTLED]
    in_time = asked is Ending.EXPIRED and len(settled) == world.batches.batch.plan.shards  # type: ignore[union-attr]
    if asked is Ending.CANCELLED:
        world.batches.enter(world.batches.batch, Status.CANCELLING, 0)
    before = world.batches.batch
    batch = world.finalize(asked)
    output, error = world.file(batch.output_file_id), world.file(batch.error_file_id)
    checked = check_files([f"id-{n}" for n in range(items)], output, error)
    assert batch.status == ("completed" if in_time else asked)
    assert checked.succeeded == list(world.expected.values()).count(Outcome.SUCCEEDED)
    assert checked.codes[f"batch_{asked}"] == items - len(world.expected)
    assert batch.tally.items == items
    assert batch.tally.cost_picousd == 7 * len(world.expected)
    assert {row.state for row in world.shards.by_number.values()} <= {ShardState.SETTLED, ShardState.SEALED}

    stored = dict(world.objects.stored)
    assert world.finalize(asked) == batch
    world.batches.batch = before
    assert world.finalize(asked) == batch
    assert world.objects.stored == stored


def some_part(world: World) -> tuple[int, str]:
    """A shard with a part, and the part."""
    return next((row.number, row.parts[0]) for row in world.shards.by_number.values() if row.parts)


def lose_a_part(world: World) -> None:
    number, _ = some_part(world)
    row = world.shards.by_number[number]
    world.shards.by_number[number] = ShardRow(
        number, state=row.state, done=row.done, parts=row.parts[1:], tally=row.tally
    )


def name_a_part_twice(world: World) -> None:
    number, key = some_part(world)
    row = world.shards.by_number[number]
    world.shards.by_number[number] = ShardRow(
        number, state=row.state, done=row.done, parts=(*row.parts, key), tally=row.tally
    )


def count_one_too_many(world: World) -> None:
    number, _ = some_part(world)
    row = world.shards.by_number[number]
    wrong = tally([Result(0, "x", Outcome.SUCCEEDED)])
    world.shards.by_number[number] = ShardRow(
        number, state=row.state, done=row.done, parts=row.parts, tally=row.tally + wrong
    )


def forget_a_shard(world: World) -> None:
    number, _ = some_part(world)
    del world.shards.by_number[number]


def swap_an_index(world: World) -> None:
    _, key = some_part(world)
    first, *others = decode_part(world.objects.stored[key])
    moved = Result(first.index + 1, "x", Outcome.SUCCEEDED, status_code=200, body=b"{}")
    rest = [Result(r.index, "y", r.outcome, status_code=200, body=b"{}") for r in others]
    world.objects.put(key, encode_part(BATCH_ID, [moved, *rest]))


@pytest.mark.parametrize("harm", [lose_a_part, name_a_part_twice, count_one_too_many, forget_a_shard, swap_an_index])
@given(**sizes)
def test_books_that_do_not_balance_are_never_published(
    harm: object, random: Random, items: int, lanes: int, items_at_most: int
) -> None:
    """A part that is missing, named twice, miscounted or of another's items fails loudly and publishes nothing."""
    world = run_batch(random, items=items, lanes=lanes, items_at_most=items_at_most, complete=True)
    harm(world)  # type: ignore[operator]
    before = dict(world.objects.stored)
    with pytest.raises(BooksDoNotBalance):
        world.finalize(Ending.COMPLETED)
    assert not world.batches.batch.status.is_terminal
    assert world.batches.files == (None, None)
    if harm is not count_one_too_many:
        assert world.objects.stored == before
