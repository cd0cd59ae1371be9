"""Rows of deliveries, and of those that are due: a pending one has a row under `deliveries`, whose row key begins with
the second at which it is due, so that Sweep reads those that are due and no others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from batchyard.adapters.aws.table import Delete, Key, Put, Table, Update
from batchyard.core.deliveries import KEPT_SECONDS, Delivery, DeliveryRef, slow_seconds
from batchyard.core.errors import ConditionFailed

_DUE = "deliveries"
_SLOW_FORGOTTEN_SECONDS = 3600


class Deliveries:
    """Times are unix seconds."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def make(self, delivery: Delivery) -> bool:
        """Whether it is new."""
        try:
            self._table.transact([Put(_key(delivery.ref), delivery.to_row(), only_if_absent=True), _due_row(delivery)])
        except ConditionFailed:
            return False
        return True

    def get(self, ref: DeliveryRef) -> Delivery | None:
        row = self._table.get(_key(ref), consistent=True)
        return Delivery.from_row(row) if row else None

    def page(self, account_id: str, *, after: str | None, limit: int) -> tuple[list[Delivery], bool]:
        """Up to `limit` deliveries, those of the newest batches first, behind the delivery `after`; and whether there
        are more."""
        rows = list(
            self._table.query(
                f"account#{account_id}",
                prefix="delivery#",
                after=f"delivery#{after}" if after else None,
                limit=limit + 1,
                descending=True,
            )
        )
        return [Delivery.from_row(row) for row in rows[:limit]], len(rows) > limit

    def change(self, seen: Delivery, changed: Delivery) -> None:
        """Keep `changed`, and when it is due. Raises ConditionFailed if somebody was faster."""
        row = changed.to_row()
        del row["id"], row["account_id"]
        writes: list[Put | Update | Delete] = [
            Update(_key(seen.ref), set=row, condition="#version = :seen", values={"seen": seen.version})
        ]
        was, is_now = _due_key(seen), _due_key(changed) if changed.is_pending else None
        if is_now is not None:
            writes.append(_due_row(changed))
        if seen.is_pending and was != is_now:
            writes.append(Delete(was))
        self._table.transact(writes)

    def due(self, now: int, limit: int) -> Iterator[DeliveryRef]:
        """Up to `limit` deliveries that are due, the one that has waited longest first."""
        for row in self._table.query(_DUE, limit=limit):
            due_at, _, delivery_id = row["sk"].partition("#")
            if int(due_at) > now:
                return
            yield DeliveryRef(row["account_id"], delivery_id)

    # Receivers that let us wait.

    def slow_until(self, account_id: str, receiver: str, now: int) -> int | None:
        """Until when deliveries of the account to this receiver are to wait; None if they need not."""
        row = self._table.get(_receiver_key(account_id, receiver))
        return int(row["slow_until"]) if row and row["slow_until"] > now else None

    def note_slow(self, account_id: str, receiver: str, now: int) -> None:
        """The receiver has just let us wait, once more."""
        key = _receiver_key(account_id, receiver)
        row = self._table.get(key)
        times = row["times"] + 1 if row and row["ttl"] > now else 0
        until = now + slow_seconds(times)
        self._table.update(key, set={"times": times, "slow_until": until, "ttl": until + _SLOW_FORGOTTEN_SECONDS})


def _key(ref: DeliveryRef) -> Key:
    return Key(f"account#{ref.account_id}", f"delivery#{ref.delivery_id}")


def _due_key(delivery: Delivery) -> Key:
    return Key(_DUE, f"{delivery.due_at:012d}#{delivery.id}")


def _due_row(delivery: Delivery) -> Put:
    return Put(_due_key(delivery), {"account_id": delivery.account_id, "ttl": delivery.give_up_at + KEPT_SECONDS})


def _receiver_key(account_id: str, receiver: str) -> Key:
    digest = hashlib.sha256(receiver.encode()).hexdigest()[:32]
    return Key(f"receiver#{account_id}", digest)
