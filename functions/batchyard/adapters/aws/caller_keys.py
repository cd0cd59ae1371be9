"""Provider keys that callers bring with a batch: each is encrypted under the deployment's KMS key before it is stored.

The ciphertext has a row of its own, which is made in the transaction that makes the batch and deleted in the one that
ends it. KMS decrypts it only for the batch and account it was encrypted for: they are its encryption context. If a
batch never ends, DynamoDB deletes the row some time after the deadline.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from batchyard.adapters.aws.table import Delete, Key, Put, Table
from batchyard.core.batches import Batch
from batchyard.core.errors import BatchyardError
from batchyard.core.memory import ExpiringMemory

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

_REMEMBERED_SECONDS = 60.0
_REMEMBERED_KEYS = 1000
_KEPT_AFTER_DEADLINE_SECONDS = 3600


class CallerKeyGone(BatchyardError):
    """The key is deleted, because its batch has ended."""

    def __init__(self, batch_id: str) -> None:
        super().__init__(f"the provider key of {batch_id} is gone: the batch has ended")


class CallerKeys:
    """`kms` makes the boto3 client; it is called only if there is a key to encrypt or decrypt. `key_id`: the KMS key.
    `clock`: seconds."""

    def __init__(self, table: Table, kms: Callable[[], KMSClient], key_id: str, clock: Callable[[], float]) -> None:
        self._table = table
        self._kms = kms
        self._key_id = key_id
        self._clock = clock
        self._read: ExpiringMemory[str] = ExpiringMemory(_REMEMBERED_KEYS)
        """Batch id -> the caller's key."""

    def write_of(self, batch: Batch, secret: str) -> Put:
        """The write that keeps `secret` for `batch`, for the transaction that makes the batch."""
        reply = self._kms().encrypt(
            KeyId=self._key_id,
            Plaintext=secret.encode(),
            EncryptionContext=_context(batch.account_id, batch.id),
        )
        row = {"ciphertext": reply["CiphertextBlob"], "ttl": batch.expires_at + _KEPT_AFTER_DEADLINE_SECONDS}
        return Put(_key(batch.id), row)

    def read(self, account_id: str, batch_id: str) -> str:
        """The key of a batch that has not ended, or ended less than a minute ago. Raises CallerKeyGone."""
        now = self._clock()
        secret = self._read.get(batch_id, now)
        if secret is None:
            secret = self._decrypt(account_id, batch_id)
            self._read.put(batch_id, secret, until=now + _REMEMBERED_SECONDS, now=now)
        return secret

    def _decrypt(self, account_id: str, batch_id: str) -> str:
        row = self._table.get(_key(batch_id), consistent=True)
        if row is None:
            raise CallerKeyGone(batch_id)
        reply = self._kms().decrypt(
            KeyId=self._key_id,
            CiphertextBlob=row["ciphertext"],
            EncryptionContext=_context(account_id, batch_id),
        )
        return bytes(reply["Plaintext"]).decode()


def removal_of(batch_id: str) -> Delete:
    """The write that deletes the key of a batch, for the transaction that ends it."""
    return Delete(_key(batch_id))


def _key(batch_id: str) -> Key:
    return Key(f"batch#{batch_id}", "caller-key")


def _context(account_id: str, batch_id: str) -> dict[str, str]:
    return {"account_id": account_id, "batch_id": batch_id}
