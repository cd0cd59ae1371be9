"""Rows that note what batches hold beside files that are gone, until it is gone too."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from batchyard.adapters.aws.table import Key, Table
from batchyard.core.batches import BatchRef

_LEFTOVERS = "leftovers"


class Kind(enum.StrEnum):
    """`WORK`: what a batch runs from, with the prompts. `RESULTS`: the answers, one by one and as exports."""

    WORK = "work"
    RESULTS = "results"


@dataclass(frozen=True, slots=True)
class Leftover:
    ref: BatchRef
    kind: Kind


class Leftovers:
    def __init__(self, table: Table) -> None:
        self._table = table

    def note(self, leftover: Leftover) -> None:
        self._table.update(_key(leftover), set={"account_id": leftover.ref.account_id})

    def all(self) -> Iterator[Leftover]:
        """Everything noted, of the oldest batch first, read as it is asked for."""
        for row in self._table.query(_LEFTOVERS):
            batch_id, _, kind = row["sk"].partition("#")
            yield Leftover(BatchRef(row["account_id"], batch_id), Kind(kind))

    def forget(self, leftover: Leftover) -> None:
        self._table.delete(_key(leftover))


def _key(leftover: Leftover) -> Key:
    return Key(_LEFTOVERS, f"{leftover.ref.batch_id}#{leftover.kind}")
