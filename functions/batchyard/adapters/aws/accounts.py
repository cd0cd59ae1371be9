"""Rows of accounts and API keys. A key has two rows: one under its hash, which requests look up, and one under its
account, for lists. Both are written and revoked in one transaction."""

from __future__ import annotations

from typing import Any

from batchyard.adapters.aws.table import Key, Put, Table, Update
from batchyard.core.accounts import Account, ApiKey
from batchyard.core.errors import ConditionFailed

_ACCOUNTS = "accounts"


class Accounts:
    def __init__(self, table: Table) -> None:
        self._table = table

    def create(self, account: Account, key: ApiKey, key_hash: str) -> None:
        """The account, its place in the list of accounts and its first key, in one transaction. Raises
        ConditionFailed if the account exists."""
        self._table.transact(
            [
                Put(Key(f"account#{account.id}", "account"), account.to_row(), only_if_absent=True),
                Put(Key(_ACCOUNTS, account.id), account.to_row()),
                *_key_rows(key, key_hash),
            ]
        )

    def get(self, account_id: str) -> Account | None:
        row = self._table.get(Key(f"account#{account_id}", "account"), consistent=True)
        return Account.from_row(row) if row else None

    def all(self) -> list[Account]:
        """Every account, oldest first."""
        return [Account.from_row(row) for row in self._table.query(_ACCOUNTS)]

    def page(self, *, after: str | None, limit: int) -> list[Account]:
        """Up to `limit` accounts, oldest first, behind the account `after`."""
        return [Account.from_row(row) for row in self._table.query(_ACCOUNTS, after=after, limit=limit)]

    def change(self, account_id: str, **change: Any) -> Account | None:
        """Set fields of the account. The account as it is afterwards, or None if there is none."""
        try:
            self._table.transact(
                [
                    Update(Key(f"account#{account_id}", "account"), set=change, condition="attribute_exists(pk)"),
                    Update(Key(_ACCOUNTS, account_id), set=change),
                ]
            )
        except ConditionFailed:
            return None
        return self.get(account_id)

    def glance(self, account_id: str) -> Account:
        """The account as of a moment ago; one without peculiarities if there is none."""
        row = self._table.get(Key(f"account#{account_id}", "account"))
        return Account.from_row(row) if row else Account(account_id, "", 0)

    def add_key(self, key: ApiKey, key_hash: str) -> None:
        self._table.transact(_key_rows(key, key_hash))

    def keys(self, account_id: str) -> list[ApiKey]:
        """Every key of the account, revoked ones too, oldest first."""
        return [ApiKey.from_row(row) for row in self._table.query(f"account#{account_id}", prefix="key#")]

    def find_key(self, key_hash: str) -> ApiKey | None:
        """The key with this hash, revoked or not; also one that was made a moment ago."""
        row = self._table.get(Key(f"key#{key_hash}", "key"), consistent=True)
        return ApiKey.from_row(row) if row else None

    def revoke_key(self, account_id: str, key_id: str, now: int) -> ApiKey | None:
        """The key as it is afterwards, or None if the account has no such key. Revoking twice keeps the first
        time."""
        row = self._table.get(Key(f"account#{account_id}", f"key#{key_id}"), consistent=True)
        if row is None:
            return None
        if row.get("revoked_at") is None:
            revoked = {"revoked_at": now}
            self._table.transact(
                [
                    Update(Key(f"account#{account_id}", f"key#{key_id}"), set=revoked),
                    Update(Key(f"key#{row['hash']}", "key"), set=revoked),
                ]
            )
            row |= revoked
        return ApiKey.from_row(row)


def _key_rows(key: ApiKey, key_hash: str) -> tuple[Put, Put]:
    row = key.to_row() | {"hash": key_hash}
    return (
        Put(Key(f"key#{key_hash}", "key"), row, only_if_absent=True),
        Put(Key(f"account#{key.account_id}", f"key#{key.id}"), row, only_if_absent=True),
    )
