"""Roster rows: which batches have shards to run at a provider (`core.roster`), a small row for each of their lanes."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from batchyard.adapters.aws.table import Key, Table
from batchyard.core.errors import ConditionFailed
from batchyard.core.messages import ShardMessage
from batchyard.core.roster import Listed

_LISTED_AT_MOST = 500
"""The newest ones: what else waits has its messages."""


class Rosters:
    """Times are unix seconds."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def enter(self, messages: Iterable[ShardMessage], now: int) -> None:
        """The batches of `messages` have shards to run in their lanes. Not those with a price limit: nobody draws their
        shards, each of which has to ask first whether there is money left for it."""
        drawable = (each for each in messages if each.max_price_picousd is None)
        for key, message in {_row_key(each): each for each in drawable}.items():
            row = {"message": message.to_json(), "listed_at": now, "ttl": message.expires_at}
            self._table.update(key, set=row, remove=["taken_up_at"])

    def of(self, provider: str) -> list[Listed]:
        """Who is on the roster, as of a moment ago."""
        rows = self._table.query(f"roster#{provider}", limit=_LISTED_AT_MOST, descending=True)
        return [
            Listed(ShardMessage.from_json(row["message"]), row["listed_at"], row.get("taken_up_at", 0)) for row in rows
        ]

    def take_up(self, message: ShardMessage, now: int) -> None:
        """A worker has taken up that batch in that lane. Nothing changes if it is not on the roster."""
        with suppress(ConditionFailed):
            self._table.update(_row_key(message), set={"taken_up_at": now}, condition="attribute_exists(#message)")

    def strike(self, message: ShardMessage) -> None:
        """That batch has nothing left to run in that lane."""
        self._table.delete(_row_key(message))


def _row_key(message: ShardMessage) -> Key:
    return Key(f"roster#{message.provider}", f"{message.batch_id}#{message.mode}#{message.model}")
