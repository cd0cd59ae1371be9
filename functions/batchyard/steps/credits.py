"""Credits: what an operator does with an account's balance, and sees of it. What batches do to it is written in the
transactions that make and end them (`adapters/aws/batches.py`)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from batchyard.adapters.aws.accounts import Accounts
from batchyard.adapters.aws.ledger import Ledger
from batchyard.core.accounts import Account, Billing
from batchyard.core.errors import ConditionFailed, Conflict, InvalidRequest, NotFound
from batchyard.core.ledger import PICOUSD_PER_USD, Credits, Entry, read_dollars, write_dollars
from batchyard.core.ledger import top_up as top_up_entry

ENTRIES_AT_ONCE = 100

_MOST_PICOUSD = 1_000_000 * PICOUSD_PER_USD
_MOST_ENTRIES = 1000
_TOP_UP_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


@dataclass(frozen=True, slots=True)
class Books:
    """Accounts, and what they have."""

    accounts: Accounts
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class ShownBalance:
    """`spent_today_picousd`: charged since midnight (UTC)."""

    account: Account
    balance: Credits
    spent_today_picousd: int


def set_billing(account_id: str, billing: str, *, accounts: Accounts) -> Account:
    """How the account pays for batches that it makes from now on; those that run keep to what they were made with.
    Raises InvalidRequest, or NotFound if there is no such account."""
    if billing not in list(Billing):
        raise InvalidRequest(f"'billing' is one of: {', '.join(Billing)}.", param="billing")
    return _found(accounts.change(account_id, billing=str(billing)), account_id)


def set_daily_limit(account_id: str, usd: str | None, *, accounts: Accounts) -> Account:
    """What the account may spend in a day (UTC); None: as much as it likes. Raises InvalidRequest, or NotFound if there
    is no such account."""
    if usd is None:
        return _found(accounts.change(account_id, daily_limit_picousd=None), account_id)
    amount = _amount(usd)
    if amount < 0:
        raise InvalidRequest("A limit is not negative. null takes it away.", param="usd")
    _require_payer(_found(accounts.get(account_id), account_id), "has no costs to limit")
    return _found(accounts.change(account_id, daily_limit_picousd=amount), account_id)


def top_up(account_id: str, top_up_id: str, usd: str, *, now: int, books: Books) -> tuple[Entry, Credits]:
    """The entry of the top-up, which may be an earlier one, and the balance afterwards. Raises InvalidRequest, NotFound
    if there is no such account, or Conflict: the id stands for another amount, or more is taken back than is left."""
    if not _TOP_UP_ID.fullmatch(top_up_id):
        raise InvalidRequest("The id of a top-up has 1 to 64 letters, digits, '.', '_', ':' or '-'.", param="id")
    amount = _amount(usd)
    if amount == 0:
        raise InvalidRequest("A top-up of nothing does nothing.", param="usd")
    _require_payer(_found(books.accounts.get(account_id), account_id), "has no use for credits")
    try:
        entry = books.ledger.top_up(account_id, top_up_entry(top_up_id, amount, now))
    except ConditionFailed as error:
        available = write_dollars(Credits.from_row(error.row or {}).available_picousd)
        raise Conflict(f"Only {available} dollars are available: no more can be taken back.", param="usd") from error
    if entry.amount_picousd != amount:
        raise Conflict(
            f"The top-up '{top_up_id}' was made before, with {write_dollars(entry.amount_picousd)} dollars. "
            "Use another id for another top-up.",
            param="id",
        )
    return entry, books.ledger.balance(account_id)


def show_balance(account_id: str, *, now: int, books: Books) -> ShownBalance:
    """Raises NotFound if there is no such account."""
    account = _found(books.accounts.get(account_id), account_id)
    return ShownBalance(account, books.ledger.balance(account_id), books.ledger.spent_on_day(account_id, now))


def list_entries(
    account_id: str, *, about: str = "", after: str | None = None, limit: object = ENTRIES_AT_ONCE, books: Books
) -> tuple[list[Entry], bool]:
    """Up to `limit` entries behind the one with the id `after`, and whether there are more: top-ups first, then those
    of the newest batch. `about`: only of that batch or top-up. Raises InvalidRequest, or NotFound."""
    if type(limit) is not int or not 1 <= limit <= _MOST_ENTRIES:
        raise InvalidRequest(f"'limit' is a whole number from 1 to {_MOST_ENTRIES}.", param="limit")
    _found(books.accounts.get(account_id), account_id)
    entries = books.ledger.entries(account_id, about=about, after=after, limit=limit + 1)
    return entries[:limit], len(entries) > limit


def check_books(account_id: str, *, books: Books) -> tuple[Credits, Credits]:
    """The balance, and what the entries come to. They are equal, unless a batch was made or ended in between; while
    nothing runs, nothing is reserved. Raises NotFound if there is no such account."""
    _found(books.accounts.get(account_id), account_id)
    return books.ledger.balance(account_id), books.ledger.sum_of_entries(account_id)


def _amount(usd: str) -> int:
    amount = read_dollars(usd)
    if amount is None or abs(amount) > _MOST_PICOUSD:
        raise InvalidRequest(
            'An amount is a text with dollars, "12.50", with up to 12 decimals, a million at most.', param="usd"
        )
    return amount


def _require_payer(account: Account, why_not: str) -> None:
    if account.billing is Billing.FREE:
        raise InvalidRequest(
            f"The account is free of credits, so it {why_not}. First set_billing to prepaid or postpaid.",
            param="account_id",
        )


def _found(account: Account | None, account_id: str) -> Account:
    if account is None:
        raise NotFound(f"There is no account {account_id}.", param="account_id")
    return account
