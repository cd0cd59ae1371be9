"""Objects, shard rows and one batch row in memory, for tests that run a step thousands of times. They pass the contract
tests of what they stand for (tests/adapters/test_stand_ins.py)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self, cast

from batchyard.adapters.aws.objects import ObjectChanged, ObjectInfo, ObjectMissing, Objects, Span
from batchyard.adapters.aws.stores import Stores
from batchyard.core.batches import FROM, Batch, BatchRef, Ending, Status
from batchyard.core.errors import BooksDoNotBalance, ConditionFailed
from batchyard.core.files import File
from batchyard.core.items import LineError
from batchyard.core.shards import LeaseHeld, ShardFenced, ShardRow, ShardSettled, ShardState
from batchyard.core.usage import Tally


@dataclass
class MemoryObjects:
    """Stands for `Objects`."""

    stored: dict[str, bytes] = field(default_factory=dict)
    bucket: str = "memory"

    def put(self, key: str, data: bytes, content_type: str | None = None) -> None:
        self.stored[key] = data

    def get(
        self, key: str, start: int | None = None, length: int | None = None, *, version_id: str | None = None
    ) -> bytes:
        assert version_id is None, "no versions are kept"
        if length == 0:
            return b""
        if key not in self.stored:
            raise ObjectMissing(key)
        first = start or 0
        return self.stored[key][first : None if length is None else first + length]

    def get_many(self, spans: Iterable[Span], *, at_most: int, held_bytes: int) -> Iterator[bytes]:
        for span in spans:
            yield self.get(*span)

    def stream(self, key: str, chunk_bytes: int = 1000) -> Iterator[bytes]:
        data = self.get(key)
        for start in range(0, len(data), chunk_bytes):
            if self.stored.get(key) is not data:
                raise ObjectMissing(key) if key not in self.stored else ObjectChanged(key)
            yield data[start : start + chunk_bytes]

    def head(self, key: str, *, version_id: str | None = None) -> ObjectInfo | None:
        assert version_id is None, "no versions are kept"
        if key not in self.stored:
            return None
        data = self.stored[key]
        return ObjectInfo(len(data), f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"')

    def writer(self, key: str, content_type: str | None = None) -> MemoryWriter:
        return MemoryWriter(self, key)

    def delete(self, key: str) -> None:
        self.stored.pop(key, None)

    def delete_many(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.delete(key)


class MemoryWriter:
    """Stands for `ObjectWriter`."""

    def __init__(self, objects: MemoryObjects, key: str) -> None:
        self._objects, self._key, self._data = objects, key, bytearray()

    @property
    def bytes_written(self) -> int:
        return len(self._data)

    def __enter__(self) -> Self:
        return self

    def write(self, data: bytes) -> None:
        self._data += data

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._objects.put(self._key, bytes(self._data))


def memory_objects() -> Objects:
    """An empty bucket, typed as what it stands for."""
    return cast("Objects", MemoryObjects())


@dataclass
class MemoryShards:
    """Stands for `Shards`, as far as Finalize and Results use it."""

    by_number: dict[int, ShardRow] = field(default_factory=dict)

    def get(self, batch_id: str, number: int) -> ShardRow | None:
        return self.by_number.get(number)

    def rows(self, batch_id: str, first: int = 0, last: int | None = None) -> Iterator[ShardRow]:
        wanted = [number for number in sorted(self.by_number) if number >= first and (last is None or number <= last)]
        yield from [self.by_number[number] for number in wanted]

    def seal(self, batch_id: str, number: int, ending: Ending, *, lease_before: int | None = None) -> ShardRow:
        row = self.by_number.get(number, ShardRow(number))
        if row.state is ShardState.SETTLED:
            raise ShardSettled(row)
        if row.state is ShardState.SEALED:
            raise ShardFenced(row)
        if lease_before is not None and row.lease_until >= lease_before:
            raise ShardFenced(row) if row.fence else LeaseHeld(row)
        self.by_number[number] = replace(row, state=ShardState.SEALED, version=row.version + 1, fence=ending)
        return self.by_number[number]


@dataclass
class OneBatch:
    """Stands for `Batches` of a table with one batch in it."""

    batch: Batch
    files: tuple[File | None, File | None] = (None, None)

    def get(self, ref: BatchRef, *, consistent: bool = False) -> Batch | None:
        return self.batch if ref == BatchRef(self.batch.account_id, self.batch.id) else None

    def current(self, ref: BatchRef) -> Batch:
        if (batch := self.get(ref)) is None:
            raise BooksDoNotBalance(f"{ref.batch_id} is not a batch of {ref.account_id}")
        return batch

    def enter(self, batch: Batch, status: Status, now: int, **fields: Any) -> Batch:
        return self._enter(FROM[status], status, now, fields)

    def finish(
        self,
        batch: Batch,
        status: Status,
        now: int,
        *,
        tally: Tally | None = None,
        files: tuple[File | None, File | None] = (None, None),
        errors: tuple[LineError, ...] = (),
    ) -> Batch:
        if batch.status not in FROM[status]:
            raise ConditionFailed(f"{batch.status} -> {status}")
        output, error = files
        fields: dict[str, Any] = {
            "output_file_id": output.id if output else None,
            "error_file_id": error.id if error else None,
            "tally": tally or Tally(),
            "task_token": None,
        }
        finished = self._enter((batch.status,), status, now, fields | ({"errors": errors} if errors else {}))
        self.files = files
        return finished

    def _enter(self, sources: tuple[Status, ...], status: Status, now: int, fields: dict[str, Any]) -> Batch:
        may_end_well = not self.batch.errors or status not in (Status.COMPLETED, Status.EXPIRED)
        if self.batch.status not in sources or not may_end_well:
            raise ConditionFailed(f"{self.batch.status} -> {status}")
        times = self.batch.status_times | {str(status): now}
        self.batch = replace(self.batch, status=status, status_times=times, **fields)
        return self.batch


def memory_stores(batches: OneBatch, shards: MemoryShards, objects: MemoryObjects) -> Stores:
    """Stores of one batch, for steps that use no others."""
    doubles: Any = {"batches": batches, "shards": shards, "objects": objects}
    unused: Any = dict.fromkeys(("accounts", "files", "uploads", "progress", "jobs", "native_lanes", "repeats", "leftovers"))
    return Stores(**doubles, **unused)
