"""The providers as the worker sees them."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from batchyard.core.catalogue import Catalogue, Model
from batchyard.core.lanes import Lane
from batchyard.core.messages import ShardMessage
from batchyard.core.providers import Provider
from batchyard.core.retry import RetryPolicy
from batchyard.core.sharding import Shard
from batchyard.core.usage import Price
from batchyard.worker.gate import Gates
from batchyard.worker.runtime import Runtime
from batchyard.worker.upstreams import ProviderKeys, Upstreams
from simulation.virtual_time import inline


class OneKey:
    """Stands for the deployment's secrets."""

    def provider_key(self, provider: str) -> str:
        return f"sk-{provider}"

    def forget(self, provider: str) -> None:
        """Nothing is remembered."""


class Client:
    """Stands for a provider's client; says how it was called."""

    def __init__(self, provider: Provider, base_url: str) -> None:
        self.made_for = provider.kind, base_url

    async def call(self, endpoint: str, api_key: str, body: bytes, lane: Lane) -> Any:
        return (*self.made_for, endpoint, api_key, body, lane)


def test_the_client_follows_the_providers_kind() -> None:
    """Kind and base URL of the entry decide who is called; one client serves all shards of a provider."""
    made: list[Client] = []

    def connect(provider: Provider, base_url: str) -> Any:
        made.append(Client(provider, base_url))
        return made[-1]

    provider = Provider("groq", "openai", "https://groq.example/v1")
    catalogue = Catalogue([provider], {"groq": [Model("m", Price(1, 1, 1))]})
    gates = Gates(8, lambda: 0.0)
    secrets: Any = OneKey()
    nobodys_keys: Any = None
    no_rows: Any = None
    runtime = Runtime(lambda: 0.0, lambda: 0.0, lambda: "owner", logging.getLogger("worker"), inline)
    keys = ProviderKeys(secrets, nobodys_keys)
    upstreams = Upstreams(catalogue, keys, no_rows, gates, RetryPolicy(), runtime, urls={}, connect=connect)
    message = ShardMessage(
        account_id="acct_a",
        batch_id="batch_a",
        run="run",
        endpoint="/v1/embeddings",
        provider="groq",
        model="m",
        shard=Shard(0, 0, 0, 1, 1, 0),
        shards=1,
        progress_rows=1,
        follower=None,
        concurrency=None,
        expires_at=1,
    )

    async def call_twice() -> list[Any]:
        return [await (await upstreams.of(message)).call(b"{}") for _ in range(2)]

    expected = ("openai", "https://groq.example/v1", "/v1/embeddings", "sk-groq", b"{}", Lane("groq", "m"))
    assert asyncio.run(call_twice()) == [expected, expected]
    assert len(made) == 1
