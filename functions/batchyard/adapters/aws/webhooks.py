"""Rows of webhooks: an account's own, and one that came with a batch and goes before it.

The secret is encrypted under the deployment's KMS key before it is stored; KMS decrypts it only for the account and the
owner (`core.deliveries.OF_ACCOUNT`, or a batch's id) it was encrypted for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from batchyard.adapters.aws.table import Key, Put, Table
from batchyard.core.batches import Batch
from batchyard.core.deliveries import KEPT_SECONDS, OF_ACCOUNT
from batchyard.core.json_types import Row
from batchyard.core.webhooks import ShownWebhook, WebhookStyle, WebhookTarget

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient


class Webhooks:
    """`kms` makes the boto3 client; it is called only if there is a secret to encrypt or decrypt."""

    def __init__(self, table: Table, kms: Callable[[], KMSClient], key_id: str) -> None:
        self._table = table
        self._kms = kms
        self._key_id = key_id

    def write_of(self, batch: Batch, target: WebhookTarget) -> Put:
        """The write that keeps a batch's own webhook, for the transaction that makes the batch. It is needed for as
        long as the batch's delivery is kept."""
        row = self._row(batch.account_id, batch.id, target, batch.created_at)
        return Put(_key(batch.account_id, batch.id), row | {"ttl": batch.expires_at + 2 * KEPT_SECONDS})

    def set_of_account(self, account_id: str, target: WebhookTarget, now: int) -> ShownWebhook:
        self._table.put(_key(account_id, OF_ACCOUNT), self._row(account_id, OF_ACCOUNT, target, now))
        return ShownWebhook(OF_ACCOUNT, target.url, target.style, now)

    def of_account(self, account_id: str) -> ShownWebhook | None:
        return self._shown(account_id, OF_ACCOUNT)

    def remove_of_account(self, account_id: str) -> ShownWebhook | None:
        """The webhook that was removed; None if there was none."""
        row = self._table.delete(_key(account_id, OF_ACCOUNT))
        return _shown(OF_ACCOUNT, row) if row else None

    def of_batch(self, batch: Batch) -> ShownWebhook | None:
        """Whom to tell about the batch: its own webhook, else its account's."""
        return self._shown(batch.account_id, batch.id) or self._shown(batch.account_id, OF_ACCOUNT)

    def target(self, account_id: str, owner: str, style: WebhookStyle) -> WebhookTarget | None:
        """The webhook as it is now, with its secret, for an event that is in `style`; None if it was removed."""
        row = self._table.get(_key(account_id, owner), consistent=True)
        if row is None:
            return None
        reply = self._kms().decrypt(
            KeyId=self._key_id, CiphertextBlob=row["ciphertext"], EncryptionContext=_context(account_id, owner)
        )
        return WebhookTarget(row["url"], bytes(reply["Plaintext"]).decode(), style)

    def _row(self, account_id: str, owner: str, target: WebhookTarget, now: int) -> Row:
        reply = self._kms().encrypt(
            KeyId=self._key_id, Plaintext=target.secret.encode(), EncryptionContext=_context(account_id, owner)
        )
        return {
            "url": target.url,
            "style": str(target.style),
            "ciphertext": reply["CiphertextBlob"],
            "set_at": now,
        }

    def _shown(self, account_id: str, owner: str) -> ShownWebhook | None:
        row = self._table.get(_key(account_id, owner), consistent=True)
        return _shown(owner, row) if row else None


def _shown(owner: str, row: Row) -> ShownWebhook:
    return ShownWebhook(owner, row["url"], WebhookStyle(row["style"]), row["set_at"])


def _key(account_id: str, owner: str) -> Key:
    return Key(f"account#{account_id}", f"webhook#{owner}")


def _context(account_id: str, owner: str) -> dict[str, str]:
    return {"account_id": account_id, "webhook": owner}
