"""Plans, chains and concurrency: nothing is left out and no ceiling is broken, whatever the numbers."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.errors import BooksDoNotBalance
from batchyard.core.lanes import Lane, Mode
from batchyard.core.providers import ENDPOINTS
from batchyard.core.sharding import (
    MANIFEST_RECORD_BYTES,
    LaneShards,
    Plan,
    Shard,
    ShardSizes,
    manifest_record,
    progress_row_of,
    progress_rows,
    read_manifest,
    shard_sizes,
    shards_of_progress_row,
    split_concurrency,
)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    counts = draw(st.lists(st.integers(1, 30), min_size=1, max_size=5))
    lanes, first = [], 0
    for number, shards in enumerate(counts):
        lanes.append(LaneShards(Lane("openai", f"model-{number}"), first, shards, shards))
        first += shards
    return Plan("run", first, first, tuple(lanes), draw(st.integers(1, 12)), draw(st.booleans()), None)


@given(plans(), st.randoms())
def test_following_the_chains_reaches_every_shard_once_under_the_stride(plan: Plan, random: Random) -> None:
    """Whatever order shards settle in, each is sent once and a chain never has more than its stride in flight."""
    in_flight = set(plan.due(set()))
    sent, settled = set(in_flight), set()
    while in_flight:
        for number in in_flight:
            chain = plan.chain_of(number)
            assert len([n for n in in_flight if n in chain]) <= plan.stride
        number = random.choice(sorted(in_flight))
        in_flight.remove(number)
        settled.add(number)
        assert in_flight <= set(plan.due(settled))
        follower = plan.follower(number)
        if follower is not None:
            assert follower not in sent
            in_flight.add(follower)
            sent.add(follower)
        assert set(plan.due(settled)) == in_flight
    assert settled == set(range(plan.shards))


@st.composite
def plans_with_jobs(draw: st.DrawFn) -> Plan:
    """Some of the entries are provider jobs."""
    plan = draw(plans())
    lanes = [
        replace(
            entry,
            lane=replace(entry.lane, mode=Mode.NATIVE),
            escalate_at=draw(st.integers(1, 2**40)),
            others=(entry.lane,),
        )
        if draw(st.booleans())
        else entry
        for entry in plan.lanes
    ]
    return replace(plan, lanes=tuple(lanes))


def manifest_of(plan: Plan) -> list[Shard]:
    return [Shard(n, plan.lanes.index(plan.lane_of(n)), n * 10, 10, 1, n) for n in range(plan.shards)]


@given(plans_with_jobs())
def test_a_plan_survives_its_row(plan: Plan) -> None:
    """to_row and from_row are inverse, with jobs and without."""
    assert Plan.from_row(plan.to_row()) == plan


@given(plans_with_jobs(), st.randoms())
def test_no_shard_of_a_provider_job_is_sent_to_a_worker(plan: Plan, random: Random) -> None:
    """Neither at first nor as another's follower; all other shards are reached."""
    native = {number for entry in plan.jobs for number in entry.numbers}
    in_flight, settled = set(plan.due(set())), set()
    while in_flight:
        number = random.choice(sorted(in_flight))
        in_flight.remove(number)
        settled.add(number)
        follower = plan.follower(number)
        if follower is not None:
            in_flight.add(follower)
        assert set(plan.due(settled)) == in_flight
    assert settled == set(range(plan.shards)) - native


@given(plans_with_jobs(), st.randoms())
def test_what_a_job_left_is_reached_after_its_move(plan: Plan, random: Random) -> None:
    """Some of a job's shards settle, in no order; the rest is moved, its due shards are sent, and their followers are
    the next ones that are not settled: every shard settles, each is sent once, in few chains."""
    manifest = manifest_of(plan)
    for job in plan.jobs:
        settled = {number for number in job.numbers if random.random() < 0.5}
        plan = plan.moved(job.numbers, job.others[0], manifest)
        assert plan.job(job.first_shard) is None
        in_flight = {number for number in plan.due(settled) if number in job.numbers}
        if not plan.one_chain:
            assert len(in_flight) <= plan.stride
            sent = set(in_flight)
            while in_flight:
                number = random.choice(sorted(in_flight))
                in_flight.remove(number)
                settled.add(number)
                follower = plan.follower(number, settled)
                if follower is not None:
                    assert follower not in sent
                    in_flight.add(follower)
                    sent.add(follower)
            assert settled >= set(job.numbers)


@given(plans_with_jobs(), st.data())
def test_a_move_changes_the_lane_of_some_shards_and_nothing_else(plan: Plan, data: st.DataObject) -> None:
    """Entries stay in order and without gaps, items add up, every other shard keeps its lane."""
    entry = data.draw(st.sampled_from(plan.lanes))
    first = entry.first_shard if entry.is_native else data.draw(st.sampled_from(entry.numbers))
    last = entry.numbers[-1] if entry.is_native else data.draw(st.integers(first, entry.numbers[-1]))
    target = Lane("elsewhere", "model")
    moved = plan.moved(range(first, last + 1), target, manifest_of(plan))
    for number in range(plan.shards):
        expected = target if first <= number <= last else plan.lane_of(number).lane
        assert moved.lane_of(number).lane == expected
    assert [each.first_shard for each in moved.lanes[1:]] == [each.numbers.stop for each in moved.lanes[:-1]]
    assert sum(each.items for each in moved.lanes) == plan.items
    assert Plan.from_row(moved.to_row()) == moved


def test_a_move_that_would_break_the_books_is_refused() -> None:
    """Shards of two entries at once, a part of a job, or into a native lane, which has no job for them."""
    native = LaneShards(Lane("openai", "m", Mode.NATIVE), 0, 4, 4, 99, (Lane("openai", "m"),))
    plan = Plan("run", 6, 6, (native, LaneShards(Lane("openai", "n"), 4, 2, 2)), 1, False, None)
    manifest = manifest_of(plan)
    for numbers, lane in (
        (range(3, 5), Lane("a", "b")),
        (range(1, 4), Lane("a", "b")),
        (range(4, 6), Lane("a", "b", Mode.NATIVE)),
    ):
        with pytest.raises(BooksDoNotBalance):
            plan.moved(numbers, lane, manifest)


def test_an_older_row_is_read() -> None:
    """One that knows neither jobs nor other lanes."""
    row = ["openai", "m", "realtime", 0, 2, 20]
    assert LaneShards.from_row(row) == LaneShards(Lane("openai", "m"), 0, 2, 20)


@given(st.integers(1, 100_000), st.integers(1, 512))
def test_a_concurrency_hint_is_a_ceiling_and_is_used(hint: int, items: int) -> None:
    """Shards in flight times calls per shard never exceeds the hint, and wastes less than one call per shard."""
    stride, concurrency = split_concurrency(hint, items, 128)
    assert concurrency is not None
    assert 1 <= concurrency <= items
    assert hint - stride < stride * concurrency <= hint


@pytest.mark.parametrize(
    ("hint", "items", "at_most"),
    [
        (10, 500, 1.1),
        (50, 2000, 1.3),
        (100, 2000, 1.3),
        (100, 20_000, 1.1),
        (300, 2000, 1.5),
        (300, 3000, 1.3),
        (300, 20_000, 1.2),
        (1000, 3000, 1.5),
        (1000, 10_000, 1.4),
        (1000, 20_000, 1.3),
    ],
)
def test_a_concurrency_hint_costs_little_time(hint: int, items: int, at_most: float) -> None:
    """Rounds of calls, if all calls take the same time, against those of a loop that always has as many in flight."""
    stride, calls = split_concurrency(hint, items_at_most=256, default_stride=128)
    assert calls is not None
    sizes = shard_sizes(hint, items_at_most=256, default_stride=128)
    rounds = [0] * stride
    left, number = items, 0
    while left:
        size = min(left, sizes.of(number))
        rounds[number % stride] += -(-size // calls)
        left, number = left - size, number + 1
    assert max(rounds) <= at_most * -(-items // hint)


@pytest.mark.parametrize("hint", [1, 10, 100, 300, 1000, 10_000])
def test_a_concurrency_hint_makes_few_shards_more(hint: int) -> None:
    """Each costs a message, a part and some writes: of a large batch there are hardly more than without a hint."""

    def count(sizes: ShardSizes) -> int:
        left, number = 100_000, 0
        while left > 0:
            left, number = left - sizes.of(number), number + 1
        return number

    assert count(shard_sizes(hint, 256, 128)) <= 1.5 * count(ShardSizes(256))


@given(st.integers(1, 5000))
def test_progress_rows_share_all_shards(shards: int) -> None:
    """Every shard reports to exactly one row, and each row knows how many to expect."""
    rows = progress_rows(shards)
    expected = [0] * rows
    for number in range(shards):
        expected[progress_row_of(number, rows)] += 1
    assert expected == [shards_of_progress_row(row, shards, rows) for row in range(rows)]


@given(st.lists(st.builds(Shard, *[st.integers(0, 2**53)] * 6, st.sampled_from((None, *ENDPOINTS))), max_size=20))
def test_manifest_records_have_one_length(shards: list[Shard]) -> None:
    """Record n is at n times the length, for any numbers that fit a batch and any endpoint."""
    data = b"".join(manifest_record(shard) for shard in shards)
    assert len(data) == len(shards) * MANIFEST_RECORD_BYTES
    assert read_manifest(data) == shards
    if shards:
        last = len(shards) - 1
        assert read_manifest(data[last * MANIFEST_RECORD_BYTES :]) == [shards[last]]


def test_shards_grow_from_small_to_the_limit() -> None:
    """Small batches spread over several shards, large ones use the largest."""
    assert [ShardSizes(256).of(n) for n in (0, 7, 8, 16, 24, 10_000)] == [32, 32, 64, 128, 256, 256]
    assert ShardSizes(5).of(0) == 5
