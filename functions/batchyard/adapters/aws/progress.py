"""Progress rows: what the settled shards of a running batch add up to.

A batch has up to 16 of them, so that a million items do not make one hot row. Shard n reports to row n modulo their
number. Each row notes whose figures it has, and its condition refuses a shard that has reported before.
"""

from __future__ import annotations

from dataclasses import dataclass

from batchyard.adapters.aws.lifetimes import ttl_of
from batchyard.adapters.aws.table import Key, Table
from batchyard.core.errors import ConditionFailed
from batchyard.core.json_types import Row
from batchyard.core.sharding import progress_row_of, shards_of_progress_row
from batchyard.core.usage import Tally


@dataclass(frozen=True, slots=True)
class ProgressRow:
    taken: frozenset[int]
    """The shards whose figures it holds."""
    tally: Tally


class Progress:
    def __init__(self, table: Table) -> None:
        self._table = table

    def take(self, batch_id: str, shard: int, tally: Tally, rows: int) -> ProgressRow:
        """Adds the figures of `shard` to its row, unless an earlier call has. The row afterwards."""
        try:
            row = self._table.update(
                _row_key(batch_id, shard, rows),
                add={"taken": {shard}} | {name: value for name, value in tally.to_row().items() if value},
                default=ttl_of(batch_id),
                condition="NOT contains(#taken, :shard)",
                values={"shard": shard},
            )
        except ConditionFailed as error:
            row = error.row or {}
        return _progress_row(row)

    def all_taken(self, batch_id: str, shards: int) -> bool:
        """Whether every shard of the batch has reported."""
        taken = [len(row.taken) for row in self._rows(batch_id, consistent=True)]
        return sum(taken) == shards

    def taken(self, batch_id: str, *, consistent: bool = False) -> set[int]:
        """The shards that have reported, as of a moment ago unless `consistent`."""
        return {shard for row in self._rows(batch_id, consistent=consistent) for shard in row.taken}

    def has_taken(self, batch_id: str, shard: int, rows: int) -> bool:
        """Whether the shard has reported."""
        row = self._table.get(_row_key(batch_id, shard, rows), consistent=True)
        return row is not None and shard in _progress_row(row).taken

    def row_is_full(self, row: ProgressRow, shard: int, shards: int, rows: int) -> bool:
        """Whether every shard that reports to `row`, the row of `shard`, has done so."""
        return len(row.taken) == shards_of_progress_row(progress_row_of(shard, rows), shards, rows)

    def total(self, batch_id: str) -> Tally:
        return self.all_rows(batch_id).tally

    def all_rows(self, batch_id: str) -> ProgressRow:
        """What the rows say together, as of a moment ago."""
        rows = self._rows(batch_id)
        taken = frozenset(shard for row in rows for shard in row.taken)
        return ProgressRow(taken, sum((row.tally for row in rows), Tally()))

    def _rows(self, batch_id: str, *, consistent: bool = False) -> list[ProgressRow]:
        rows = self._table.query(f"batch#{batch_id}", prefix="progress#", consistent=consistent)
        return [_progress_row(row) for row in rows]


def _row_key(batch_id: str, shard: int, rows: int) -> Key:
    return Key(f"batch#{batch_id}", f"progress#{progress_row_of(shard, rows):02d}")


def _progress_row(row: Row) -> ProgressRow:
    return ProgressRow(frozenset(row.get("taken", ())), Tally.from_row(row))
