"""Rows that tell a repeated request from a new one: what the same request of the same account has made last.

A client that hears no answer sends its request again, by itself. It says so, but not which request it means, so the row
stands under the request's fingerprint. It is written in the transaction that makes the object, and only requests that
say they are repeats look at it.
"""

from __future__ import annotations

from batchyard.adapters.aws.table import Key, Table, Update

REMEMBERED_SECONDS = 900
"""The SDKs wait for an answer for ten minutes before they ask again."""


class Repeats:
    """Times are unix seconds."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def made_by(self, account_id: str, fingerprint: str, now: int) -> str | None:
        """The id of what the same request made last, if it was a short time ago."""
        row = self._table.get(_key(account_id, fingerprint), consistent=True)
        return str(row["made_id"]) if row and now < row["ttl"] else None


def note_of(account_id: str, fingerprint: str, made_id: str, *, is_repeat: bool, now: int) -> Update:
    """What notes that a request made `made_id`, for the transaction that makes it. The condition does not hold if the
    request has done its work already: a repeat finds what the first one made, and a first one that was slow, so that
    its client repeated it, finds what the repeat made since it began."""
    condition = "attribute_not_exists(pk) OR #ttl <= :began"
    values: dict[str, object] = {"began": now}
    if not is_repeat:
        condition += " OR #by_repeat = :no OR #made_at <= :began"
        values["no"] = False
    return Update(
        _key(account_id, fingerprint),
        set={"made_id": made_id, "made_at": now, "by_repeat": is_repeat, "ttl": now + REMEMBERED_SECONDS},
        condition=condition,
        values=values,
    )


def _key(account_id: str, fingerprint: str) -> Key:
    return Key(f"account#{account_id}", f"made-by#{fingerprint}")
