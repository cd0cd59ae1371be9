"""Provider API keys in Secrets Manager: `<prefix><provider>`, the key as a plain string. Read by the worker only."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from batchyard.core.errors import BatchyardError

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

_REMEMBERED_SECONDS = 300.0
"""A rotated key is in use after this long."""


class SecretMissing(BatchyardError):
    """The deployment has no key for a provider."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no secret {name}: create it with the provider's API key as its plain value")


class Secrets:
    def __init__(self, client: SecretsManagerClient, prefix: str, clock: Callable[[], float]) -> None:
        self._client = client
        self._prefix = prefix
        self._clock = clock
        self._remembered: dict[str, tuple[float, str]] = {}

    def provider_key(self, provider: str) -> str:
        """The API key of `provider`, at most five minutes old. Raises SecretMissing."""
        read_at, key = self._remembered.get(provider, (-_REMEMBERED_SECONDS, ""))
        now = self._clock()
        if now - read_at >= _REMEMBERED_SECONDS:
            key = self._read(self._prefix + provider)
            self._remembered[provider] = now, key
        return key

    def _read(self, name: str) -> str:
        try:
            return str(self._client.get_secret_value(SecretId=name)["SecretString"]).strip()
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                raise SecretMissing(name) from error
            raise
