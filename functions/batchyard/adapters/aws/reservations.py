"""What a batch may cost is set aside in the transaction that makes the batch or its plan.

A prepaid account has to have that much; a daily limit counts what is set aside with what was charged today. Both are
conditions of the transaction, so that of batches made at once no more get through than one after the other would.
"""

from __future__ import annotations

from collections.abc import Sequence

from batchyard.adapters.aws import ledger
from batchyard.adapters.aws.table import Delete, Put, Table, Update, pause_after
from batchyard.core.accounts import Billing
from batchyard.core.batches import Batch
from batchyard.core.errors import ConditionFailed
from batchyard.core.ledger import Credits, Headroom, limit_reached, not_enough, reservation, too_busy

_ATTEMPTS = 10


class Reservations:
    def __init__(self, table: Table) -> None:
        self._table = table
        self._ledger = ledger.Ledger(table)

    def make(
        self, batch: Batch, writes: Sequence[Put | Update | Delete], now: int, daily_limit_picousd: int | None
    ) -> None:
        """`writes` and the reservation for the batch, in one transaction. That what is reserved and was charged today
        stays within the daily limit is a condition of it. It fails if a batch ended since both were read; then they are
        read again. Reservations of others let it fail only if there is no room left. Raises InsufficientCredits,
        SpendLimitReached, RateLimited if each attempt met a batch that ended, or ConditionFailed."""
        if daily_limit_picousd is None or not batch.reserved_picousd:
            try:
                return self._table.transact([*writes, *_writes_of(batch, now)])
            except ConditionFailed as error:
                _require_credits(batch, error)
                raise
        for attempt in range(_ATTEMPTS):
            headroom = self._ledger.headroom(batch.account_id, daily_limit_picousd, now)
            if not headroom.has_room_for(batch.reserved_picousd):
                raise limit_reached(headroom)
            try:
                return self._table.transact([*writes, *_writes_of(batch, now, headroom)])
            except ConditionFailed as error:
                _require_credits(batch, error)
                if not ledger.failed_for_credits(error, batch.account_id):
                    raise
            pause_after(attempt)
        raise too_busy()


def _writes_of(batch: Batch, now: int, headroom: Headroom | None = None) -> list[Put | Update]:
    """The writes that set aside what is reserved for the batch; a prepaid account has to have it."""
    if not batch.reserved_picousd:
        return []
    needed = batch.reserved_picousd if batch.billing is Billing.PREPAID else None
    entry = reservation(batch.id, batch.reserved_picousd, now)
    return ledger.writes_of(batch.account_id, [entry], available_at_least=needed, headroom=headroom)


def _require_credits(batch: Batch, error: ConditionFailed) -> None:
    """Raises InsufficientCredits if it was for want of credits that the batch's reservation failed."""
    available = Credits.from_row(error.row or {}).available_picousd
    is_short = batch.billing is Billing.PREPAID and available < batch.reserved_picousd
    if is_short and ledger.failed_for_credits(error, batch.account_id):
        raise not_enough(available, batch.reserved_picousd) from error
