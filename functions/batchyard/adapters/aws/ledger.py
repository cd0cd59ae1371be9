"""Rows of accounts' credits: a balance, its entries, and what was spent on each day.

Every method that returns writes leaves it to somebody else to write them, in one transaction with what they are for.
The balance is one row that all batches of an account change, so transactions on it meet; the table repeats them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from batchyard.adapters.aws.table import Key, Put, Table, Update
from batchyard.core.errors import ConditionFailed
from batchyard.core.ledger import Credits, Entry, EntryKind, Headroom, sum_of

_KEEP_DAY_SECONDS = 35 * 86_400
_ENTRIES = "ledger#"


class Ledger:
    def __init__(self, table: Table) -> None:
        self._table = table

    def balance(self, account_id: str) -> Credits:
        row = self._table.get(_balance_key(account_id), consistent=True)
        return Credits.from_row(row) if row else Credits()

    def spent_on_day(self, account_id: str, now: int) -> int:
        """Pico-dollars charged on the day (UTC) of `now`."""
        row = self._table.get(_day_key(account_id, now), consistent=True)
        return int(row["charged_picousd"]) if row else 0

    def headroom(self, account_id: str, limit_picousd: int, now: int) -> Headroom:
        """What the account may still spend on the day of `now`. The balance is read first: what is charged after that
        makes the condition of `writes_of` fail, so that nothing is missed between the two reads."""
        balance = self.balance(account_id)
        return Headroom(limit_picousd, self.spent_on_day(account_id, now), balance)

    def entries(self, account_id: str, *, about: str = "", after: str | None = None, limit: int) -> list[Entry]:
        """Up to `limit` entries behind the one with the id `after`; `about`: only of this batch or top-up. Those of a
        batch stand together, the newest batch first."""
        rows = self._table.query(
            _pk(account_id),
            prefix=f"{_ENTRIES}{about}#" if about else _ENTRIES,
            after=f"{_ENTRIES}{after}" if after else None,
            limit=limit,
            descending=True,
            consistent=True,
        )
        return [Entry.from_row(row) for row in rows]

    def sum_of_entries(self, account_id: str) -> Credits:
        """What the balance has to be. Reads every entry."""
        rows = self._table.query(_pk(account_id), prefix=_ENTRIES, consistent=True)
        return sum_of(map(Entry.from_row, rows))

    def top_up(self, account_id: str, entry: Entry) -> Entry:
        """The entry as it stands in the ledger: an earlier one, if there was one with its id. Raises ConditionFailed if
        credits are to be taken back that are not there any more."""
        taken_back = -entry.change.available_picousd
        try:
            self._table.transact(
                writes_of(account_id, [entry], available_at_least=taken_back if taken_back > 0 else None)
            )
        except ConditionFailed as error:
            if error.row is None or failed_for_credits(error, account_id):
                raise
            return Entry.from_row(error.row)
        return entry


def writes_of(
    account_id: str,
    entries: Sequence[Entry],
    *,
    available_at_least: int | None = None,
    headroom: Headroom | None = None,
) -> list[Put | Update]:
    """The entries and their change of the balance. `available_at_least`: the transaction fails if less is available.
    `headroom`: it fails if they do not fit into it, or something was charged since it was read. `failed_for_credits`
    says whether it was one of these."""
    if not entries:
        return []
    total = sum_of(entries)
    change = {name: amount for name, amount in total.to_row().items() if amount}
    conditions, values = [], {}
    if available_at_least is not None:
        conditions.append("#available_picousd >= :needed")
        values["needed"] = available_at_least
    if headroom is not None:
        conditions += _fits(headroom)
        values["charged_seen"] = headroom.balance.charged_picousd
        values["most_reserved"] = headroom.most_reserved_before(total.reserved_picousd)
    condition = " AND ".join(conditions) or None
    writes: list[Put | Update] = [
        Put(_entry_key(account_id, entry.id), entry.to_row(), only_if_absent=True) for entry in entries
    ]
    if change or condition:
        writes.append(Update(_balance_key(account_id), add=change, condition=condition, values=values))
    for entry in entries:
        if entry.kind is EntryKind.SETTLEMENT and entry.amount_picousd:
            ttl = {"ttl": entry.at + _KEEP_DAY_SECONDS}
            add = {"charged_picousd": entry.amount_picousd}
            writes.append(Update(_day_key(account_id, entry.at), add=add, default=ttl))
    return writes


def failed_for_credits(error: ConditionFailed, account_id: str) -> bool:
    """Whether a transaction with `writes_of` failed because of the balance."""
    return error.row_key == _balance_key(account_id)


def _fits(headroom: Headroom) -> list[str]:
    """A balance that nothing was charged to or reserved of may have no such attributes, and no row."""
    unchanged = "#charged_picousd = :charged_seen"
    if not headroom.balance.charged_picousd:
        unchanged = f"(attribute_not_exists(#charged_picousd) OR {unchanged})"
    return [unchanged, "(attribute_not_exists(#reserved_picousd) OR #reserved_picousd <= :most_reserved)"]


def _pk(account_id: str) -> str:
    return f"account#{account_id}"


def _balance_key(account_id: str) -> Key:
    return Key(_pk(account_id), "balance")


def _entry_key(account_id: str, entry_id: str) -> Key:
    return Key(_pk(account_id), f"{_ENTRIES}{entry_id}")


def _day_key(account_id: str, at: int) -> Key:
    return Key(_pk(account_id), f"spent#{datetime.fromtimestamp(at, UTC):%Y-%m-%d}")
