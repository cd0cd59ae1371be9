"""The work file: however items fall on lanes, each stands once in the byte range of one shard, within the limits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from batchyard.content.workfile import WorkFile
from batchyard.core.items import Item, read_work_lines, work_line
from batchyard.core.lanes import Lane
from batchyard.core.sharding import (
    MANIFEST_RECORD_BYTES,
    Shard,
    ShardSizes,
    manifest_record,
    read_manifest,
)

BYTES_AT_MOST = 300
HELD = 700


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 400)), max_size=200),
    st.integers(1, 64),
)
def test_every_item_stands_once_in_the_range_of_its_lanes_shard(items: list[tuple[int, int]], at_most: int) -> None:
    """Shards tile the file, are numbered lane by lane, hold their lane's items in order, and stay within limits."""
    pieces: list[bytes] = []
    sizes = ShardSizes(at_most)
    work = WorkFile(pieces.append, sizes=sizes, bytes_at_most=BYTES_AT_MOST, lanes_at_most=5, held_bytes=HELD)
    added = 0
    for index, (lane, size) in enumerate(items):
        line = work_line(Item(index, f"id\t{index}", "m", b'"' + b"x" * size + b'"'))
        work.add(work.lane(Lane("openai", str(lane))), index, line)
        added += len(line)
        assert added - sum(map(len, pieces)) <= HELD
    lanes, shards = work.finish()
    data = b"".join(pieces)

    assert [shard.number for shard in shards] == list(range(len(shards)))
    assert b"".join(data[s.offset : s.offset + s.length] for s in sorted(shards, key=lambda s: s.offset)) == data
    assert sum(shard.length for shard in shards) == len(data)
    found: dict[int, list[int]] = {}
    for position, lane in enumerate(lanes):
        of_lane = shards[lane.first_shard : lane.first_shard + lane.shards]
        for order, shard in enumerate(of_lane):
            read = read_work_lines(data[shard.offset : shard.offset + shard.length])
            assert shard.lane == position
            assert len(read) == shard.items <= sizes.of(order)
            assert shard.length <= BYTES_AT_MOST or shard.items == 1
            assert read[0].index == shard.first_index
            assert [item.custom_id for item in read] == [f"id\t{item.index}" for item in read]
            found.setdefault(int(lane.lane.model), []).extend(item.index for item in read)
        assert lane.items == sum(shard.items for shard in of_lane)
    assert found == {
        lane: [index for index, (each, _) in enumerate(items) if each == lane] for lane in {lane for lane, _ in items}
    }


numbers = st.integers(0, 10**13)


@given(st.lists(st.builds(Shard, numbers, numbers, numbers, numbers, numbers, numbers), max_size=20))
def test_a_manifest_is_read_whole_or_record_by_record(shards: list[Shard]) -> None:
    """Record n stands at n times the record length, and reading gives back what was written."""
    data = b"".join(map(manifest_record, shards))
    assert read_manifest(data) == shards
    for position, shard in enumerate(shards):
        start = position * MANIFEST_RECORD_BYTES
        assert read_manifest(data[start : start + MANIFEST_RECORD_BYTES]) == [shard]
