"""Counter rows: how often something happened in a window of time."""

from __future__ import annotations

from batchyard.adapters.aws.table import Key, Table
from batchyard.core.errors import ConditionFailed


class Windows:
    def __init__(self, table: Table) -> None:
        self._table = table

    def count(self, what: str, start: int, *, limit: int, ttl: int) -> int | None:
        """Counts one more of `what` in the window that starts at the unix second `start`. The count, or None if it was
        `limit` already. `ttl`: unix second after which the row may be forgotten."""
        try:
            row = self._table.update(
                Key(f"window#{what}", f"{start:012d}"),
                add={"count": 1},
                default={"ttl": ttl},
                condition="attribute_not_exists(#count) OR #count < :limit",
                values={"limit": limit},
            )
        except ConditionFailed:
            return None
        return int(row["count"])
