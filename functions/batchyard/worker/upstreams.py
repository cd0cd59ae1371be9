"""The providers as the worker sees them: a client each, and a gate per lane, kept for the life of the process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from batchyard.adapters.aws.caller_keys import CallerKeys
from batchyard.adapters.aws.lanes import Lanes
from batchyard.adapters.aws.secrets import Secrets
from batchyard.adapters.providers.provider_client import ProviderClient
from batchyard.core.catalogue import Catalogue
from batchyard.core.health import LaneState
from batchyard.core.lanes import Lane, LaneId, Mode
from batchyard.core.messages import ShardMessage
from batchyard.core.providers import Provider
from batchyard.core.retry import RetryPolicy
from batchyard.core.witness import witness_body
from batchyard.worker.gate import Gates
from batchyard.worker.item_runner import Upstream
from batchyard.worker.lane_watch import LaneWatch
from batchyard.worker.runtime import Runtime


@dataclass(frozen=True, slots=True)
class ProviderKeys:
    """The two kinds of keys that providers are called with. `by_role`: providers that need none of the deployment's,
    because they take the worker's role."""

    deployment: Secrets
    callers: CallerKeys
    by_role: frozenset[str] = frozenset()

    def key_of(self, message: ShardMessage) -> str:
        """The caller's key if the batch has one, and then never the deployment's; empty if the worker's role counts.
        Raises SecretMissing or CallerKeyGone."""
        if message.caller_pays:
            return self.callers.read(message.account_id, message.batch_id)
        if message.provider in self.by_role:
            return ""
        return self.deployment.provider_key(message.provider)


class Upstreams:
    """`connect` makes the client of a provider at a base URL. `urls`: provider name -> base URL instead of the
    catalogue's. Used on the event loop only, so that no two shards make a client or a gate each for what they share."""

    def __init__(
        self,
        catalogue: Catalogue,
        provider_keys: ProviderKeys,
        lanes: Lanes,
        gates: Gates,
        retry: RetryPolicy,
        runtime: Runtime,
        *,
        urls: Mapping[str, str],
        connect: Callable[[Provider, str], ProviderClient],
    ) -> None:
        self._catalogue = catalogue
        self._provider_keys = provider_keys
        self._lanes = lanes
        self._gates = gates
        self._retry = retry
        self._runtime = runtime
        self._urls = urls
        self._connect = connect
        self._clients: dict[str, ProviderClient] = {}
        self._watches: dict[LaneId, LaneWatch] = {}

    def watch_of(self, message: ShardMessage) -> LaneWatch:
        """What is known of the health of the lane that `message` needs."""
        owner = message.account_id if message.caller_pays else None
        lane = LaneId(message.provider, message.model, owner, message.mode)
        watch = self._watches.get(lane)
        if watch is None:
            forget_key = partial(self._provider_keys.deployment.forget, lane.provider)
            watch = LaneWatch(
                lane,
                self._gates.of(lane),
                self._lanes,
                self._runtime,
                forget_key=forget_key,
                limits=self._catalogue.limits_of(lane.provider, lane.model),
            )
            self._watches[lane] = watch
        return watch

    async def of(self, message: ShardMessage) -> Upstream:
        """The lane of `message`. Raises SecretMissing or CallerKeyGone."""
        watch = self.watch_of(message)
        provider_key = await self._runtime.blocking(self._provider_keys.key_of, message)
        lane = Lane(message.provider, message.model, message.mode)
        provider = self._catalogue.providers[message.provider]
        client = self._client(message.provider)
        call = partial(client.call, message.endpoint, provider_key, lane=lane)
        heard_at = message.endpoint if provider.serves(message.endpoint) else provider.endpoints[0]
        witness = partial(client.call, heard_at, provider_key, witness_body(heard_at, message.model), lane=lane)
        return Upstream(
            call,
            self._gates.of(watch.lane),
            watch,
            witness,
            message.price or self._catalogue.price_of(message.provider, message.model),
            self._retry,
            price_percent=provider.flex_price_percent if message.mode is Mode.FLEX else 100,
        )

    def lanes(self, state: LaneState, since: float) -> int:
        """How many lanes are in that state, of those that were looked at since the unix second `since`: what became of
        others since then is not known here."""
        return sum(watch.health.state is state and watch.looked_at >= since for watch in self._watches.values())

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()

    def _client(self, name: str) -> ProviderClient:
        if name not in self._clients:
            provider = self._catalogue.providers[name]
            self._clients[name] = self._connect(provider, self._urls.get(name) or provider.base_url)
        return self._clients[name]
