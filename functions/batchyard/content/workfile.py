"""Cuts the items of a batch into shards as they come, and writes each shard as one run of bytes.

A lane has one open shard at a time. A shard is closed, and written, when it has its number of items or of bytes; and
when all open shards together hold too much, the largest one is closed. Shards therefore stand in the work file in the
order in which they closed, and are numbered lane by lane only at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from batchyard.core.errors import BatchyardError
from batchyard.core.lanes import Lane
from batchyard.core.sharding import LaneShards, Shard, ShardSizes

HELD_BYTES = 64 * 1024 * 1024


class TooManyLanes(BatchyardError):
    """The batch uses more lanes than a plan holds."""


@dataclass(slots=True)
class OpenLane:
    """A lane, the others that its items may take, what they are for if that is not what their batch is for, its closed
    shards as (offset, length, items, first index), and the one that is open. `position`: among all lanes."""

    position: int
    lane: Lane
    others: tuple[Lane, ...]
    endpoint: str | None
    items_wanted: int
    closed: list[tuple[int, int, int, int]] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    held: int = 0
    first_index: int = 0
    items: int = 0


class WorkFile:
    """`write` is called with the work file's bytes, in order. At most `held_bytes` and one line are held in memory.
    `on_item` sees the lane and the line of each item."""

    def __init__(
        self,
        write: Callable[[bytes], None],
        *,
        sizes: ShardSizes,
        bytes_at_most: int,
        lanes_at_most: int,
        held_bytes: int = HELD_BYTES,
        on_item: Callable[[OpenLane, bytes], None] | None = None,
    ) -> None:
        self._write = write
        self._sizes = sizes
        self._bytes_at_most = bytes_at_most
        self._lanes_at_most = lanes_at_most
        self._held_at_most = held_bytes
        self._on_item = on_item
        self._held = 0
        self._offset = 0
        self._lanes: dict[tuple[tuple[Lane, ...], str | None], OpenLane] = {}

    def lane(self, lane: Lane, *others: Lane, endpoint: str | None = None) -> OpenLane:
        """The open lane that `add` takes for items of `lane` that may also take `others`. `endpoint`: what they are
        for, if that is not what the batch is for. Raises TooManyLanes."""
        known = ((lane, *others), endpoint)
        if known not in self._lanes:
            if len(self._lanes) == self._lanes_at_most:
                raise TooManyLanes
            self._lanes[known] = OpenLane(len(self._lanes), lane, others, endpoint, self._sizes.of(0))
        return self._lanes[known]

    def add(self, lane: OpenLane, index: int, line: bytes) -> None:
        """The next item: its index, larger than any before, and its work line."""
        size = len(line)
        if self._on_item is not None:
            self._on_item(lane, line)
        if lane.lines and lane.held + size > self._bytes_at_most:
            self._close(lane)
        if not lane.lines:
            lane.first_index = index
        lane.lines.append(line)
        lane.held += size
        self._held += size
        if len(lane.lines) >= lane.items_wanted:
            self._close(lane)
        elif self._held > self._held_at_most:
            self._close(max(self._lanes.values(), key=lambda each: each.held))

    def finish(self) -> tuple[list[LaneShards], list[Shard]]:
        """Writes the shards that are still open. Returns the lanes in the order in which they first came, and all
        shards by number."""
        lanes: list[LaneShards] = []
        shards: list[Shard] = []
        for lane in self._lanes.values():
            if lane.lines:
                self._close(lane)
            lanes.append(LaneShards(lane.lane, len(shards), len(lane.closed), lane.items, others=lane.others))
            for offset, length, items, first_index in lane.closed:
                shards.append(Shard(len(shards), lane.position, offset, length, items, first_index, lane.endpoint))
        return lanes, shards

    def _close(self, lane: OpenLane) -> None:
        self._write(b"".join(lane.lines))
        lane.closed.append((self._offset, lane.held, len(lane.lines), lane.first_index))
        lane.items += len(lane.lines)
        self._offset += lane.held
        self._held -= lane.held
        lane.items_wanted = self._sizes.of(len(lane.closed))
        lane.lines = []
        lane.held = 0
