"""Open rows: the batches that are not terminal, in one list, oldest first. Sweep reads it, and so do operators. A row
is written in the transaction that makes its batch, and deleted in the one that ends it."""

from __future__ import annotations

from typing import NamedTuple

from batchyard.adapters.aws.table import Delete, Key, Put, Table
from batchyard.core.batches import Batch, BatchRef

_OPEN = "open"
_OLDEST_AT_MOST = 500
"""Deadlines follow each other nearly in the order of creation: only the tier flex has longer."""


class OpenBatch(NamedTuple):
    """`created_at`: unix second."""

    ref: BatchRef
    created_at: int


class OpenBatches:
    def __init__(self, table: Table) -> None:
        self._table = table

    def oldest(self, at_most: int | None = None) -> list[OpenBatch]:
        """Every batch that is not terminal, or `at_most` of them, oldest first."""
        rows = self._table.query(_OPEN, limit=at_most)
        return [OpenBatch(BatchRef(row["account_id"], row["sk"]), row["created_at"]) for row in rows]

    def next_deadline(self, window_seconds: int) -> int | None:
        """The first deadline of the oldest batches that are not terminal; None if there are none. `window_seconds`: of
        a batch whose row an older version wrote."""
        rows = self._table.query(_OPEN, limit=_OLDEST_AT_MOST)
        return min((int(row.get("expires_at", row["created_at"] + window_seconds)) for row in rows), default=None)

    def forget(self, batch_id: str) -> None:
        """Drop the open row of a batch that is terminal or gone."""
        self._table.delete(Key(_OPEN, batch_id))


def opening_of(batch: Batch) -> Put:
    row = {"account_id": batch.account_id, "created_at": batch.created_at, "expires_at": batch.expires_at}
    return Put(Key(_OPEN, batch.id), row)


def closing_of(batch_id: str) -> Delete:
    return Delete(Key(_OPEN, batch_id))
