"""Shard rows: each method is one conditional write of the life that `core.shards` draws."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from batchyard.adapters.aws.lifetimes import ttl_of
from batchyard.adapters.aws.table import Key, Table
from batchyard.core.batches import Ending
from batchyard.core.errors import ConditionFailed, LeaseLost
from batchyard.core.json_types import Row
from batchyard.core.shards import LeaseHeld, ShardFenced, ShardRow, ShardSettled, ShardState
from batchyard.core.usage import Tally

_OWNED = "#owner = :holder AND #version = :claimed AND #state = :still_open"


class Shards:
    """Times are unix seconds."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def claim(self, batch_id: str, number: int, owner: str, now: int, lease_until: int) -> ShardRow:
        """Take the shard to work on it. Raises ShardSettled, ShardFenced or LeaseHeld."""
        try:
            row = self._table.update(
                _key(batch_id, number),
                set={"number": number, "state": "open", "owner": owner, "lease_until": lease_until},
                add={"version": 1, "attempts": 1},
                default=ttl_of(batch_id),
                condition="attribute_not_exists(pk) OR "
                "(#state = :open AND #lease_until < :now AND attribute_not_exists(#fence))",
                values={"open": "open", "now": now},
            )
        except ConditionFailed as error:
            raise _refusal(number, error) from error
        return ShardRow.from_row(row)

    def get(self, batch_id: str, number: int) -> ShardRow | None:
        """The shard's row; None before it was ever claimed or fenced."""
        row = self._table.get(_key(batch_id, number), consistent=True)
        return ShardRow.from_row(row) if row else None

    def flush(
        self,
        batch_id: str,
        claim: ShardRow,
        *,
        part_key: str,
        done: bytes,
        tally: Tally,
        lease_until: int,
        settled: bool,
        now: int = 0,
        first_call_at: int = 0,
    ) -> ShardRow:
        """Make a part real: name it, with what is done and added up so far. Raises LeaseLost. A part that the row names
        already is not added again: the SDK repeats a write whose reply was lost. `first_call_at`: of this owner; the
        row keeps the first one of all."""
        return self._owned(
            batch_id,
            claim,
            part_key=part_key,
            set={
                "done": done,
                "lease_until": lease_until,
                "attempts": 0,
                "state": str(ShardState.SETTLED if settled else ShardState.OPEN),
                **tally.to_row(),
                **({"settled_at": now} if settled and now else {}),
            },
            append={"parts": [part_key]},
            default={"first_call_at": first_call_at} if first_call_at else {},
            remove=["begun", "suspect", "suspicions"],
        )

    def begin(self, batch_id: str, claim: ShardRow, lease_until: int) -> ShardRow:
        """Say that items are about to run, and keep the lease. Raises LeaseLost. A repeated write changes nothing."""
        return self._owned(batch_id, claim, set={"lease_until": lease_until, "begun": claim.begun + 1})

    def heartbeat(
        self, batch_id: str, claim: ShardRow, lease_until: int, suspect: int | None = None, suspicions: int = 0
    ) -> ShardRow:
        """Keep the lease; `suspect` is the position that is run next, `suspicions` counts this owner too. Raises
        LeaseLost."""
        changes: Row = {"lease_until": lease_until}
        if suspect is not None:
            changes |= {"suspect": suspect, "suspicions": suspicions}
        return self._owned(batch_id, claim, set=changes)

    def release(self, batch_id: str, claim: ShardRow) -> None:
        """Give the shard back for anyone to claim. Handing back is no failed attempt. Raises LeaseLost."""
        changes = {"lease_until": 0, "attempts": 0, "handed_back": claim.handed_back + 1}
        self._owned(batch_id, claim, set=changes, remove=["begun", "suspect", "suspicions"])

    def leave(self, batch_id: str, claim: ShardRow) -> None:
        """Give the shard back for whoever its lane sends: nobody has a message for it (see `ShardRow.is_left`). Raises
        LeaseLost."""
        changes = {"lease_until": 0, "attempts": 0, "owner": None, "handed_back": claim.handed_back + 1}
        self._owned(batch_id, claim, set=changes, remove=["begun"])

    def forget_lease(self, batch_id: str, row: ShardRow) -> bool:
        """Take away the lease that an owner let end, when the shard was sent again: its row reads like one that was
        handed back. Attempts and suspicions stay. False if the owner or another one was there since `row` was read."""
        try:
            self._table.update(
                _key(batch_id, row.number),
                set={"lease_until": 0},
                condition="#version = :seen AND #lease_until = :ended",
                values={"seen": row.version, "ended": row.lease_until},
            )
        except ConditionFailed:
            return False
        return True

    def fence(self, batch_id: str, number: int, ending: Ending) -> ShardRow:
        """Let nobody claim the shard any more and ask its owner to stop. Raises ShardSettled (or sealed)."""
        return self._unsettled(batch_id, number, set={"fence": str(ending)}, default={"lease_until": 0})

    def seal(self, batch_id: str, number: int, ending: Ending, *, lease_before: int | None = None) -> ShardRow:
        """Shut the owner out for good. With `lease_before`: raises LeaseHeld if the lease lasts until then."""
        idle = "" if lease_before is None else " AND (attribute_not_exists(#lease_until) OR #lease_until < :before)"
        return self._unsettled(
            batch_id,
            number,
            set={"fence": str(ending), "state": str(ShardState.SEALED)},
            add={"version": 1},
            condition=idle,
            values={} if lease_before is None else {"before": lease_before},
        )

    def is_any_begun(self, batch_id: str, numbers: range) -> bool:
        """Whether a shard with one of these numbers was ever claimed, fenced or sealed."""
        after = f"shard#{numbers.start - 1:06d}" if numbers.start else None
        rows = self._table.query(f"batch#{batch_id}", prefix="shard#", after=after, limit=1)
        return any(row["number"] in numbers for row in rows)

    def rows(self, batch_id: str, first: int = 0, last: int | None = None) -> Iterator[ShardRow]:
        """The row of every shard that was ever claimed, fenced or sealed, by number; with `first` and `last` only those
        between."""
        for row in self._table.query(
            f"batch#{batch_id}",
            prefix="shard#",
            after=f"shard#{first - 1:06d}" if first else None,
            limit=None if last is None else last - first + 1,
            consistent=True,
        ):
            if last is not None and row["number"] > last:
                return
            yield ShardRow.from_row(row)

    def _owned(self, batch_id: str, claim: ShardRow, part_key: str | None = None, **changes: Any) -> ShardRow:
        values: Row = {"holder": claim.owner, "claimed": claim.version, "still_open": "open"}
        try:
            row = self._table.update(
                _key(batch_id, claim.number),
                condition=_OWNED + ("" if part_key is None else " AND NOT contains(#parts, :part)"),
                values=values | ({} if part_key is None else {"part": part_key}),
                **changes,
            )
        except ConditionFailed as error:
            held = ShardRow.from_row(error.row or {"number": claim.number})
            if part_key in held.parts and held.version == claim.version:
                return held
            raise LeaseLost(f"shard {claim.number} of {batch_id} is no longer ours") from error
        return ShardRow.from_row(row)

    def _unsettled(self, batch_id: str, number: int, *, condition: str = "", **changes: Any) -> ShardRow:
        changes["default"] = changes.get("default", {}) | ttl_of(batch_id)
        changes["values"] = changes.get("values", {}) | {"still_open": "open"}
        if "state" not in changes["set"]:
            changes["default"] |= {"state": "open"}
        changes["set"] |= {"number": number}
        try:
            row = self._table.update(
                _key(batch_id, number),
                condition=f"(attribute_not_exists(pk) OR #state = :still_open){condition}",
                **changes,
            )
        except ConditionFailed as error:
            raise _refusal(number, error) from error
        return ShardRow.from_row(row)


def _key(batch_id: str, number: int) -> Key:
    return Key(f"batch#{batch_id}", f"shard#{number:06d}")


def _refusal(number: int, error: ConditionFailed) -> ShardSettled | ShardFenced | LeaseHeld:
    row = ShardRow.from_row(error.row or {"number": number})
    if row.state is ShardState.SETTLED:
        return ShardSettled(row)
    if row.state is ShardState.SEALED or row.fence:
        return ShardFenced(row)
    return LeaseHeld(row)
