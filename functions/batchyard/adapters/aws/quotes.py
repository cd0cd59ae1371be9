"""Rows of quotes. One that nobody accepts is deleted some time after it is no longer valid; one that a batch was made
from stays with the batch, whose receipt tells which lanes were considered."""

from __future__ import annotations

from batchyard.adapters.aws.table import Key, Table, Update
from batchyard.core.quotes import Quote, QuoteRef

_KEEP_SECONDS = 86_400
"""After it has expired, so that whoever comes too late is told so."""


class Quotes:
    def __init__(self, table: Table) -> None:
        self._table = table

    def put(self, quote: Quote) -> None:
        self._table.put(_key(quote.ref), quote.to_row(), ttl=quote.expires_at + _KEEP_SECONDS)

    def get(self, ref: QuoteRef) -> Quote | None:
        """The quote, valid or not."""
        row = self._table.get(_key(ref), consistent=True)
        return Quote.from_row(ref, row) if row else None


def acceptance_of(ref: QuoteRef) -> Update:
    """What keeps a quote for good, for the transaction that makes a batch from it."""
    return Update(_key(ref), remove=("ttl",), condition="attribute_exists(pk)")


def _key(ref: QuoteRef) -> Key:
    return Key(f"account#{ref.account_id}", f"quote#{ref.quote_id}")
