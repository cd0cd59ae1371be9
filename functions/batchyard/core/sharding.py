"""How a batch is cut into shards, and in which order shards are sent.

Shards are numbered lane by lane. A *chain* is a run of shard numbers in which shard n is followed by n + stride: the
shard that settles sends its follower, so exactly `stride` shards of a chain are in flight. Without a concurrency
hint each lane is a chain of its own (a slow provider holds back nobody else); with one the whole batch is one chain.
A hint is spread over many shards, because each leaves calls unused while its last ones run.

Shards of a native lane are in no chain and never sent to a worker: each entry of such a lane is one provider job. When
a lane will not do what it was planned for, what is left of it is *moved*: a new plan gives those shards another lane.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from batchyard.core.errors import BooksDoNotBalance
from batchyard.core.fields import known_fields
from batchyard.core.json_types import Row
from batchyard.core.lanes import Lane, Mode

MANIFEST_RECORD_BYTES = 128
"""Every manifest record has this length, newline included, so that record n is one ranged read."""

_FIRST_SHARD_ITEMS = 32
_SHARDS_PER_SIZE = 8
_ROUNDS_PER_SIZE = 4
"""With a hint: a shard has at most as many items as a quarter of what its place in the chain has run before, so that
the last ones, which leave most of a hint unused, take a fraction of the batch's time."""
_CALLS_PER_SHARD = 32
_SHARDS_OF_A_LARGE_HINT = 16
"""A hint is spread over shards with so many calls each. A large hint is spread over so many shards, because a worker
runs only ten at a time."""
_PROGRESS_ROWS_AT_MOST = 16
_SHARDS_PER_PROGRESS_ROW = 8


@dataclass(frozen=True, slots=True)
class Shard:
    """A run of items of one route: `length` bytes from `offset` of the batch's work file. `lane`: the position, among
    the lanes that validation found, of the one that its items were routed to; the plan may have moved it since."""

    number: int
    lane: int
    offset: int
    length: int
    items: int
    first_index: int
    endpoint: str | None = None
    """What its items are for, if that is not what the batch is for."""


@dataclass(frozen=True, slots=True)
class Left:
    """The lane that shards were taken away from while it could have run them later, and why: `trouble`, `too_late`.
    `at`: when; 0 if an older version wrote it."""

    lane: Lane
    reason: str
    at: int = 0


@dataclass(frozen=True, slots=True)
class LaneShards:
    """A lane of a batch and a run of shard numbers that belongs to it. If the lane is native, they are one provider
    job, which has the number of the first one.

    `escalate_at`: the unix second at which a provider job that has not ended is given up, or from which on shards that
    wait in flex are run in realtime; 0 in realtime. `others`: the lanes that its shards may be moved to, the best one
    first, in flex only if it is a provider job; no lane that the batch's rules forbid is ever among them. `left`:
    the lane that they failed over from."""

    lane: Lane
    first_shard: int
    shards: int
    items: int
    escalate_at: int = 0
    others: tuple[Lane, ...] = ()
    left: Left | None = None

    @property
    def numbers(self) -> range:
        return range(self.first_shard, self.first_shard + self.shards)

    @property
    def is_native(self) -> bool:
        return self.lane.mode is Mode.NATIVE

    def to_row(self) -> list[Any]:
        row: list[Any] = [*_lane_row(self.lane), self.first_shard, self.shards, self.items]
        if self.escalate_at or self.others or self.left:
            row += [self.escalate_at, [_lane_row(lane) for lane in self.others]]
        if self.left:
            row.append([*_lane_row(self.left.lane), self.left.reason, self.left.at])
        return row

    @classmethod
    def from_row(cls, row: Sequence[Any]) -> LaneShards:
        """What a newer version wrote behind these fields is left alone."""
        provider, model, mode, first_shard, shards, items, *rest = row
        escalate_at, others = rest[:2] if len(rest) >= 2 else (0, ())
        left = Left(_lane(*rest[2][:3]), *rest[2][3:5]) if len(rest) >= 3 and rest[2] else None
        lane = Lane(provider, model, Mode(mode))
        return cls(lane, first_shard, shards, items, escalate_at, tuple(_lane(*other[:3]) for other in others), left)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that Dispatch, workers and Finalize need to know about a validated batch."""

    run: str
    """The token of the validation that won. The object keys of work file and manifest contain it."""
    items: int
    """All of them, copies too."""
    shards: int
    lanes: tuple[LaneShards, ...]
    """By shard number, without gaps. A lane may have several entries."""
    stride: int
    """Shards in flight per chain."""
    one_chain: bool
    shard_concurrency: int | None
    """Ceiling on calls in flight within one shard; None leaves it to the lane's pacer."""
    copies: int = 0
    """Items that are in no shard, because they have the results of others (`core.copies`)."""

    @property
    def progress_rows(self) -> int:
        return progress_rows(self.shards)

    @property
    def jobs(self) -> tuple[LaneShards, ...]:
        """The entries that are provider jobs."""
        return tuple(entry for entry in self.lanes if entry.is_native)

    def job(self, number: int) -> LaneShards | None:
        """The entry of the provider job `number`; None if its shards were moved to another lane."""
        return next((entry for entry in self.jobs if entry.first_shard == number), None)

    def follower(self, number: int, settled: Collection[int] = ()) -> int | None:
        """The shard that is sent when shard `number` settles: the next one that is not `settled`. (Only shards that
        were moved can have settled before their turn.)"""
        followers = self.chain_of(number)
        later = followers[followers.index(number) :: self.stride][1:]
        return next((each for each in later if each not in settled), None)

    def chain_of(self, number: int) -> Sequence[int]:
        """The shard numbers whose chain shard `number` belongs to. A shard of a provider job is a chain of its own."""
        entry = self.lane_of(number)
        if entry.is_native:
            return (number,)
        return self._only_chain() if self.one_chain else entry.numbers

    def lane_of(self, number: int) -> LaneShards:
        for lane in self.lanes:
            if number in lane.numbers:
                return lane
        raise BooksDoNotBalance(f"shard {number} belongs to no lane of this batch")

    def items_of(self, numbers: range) -> int:
        """Of the entries whose shards are all among `numbers`."""
        return sum(entry.items for entry in self.lanes if entry.first_shard in numbers and entry.numbers[-1] in numbers)

    def due(self, settled: Collection[int]) -> list[int]:
        """The shards that should be in flight, given those settled: of all that follow each other, the first one that
        is not settled."""
        chains: list[Sequence[int]]
        if self.one_chain:
            chains = [self._only_chain()]
        else:
            chains = [entry.numbers for entry in self.lanes if not entry.is_native]
        due = []
        for chain in chains:
            for place in range(min(self.stride, len(chain))):
                first = next((number for number in chain[place :: self.stride] if number not in settled), None)
                if first is not None:
                    due.append(first)
        return sorted(due)

    def moved(
        self,
        numbers: range,
        lane: Lane,
        manifest: Sequence[Shard],
        why: str | None = None,
        now: int = 0,
        flex_until: int = 0,
    ) -> Plan:
        """The plan in which the shards `numbers`, which belong to one entry, have `lane`. The manifest says how many
        items they have. A provider job is moved as a whole, because it is known by its first shard. `why`: if the old
        lane may be well again one day: it becomes the last one that they may be moved to. `flex_until`: from when on
        they run in realtime, if the lane is in flex. Nothing is moved to flex but what a provider job leaves."""
        old = self.lane_of(numbers[0])
        outside = numbers[-1] not in old.numbers
        if outside or (old.is_native and numbers != old.numbers) or lane.mode is Mode.NATIVE:
            raise BooksDoNotBalance(f"shards {numbers} of {old.lane} cannot be moved to {lane}")
        others = tuple(other for other in old.others if other != lane and other.mode is not Mode.FLEX)
        back = Lane(old.lane.provider, old.lane.model)
        if why is not None and back not in (*others, lane):
            others += (back,)
        cut: list[LaneShards] = []
        for run in (range(old.first_shard, numbers[0]), numbers, range(numbers[-1] + 1, old.numbers.stop)):
            if run:
                items = sum(shard.items for shard in manifest[run.start : run.stop])
                if run == numbers:
                    left = Left(old.lane, why, now) if why is not None else None
                    cut.append(LaneShards(lane, run.start, len(run), items, flex_until, others, left))
                else:
                    cut.append(replace(old, first_shard=run.start, shards=len(run), items=items))
        place = self.lanes.index(old)
        return replace(self, lanes=(*self.lanes[:place], *cut, *self.lanes[place + 1 :]))

    def _only_chain(self) -> Sequence[int]:
        return [number for entry in self.lanes if not entry.is_native for number in entry.numbers]

    def to_row(self) -> Row:
        return {
            "run": self.run,
            "items": self.items,
            "shards": self.shards,
            "stride": self.stride,
            "one_chain": self.one_chain,
            "shard_concurrency": self.shard_concurrency,
            "copies": self.copies,
            "lanes": [entry.to_row() for entry in self.lanes],
        }

    @classmethod
    def from_row(cls, row: Row) -> Plan:
        return cls(**known_fields(cls, row) | {"lanes": tuple(map(LaneShards.from_row, row["lanes"]))})


def routes(shards: Sequence[Shard]) -> list[list[Shard]]:
    """The shards of each route, whose items stand in them in the order of the input."""
    found: dict[int, list[Shard]] = {}
    for shard in shards:
        found.setdefault(shard.lane, []).append(shard)
    return list(found.values())


def _lane_row(lane: Lane) -> list[str]:
    return [lane.provider, lane.model, str(lane.mode)]


def _lane(provider: str, model: str, mode: str) -> Lane:
    return Lane(provider, model, Mode(mode))


@dataclass(frozen=True, slots=True)
class ShardSizes:
    """How many items a lane's shards take: small ones first, so that small batches spread and large ones stay cheap. 8
    shards of 32, 8 of 64, and so on up to `items_at_most`."""

    items_at_most: int
    first_items: int = _FIRST_SHARD_ITEMS
    shards_per_size: int = _SHARDS_PER_SIZE

    def of(self, number: int) -> int:
        """Of the lane's `number`-th shard."""
        return min(self.items_at_most, self.first_items << min(number // self.shards_per_size, 16))


def shard_sizes(hint: int | None, items_at_most: int, default_stride: int) -> ShardSizes:
    """With a hint a shard takes a whole number of rounds of its calls, and several times as many shards have each size
    as are in flight: else a part of the hint would go unused."""
    stride, calls = split_concurrency(hint, items_at_most, default_stride)
    if calls is None:
        return ShardSizes(items_at_most)
    first_items = calls * max(1, _FIRST_SHARD_ITEMS // calls)
    return ShardSizes(items_at_most // calls * calls, first_items, _ROUNDS_PER_SIZE * stride)


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
    numbers = (shard.number, shard.lane, shard.offset, shard.length, shard.items, shard.first_index)
    fields = [*numbers, shard.endpoint]
    return orjson.dumps(fields).ljust(MANIFEST_RECORD_BYTES - 1) + b"\n"


def read_manifest(data: bytes) -> list[Shard]:
    """The shards of some whole manifest records."""
    return [Shard(*orjson.loads(line)[:7]) for line in data.splitlines()]
