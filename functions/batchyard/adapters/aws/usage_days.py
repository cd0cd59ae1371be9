"""Rows of what an account's batches came to on each day (UTC), by model: counted in the transaction that ends a batch,
so that each counts exactly once.

Batches of one account that end together meet on these rows, so each day and model has a few of them, and a batch counts
into the one that its id falls on.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from zlib import crc32

from batchyard.adapters.aws.table import Key, Table, Update
from batchyard.core.batches import Batch
from batchyard.core.usage import Tally
from batchyard.core.usage_days import DayUsage

_ROWS_PER_DAY = 4
_KEPT_SECONDS = 400 * 86_400
_PREFIX = "usage#"


class UsageDays:
    def __init__(self, table: Table) -> None:
        self._table = table

    def since(self, account_id: str, day: str) -> Iterator[DayUsage]:
        """What was counted from `day` (such as 2026-11-22) on, oldest day first; a day and model may come several
        times."""
        for row in self._table.query(f"account#{account_id}", prefix=_PREFIX, after=f"{_PREFIX}{day}"):
            _, found, model, _ = _parts(row["sk"])
            yield DayUsage(found, model or None, row.get("batches", 0), Tally.from_row(row))


def counted(batch: Batch, tally: Tally, now: int) -> Update:
    """The write that counts a batch which ends now, with all that it came to."""
    day = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d}"
    number = crc32(batch.id.encode()) % _ROWS_PER_DAY
    return Update(
        Key(f"account#{batch.account_id}", f"{_PREFIX}{day}#{number}#{batch.model or ''}"),
        add={"batches": 1} | {name: count for name, count in tally.to_row().items() if count},
        default={"ttl": now + _KEPT_SECONDS},
    )


def _parts(sort_key: str) -> tuple[str, str, str, str]:
    """A model's name stands last, because it may have any character."""
    prefix, day, number, model = sort_key.split("#", 3)
    return prefix, day, model, number
