"""Rows of idempotency keys: which batch a key stands for, and what its request was. Written in the transaction that
makes the batch."""

from __future__ import annotations

from dataclasses import dataclass

from batchyard.adapters.aws.table import Key, Put, Table
from batchyard.core.batches import Batch
from batchyard.core.errors import ConditionFailed
from batchyard.core.json_types import Row


@dataclass(frozen=True, slots=True)
class Idempotency:
    """`fingerprint` tells whether a reused key comes with the same request. `ttl`: unix second after which the row may
    be deleted; None: never. `reply`: what repeats are answered, if that has to be the same bytes."""

    key: str
    fingerprint: str
    ttl: int | None
    reply: bytes | None = None

    def write_of(self, batch: Batch) -> Put:
        """The write that takes the key for `batch`; its condition does not hold if the key was used."""
        row: Row = {"batch_id": batch.id, "fingerprint": self.fingerprint, "reply": self.reply}
        ttl = {} if self.ttl is None else {"ttl": self.ttl}
        return Put(_key(batch.account_id, self.key), row | ttl, only_if_absent=True)


class IdempotencyKeyUsed(ConditionFailed):
    """The key was used for `batch_id`, by a request with `fingerprint`, which got `reply` if that was kept."""

    def __init__(self, batch_id: str, fingerprint: str, reply: bytes | None = None) -> None:
        super().__init__(f"the idempotency key already stands for {batch_id}")
        self.batch_id = batch_id
        self.fingerprint = fingerprint
        self.reply = reply


def use_of(account_id: str, key: str, table: Table) -> IdempotencyKeyUsed | None:
    """The batch that the key was used for; None if it was not."""
    row = table.get(_key(account_id, key), consistent=True)
    return IdempotencyKeyUsed(row["batch_id"], row["fingerprint"], row.get("reply")) if row else None


def _key(account_id: str, key: str) -> Key:
    return Key(f"account#{account_id}", f"idempotency#{key}")
