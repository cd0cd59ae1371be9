"""How a batch is cut into shards, and in which order shards are sent.

Shards are numbered lane by lane. A *chain* is a run of shard numbers in which shard n is followed by n + stride: the
shard that settles sends its follower, so exactly `stride` shards of a chain are in flight. Without a concurrency
hint each lane is a chain of its own (a slow provider holds back nobody else); with one the whole batch is one chain.
A hint is spread over many shards, because each leaves calls unused while its last ones run.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from batchyard.core.errors import BooksDoNotBalance
from batchyard.core.fields import known_fields
from batchyard.core.json_types import Row
from batchyard.core.lanes import Lane, Mode

MANIFEST_RECORD_BYTES = 128
"""Every manifest record has this length, newline included, so that record n is one ranged read."""

SHARDS_PER_SIZE = 8

_FIRST_SHARD_ITEMS = 32
_CALLS_PER_SHARD = 32
_SHARDS_OF_A_LARGE_HINT = 16
"""A hint is spread over shards with so many calls each: a full shard then has eight rounds of them, of which only the
last is not full. A large hint is spread over so many shards, because a worker runs only ten at a time."""
_PROGRESS_ROWS_AT_MOST = 16
_SHARDS_PER_PROGRESS_ROW = 8


@dataclass(frozen=True, slots=True)
class Shard:
    """A run of items of one lane: `length` bytes from `offset` of the batch's work file."""

    number: int
    lane: int
    offset: int
    length: int
    items: int
    first_index: int


@dataclass(frozen=True, slots=True)
class LaneShards:
    """A lane of a batch and the run of shard numbers that belongs to it."""

    lane: Lane
    first_shard: int
    shards: int
    items: int

    @property
    def numbers(self) -> range:
        return range(self.first_shard, self.first_shard + self.shards)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that Dispatch, workers and Finalize need to know about a validated batch."""

    run: str
    """The token of the validation that won. The object keys of work file and manifest contain it."""
    items: int
    shards: int
    lanes: tuple[LaneShards, ...]
    stride: int
    """Shards in flight per chain."""
    one_chain: bool
    shard_concurrency: int | None
    """Ceiling on calls in flight within one shard; None leaves it to the lane's pacer."""

    @property
    def progress_rows(self) -> int:
        return progress_rows(self.shards)

    def follower(self, number: int) -> int | None:
        """The shard that is sent when shard `number` settles."""
        return number + self.stride if number + self.stride in self.chain_of(number) else None

    def chain_of(self, number: int) -> range:
        """The run of shard numbers whose chain shard `number` belongs to."""
        if self.one_chain:
            return range(self.shards)
        return self.lane_of(number).numbers

    def lane_of(self, number: int) -> LaneShards:
        for lane in self.lanes:
            if number in lane.numbers:
                return lane
        raise BooksDoNotBalance(f"shard {number} belongs to no lane of this batch")

    def due(self, settled: set[int]) -> list[int]:
        """The shards that should be in flight, given those settled: each not settled, its predecessor settled."""
        return [
            number
            for number in range(self.shards)
            if number not in settled
            and (number - self.stride not in self.chain_of(number) or number - self.stride in settled)
        ]

    def to_row(self) -> Row:
        return {
            "run": self.run,
            "items": self.items,
            "shards": self.shards,
            "stride": self.stride,
            "one_chain": self.one_chain,
            "shard_concurrency": self.shard_concurrency,
            "lanes": [
                [s.lane.provider, s.lane.model, str(s.lane.mode), s.first_shard, s.shards, s.items] for s in self.lanes
            ],
        }

    @classmethod
    def from_row(cls, row: Row) -> Plan:
        lanes = tuple(
            LaneShards(Lane(provider, model, Mode(mode)), first_shard, shards, items)
            for provider, model, mode, first_shard, shards, items, *_ in row["lanes"]
        )
        return cls(**known_fields(cls, row) | {"lanes": lanes})


def shard_items(number: int, items_at_most: int, shards_per_size: int = SHARDS_PER_SIZE) -> int:
    """How many items the lane's `number`-th shard takes: small ones first, so that small batches spread and large
    ones stay cheap. 8 shards of 32, 8 of 64, and so on up to `items_at_most`. With a hint as many of each size as are
    in flight: fewer would leave a part of it unused."""
    return min(items_at_most, _FIRST_SHARD_ITEMS << min(number // shards_per_size, 16))


def split_concurrency(hint: int | None, items_at_most: int, default_stride: int) -> tuple[int, int | None]:
    """(shards in flight, calls in flight per shard) whose product never exceeds `hint`."""
    if hint is None:
        return default_stride, None
    calls_per_shard = min(items_at_most, max(_CALLS_PER_SHARD, hint // _SHARDS_OF_A_LARGE_HINT))
    stride = -(-hint // calls_per_shard)
    return stride, hint // stride


def progress_rows(shards: int) -> int:
    """How many progress rows a batch spreads its settlements over."""
    return max(1, min(_PROGRESS_ROWS_AT_MOST, shards // _SHARDS_PER_PROGRESS_ROW))


def progress_row_of(number: int, rows: int) -> int:
    return number % rows


def shards_of_progress_row(row: int, shards: int, rows: int) -> int:
    """How many of the batch's shards report to progress row `row`."""
    return len(range(row, shards, rows))


def manifest_record(shard: Shard) -> bytes:
    fields = [shard.number, shard.lane, shard.offset, shard.length, shard.items, shard.first_index]
    return orjson.dumps(fields).ljust(MANIFEST_RECORD_BYTES - 1) + b"\n"


def read_manifest(data: bytes) -> list[Shard]:
    """The shards of some whole manifest records."""
    return [Shard(*orjson.loads(line)[:6]) for line in data.splitlines()]
