"""The providers as the worker sees them."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest

from batchyard.core.catalogue import Catalogue, Model
from batchyard.core.lanes import Lane, LaneId, Mode
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


def upstreams_of(provider: Provider, made: list[Client]) -> Upstreams:
    """Of one provider with the model "m"; `made` gets its clients."""

    def connect(provider: Provider, base_url: str) -> Any:
        made.append(Client(provider, base_url))
        return made[-1]

    catalogue = Catalogue([provider], {"groq": [Model("m", Price(1, 1, 1))]})
    gates = Gates(8, lambda: 0.0)
    secrets: Any = OneKey()
    nobodys_keys: Any = None
    no_rows: Any = None
    runtime = Runtime(lambda: 0.0, lambda: 0.0, lambda: "owner", logging.getLogger("worker"), inline)
    keys = ProviderKeys(secrets, nobodys_keys, by_role=frozenset({provider.name} if provider.uses_role else ()))
    return Upstreams(catalogue, keys, no_rows, gates, RetryPolicy(), runtime, urls={}, connect=connect)


MESSAGE = ShardMessage(
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


def test_the_client_follows_the_providers_kind() -> None:
    """Kind and base URL of the entry decide who is called; one client serves all shards of a provider."""
    made: list[Client] = []
    upstreams = upstreams_of(Provider("groq", "openai", "https://groq.example/v1"), made)

    async def call_twice() -> list[Any]:
        return [await (await upstreams.of(MESSAGE)).call(b"{}") for _ in range(2)]

    expected = ("openai", "https://groq.example/v1", "/v1/embeddings", "sk-groq", b"{}", Lane("groq", "m"))
    assert asyncio.run(call_twice()) == [expected, expected]
    assert len(made) == 1


@pytest.mark.parametrize("endpoint", ["/v1/embeddings", "/v1/responses"])
def test_a_witness_asks_for_what_its_provider_serves(endpoint: str) -> None:
    """Items for an endpoint that the provider lacks are refused without a call, which would say nothing of the lane."""
    provider = Provider("groq", "openai", "https://groq.example/v1", endpoints=("/v1/embeddings",))
    upstreams = upstreams_of(provider, [])

    async def call() -> tuple[Any, Any]:
        upstream = await upstreams.of(replace(MESSAGE, endpoint=endpoint))
        return await upstream.call(b"{}"), await upstream.witness()

    item, witness = asyncio.run(call())
    assert item[2] == endpoint
    assert (witness[2], witness[4]) == ("/v1/embeddings", b'{"model":"m","input":"."}')


def test_a_provider_by_role_needs_no_key() -> None:
    """No secret is read for it; its requests are signed."""
    made: list[Client] = []
    bedrock = Provider("groq", "bedrock", "https://bedrock-runtime.us-east-1.amazonaws.com")
    upstreams = upstreams_of(bedrock, made)

    async def call() -> Any:
        return await (await upstreams.of(MESSAGE)).call(b"{}")

    assert asyncio.run(call())[3] == ""


def test_a_lane_in_flex_is_a_lane_of_its_own() -> None:
    """It is asked for in each call, has health and limits of its own, and costs what the entry says."""
    modes = (Mode.REALTIME, Mode.FLEX)
    upstreams = upstreams_of(Provider("groq", "openai", "https://x.example/v1", modes=modes, flex_price_percent=40), [])
    flex = ShardMessage.from_json(replace(MESSAGE, mode=Mode.FLEX).to_json())

    async def both() -> list[Any]:
        return [await upstreams.of(message) for message in (MESSAGE, flex)]

    realtime, cheaper = asyncio.run(both())
    assert (realtime.price_percent, cheaper.price_percent) == (100, 40)
    assert realtime.gate is not cheaper.gate and realtime.watch is not cheaper.watch
    assert cheaper.watch.lane == LaneId("groq", "m", mode=Mode.FLEX)
    assert asyncio.run(cheaper.call(b"{}"))[-1] == Lane("groq", "m", Mode.FLEX)


def test_flex_ends_while_realtime_can_still_make_it() -> None:
    """From the second on that the plan says a shard in flex is one in realtime; no other shard changes."""
    flex = replace(MESSAGE, mode=Mode.FLEX, flex_until=100)
    assert flex.as_of(99.9) is flex
    assert flex.as_of(100).mode is Mode.REALTIME
    assert MESSAGE.as_of(1e12) is MESSAGE


def test_a_price_that_was_pinned_counts() -> None:
    """Instead of the catalogue's, for the shards of that batch only."""
    upstreams = upstreams_of(Provider("groq", "openai", "https://groq.example/v1"), [])
    pinned = Price(7, 8, 9)

    async def prices() -> list[Price]:
        return [(await upstreams.of(message)).price for message in (replace(MESSAGE, price=pinned), MESSAGE)]

    assert asyncio.run(prices()) == [pinned, Price(1, 1, 1)]
