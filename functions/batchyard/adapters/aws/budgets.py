"""The row of a batch with a price limit: what its shards have cost, or may cost while they run.

A shard that is started adds what it may cost, and when it settles that becomes what it has cost. The row notes which
shards run, so that each is added once, however often it is claimed, and replaced once, however often it is reported.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from batchyard.adapters.aws.lifetimes import ttl_of
from batchyard.adapters.aws.table import Key, Table
from batchyard.core.errors import ConditionFailed
from batchyard.core.estimates import Room


class Budgets:
    def __init__(self, table: Table) -> None:
        self._table = table

    def start(self, batch_id: str, shards: Collection[int], estimate_picousd: int, limit_picousd: int) -> Room:
        """Whether `shards`, which may cost so much together, may run within the limit. Those that have been started
        may."""
        first, room = min(shards), limit_picousd - estimate_picousd
        try:
            self._table.update(
                _key(batch_id),
                add={"committed_picousd": estimate_picousd, "running": set(shards)},
                default=ttl_of(batch_id),
                condition="NOT contains(#running, :first) AND #committed_picousd <= :room"
                if room < 0
                else "NOT contains(#running, :first) AND "
                "(attribute_not_exists(#committed_picousd) OR #committed_picousd <= :room)",
                values={"first": first, "room": room},
            )
        except ConditionFailed as error:
            running = (error.row or {}).get("running", ())
            if first in running:
                return Room.FREE
            return Room.FULL if running else Room.SPENT
        return Room.FREE

    def settle(self, batch_id: str, shard: int, estimate_picousd: int, cost_picousd: int) -> None:
        """The shard has cost so much, of which its estimate was committed."""
        with suppress(ConditionFailed):
            self._table.update(
                _key(batch_id),
                add={"committed_picousd": cost_picousd - estimate_picousd},
                discard={"running": {shard}},
                condition="contains(#running, :shard)",
                values={"shard": shard},
            )


def _key(batch_id: str) -> Key:
    return Key(f"batch#{batch_id}", "budget")
