"""The providers as the worker sees them: a client each, and a gate per lane, kept for the life of the process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

from batchyard.adapters.aws.caller_keys import CallerKeys
from batchyard.adapters.aws.secrets import Secrets
from batchyard.adapters.providers.openai_compatible import OpenAICompatible
from batchyard.core.catalogue import Catalogue
from batchyard.core.errors import BooksDoNotBalance
from batchyard.core.messages import ShardMessage
from batchyard.core.retry import RetryPolicy
from batchyard.core.usage import Price
from batchyard.worker.blocking import Blocking
from batchyard.worker.gate import Gates
from batchyard.worker.item_runner import Upstream


class Upstreams:
    """`connect` makes the client for a provider's kind and base URL. `urls`: provider name -> base URL instead of the
    catalogue's. Used on the event loop only, so that no two shards make a client or a gate each for what they share."""

    def __init__(
        self,
        catalogue: Catalogue,
        secrets: Secrets,
        caller_keys: CallerKeys,
        gates: Gates,
        retry: RetryPolicy,
        *,
        urls: Mapping[str, str],
        connect: Callable[[str, str], OpenAICompatible],
        blocking: Blocking = asyncio.to_thread,
    ) -> None:
        self._catalogue = catalogue
        self._secrets = secrets
        self._caller_keys = caller_keys
        self._gates = gates
        self._retry = retry
        self._urls = urls
        self._connect = connect
        self._blocking = blocking
        self._clients: dict[str, OpenAICompatible] = {}

    async def of(self, message: ShardMessage) -> Upstream:
        """The lane of `message`. Raises SecretMissing or CallerKeyGone."""
        api_key = await self._blocking(self._key_of, message)
        call = partial(self._client(message.provider).call, message.endpoint, api_key)
        gate = self._gates.of(message.provider, message.model, message.account_id if message.caller_pays else None)
        return Upstream(call, gate, self._price(message), self._retry)

    def _key_of(self, message: ShardMessage) -> str:
        """The caller's key where the batch has one, and then never the deployment's."""
        if message.caller_pays:
            return self._caller_keys.read(message.account_id, message.batch_id)
        return self._secrets.provider_key(message.provider)

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()

    def _client(self, name: str) -> OpenAICompatible:
        if name not in self._clients:
            provider = self._catalogue.providers[name]
            self._clients[name] = self._connect(provider.kind, self._urls.get(name) or provider.base_url)
        return self._clients[name]

    def _price(self, message: ShardMessage) -> Price:
        offers = self._catalogue.find(message.model, message.provider)
        if not offers:
            raise BooksDoNotBalance(f"{message.provider} no longer offers {message.model}: its price is not known")
        return offers[0].price
