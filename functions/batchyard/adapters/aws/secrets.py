"""Provider API keys in Secrets Manager: `<prefix><provider>`, the key as a plain string. Read by the worker only.

Powertools' parameters utility also remembers secrets. But it reads the clock itself, drops the error's code (which says
that a secret is missing), and forgets all or nothing; it would save five lines here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from batchyard.core.errors import BatchyardError
from batchyard.core.memory import ExpiringMemory

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

_REMEMBERED_SECONDS = 300.0
"""A rotated key is in use after this long."""
_REMEMBERED_KEYS = 1000


_NOT_THERE = frozenset(
    {"ResourceNotFoundException", "InvalidRequestException", "DecryptionFailure", "AccessDeniedException"}
)
"""What AWS says of a secret that nobody has made, that is marked for deletion, or that may not be read: a person has to
act."""


class SecretMissing(BatchyardError):
    """The deployment has no key for a provider, or none that a header can carry."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no secret {name}: create it with the provider's API key as its plain value")


class Secrets:
    def __init__(self, client: SecretsManagerClient, prefix: str, clock: Callable[[], float]) -> None:
        self._client = client
        self._prefix = prefix
        self._clock = clock
        self._remembered: ExpiringMemory[str] = ExpiringMemory(_REMEMBERED_KEYS)
        """Provider -> its API key."""

    def provider_key(self, provider: str) -> str:
        """The API key of `provider`, at most five minutes old. Raises SecretMissing."""
        now = self._clock()
        key = self._remembered.get(provider, now)
        if key is None:
            key = self._read(self._prefix + provider)
            self._remembered.put(provider, key, until=now + _REMEMBERED_SECONDS, now=now)
        return key

    def forget(self, provider: str) -> None:
        """Forgets a key that the provider has refused: it may have been rotated, so it is read again when it is next
        needed."""
        self._remembered.forget(provider)

    def _read(self, name: str) -> str:
        try:
            found = self._client.get_secret_value(SecretId=name)
        except ClientError as error:
            if error.response["Error"]["Code"] in _NOT_THERE:
                raise SecretMissing(name) from error
            raise
        key = found.get("SecretString", "").strip()
        if not (key and key.isascii() and key.isprintable()):
            raise SecretMissing(name)
        return key
