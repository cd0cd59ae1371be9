"""Shard rows and one batch row in memory, for tests that run a step thousands of times. They pass the contract tests of
what they stand for (tests/adapters/test_stand_ins.py)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any

from batchyard.adapters.aws.stores import Stores
from batchyard.core.batches import FROM, Batch, BatchRef, Ending, Status
from batchyard.core.errors import BooksDoNotBalance, ConditionFailed
from batchyard.core.files import File
from batchyard.core.items import LineError
from batchyard.core.shards import LeaseHeld, ShardFenced, ShardRow, ShardSettled, ShardState
from batchyard.core.usage import Tally
from simulation.memory_objects import MemoryObjects


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
    unused: Any = {each.name: None for each in fields(Stores) if each.name not in doubles}
    return Stores(**doubles, **unused)
