"""Objects, shard rows and one batch row in memory, for tests that run a step thousands of times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Self

from batchyard.adapters.aws.objects import ObjectInfo, ObjectMissing, Span
from batchyard.adapters.aws.stores import Stores
from batchyard.core.batches import FROM, Batch, BatchRef, Ending, Status
from batchyard.core.errors import ConditionFailed
from batchyard.core.files import File
from batchyard.core.shards import ShardFenced, ShardRow, ShardState


@dataclass
class MemoryObjects:
    """Stands for `Objects`."""

    stored: dict[str, bytes] = field(default_factory=dict)
    bucket: str = "memory"

    def put(self, key: str, data: bytes, content_type: str | None = None) -> None:
        self.stored[key] = data

    def get(self, key: str, start: int | None = None, length: int | None = None) -> bytes:
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
            yield data[start : start + chunk_bytes]

    def head(self, key: str) -> ObjectInfo | None:
        return ObjectInfo(len(self.stored[key]), '"memory"') if key in self.stored else None

    def writer(self, key: str, content_type: str | None = None) -> MemoryWriter:
        return MemoryWriter(self, key)

    def delete_many(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.stored.pop(key, None)


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


@dataclass
class MemoryShards:
    """Stands for `Shards`, as far as Finalize and Results use it."""

    by_number: dict[int, ShardRow] = field(default_factory=dict)

    def rows(self, batch_id: str, first: int = 0, last: int | None = None) -> Iterator[ShardRow]:
        wanted = [number for number in sorted(self.by_number) if number >= first and (last is None or number <= last)]
        yield from [self.by_number[number] for number in wanted]

    def seal(self, batch_id: str, number: int, ending: Ending) -> ShardRow:
        row = self.by_number.get(number, ShardRow(number))
        if row.state is not ShardState.OPEN:
            raise ShardFenced(row)
        self.by_number[number] = replace(row, state=ShardState.SEALED, version=row.version + 1, fence=ending)
        return self.by_number[number]


@dataclass
class OneBatch:
    """Stands for `Batches` of a table with one batch in it."""

    batch: Batch
    files: tuple[File | None, File | None] = (None, None)

    def get(self, ref: BatchRef, *, consistent: bool = False) -> Batch:
        return self.batch

    def current(self, ref: BatchRef) -> Batch:
        return self.batch

    def enter(self, batch: Batch, status: Status, now: int, **fields: Any) -> Batch:
        if self.batch.status not in FROM[status]:
            raise ConditionFailed(f"{self.batch.status} -> {status}")
        self.batch = replace(self.batch, status=status, **fields)
        return self.batch

    def finish(
        self,
        batch: Batch,
        status: Status,
        now: int,
        *,
        tally: Any = None,
        files: tuple[File | None, File | None] = (None, None),
        errors: Any = (),
    ) -> Batch:
        output, error = files
        ids = {"output_file_id": output.id if output else None, "error_file_id": error.id if error else None}
        self.files = files
        return self.enter(batch, status, now, tally=tally, errors=errors, **ids)


def memory_stores(batches: OneBatch, shards: MemoryShards, objects: MemoryObjects) -> Stores:
    """Stores of one batch, for steps that use no others."""
    doubles: Any = {"batches": batches, "shards": shards, "objects": objects}
    unused: Any = dict.fromkeys(("accounts", "files", "uploads", "progress"))
    return Stores(**doubles, **unused)
