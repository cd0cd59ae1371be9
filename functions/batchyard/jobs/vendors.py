"""The batch API of each provider as the native executor sees it: a client per provider key, kept for some uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from batchyard.adapters.aws.caller_keys import CallerKeys
from batchyard.adapters.aws.secrets import Secrets
from batchyard.adapters.providers.kinds import translator_of
from batchyard.adapters.providers.provider_jobs import VendorJobs
from batchyard.adapters.providers.translator import Translator
from batchyard.core.batches import Batch
from batchyard.core.catalogue import Catalogue
from batchyard.core.errors import BooksDoNotBalance
from batchyard.core.lanes import Lane
from batchyard.core.native_limits import NativeLimits
from batchyard.core.providers import Provider
from batchyard.core.usage import Price

_CLIENTS_KEPT = 16

ConnectJobs = Callable[[Provider, str, str], VendorJobs]
"""(provider, base URL, API key) -> its jobs."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """A native lane's provider. `price`: in realtime; a job costs `limits.price_percent` of it."""

    jobs: VendorJobs
    translator: Translator
    price: Price
    limits: NativeLimits


class Vendors:
    """`urls`: provider name -> base URL instead of the catalogue's."""

    def __init__(
        self,
        catalogue: Catalogue,
        secrets: Secrets,
        caller_keys: CallerKeys,
        connect: ConnectJobs,
        *,
        urls: Mapping[str, str],
    ) -> None:
        self._catalogue = catalogue
        self._secrets = secrets
        self._caller_keys = caller_keys
        self._connect = connect
        self._urls = urls
        self._clients: dict[tuple[str, str], VendorJobs] = {}

    def of(self, batch: Batch, lane: Lane) -> Vendor:
        """The vendor of a native lane, called with the caller's key if the batch has one, and then never with the
        deployment's. Raises SecretMissing or CallerKeyGone."""
        provider = self._catalogue.providers[lane.provider]
        offers = self._catalogue.find(lane.model, lane.provider)
        if not offers or provider.native is None:
            raise BooksDoNotBalance(f"{lane} is no longer offered: neither its price nor its limits are known")
        if batch.caller_pays:
            api_key = self._caller_keys.read(batch.account_id, batch.id)
        elif provider.uses_role:
            api_key = ""
        else:
            api_key = self._secrets.provider_key(lane.provider)
        price = batch.pinned_price(lane) or offers[0].price
        return Vendor(self._client(provider, api_key), translator_of(provider), price, provider.native)

    def forget_key(self, provider: str) -> None:
        """Has the deployment's key read again: it may have been rotated."""
        self._secrets.forget(provider)

    def _client(self, provider: Provider, api_key: str) -> VendorJobs:
        known = (provider.name, api_key)
        client = self._clients.get(known)
        if client is None:
            if len(self._clients) >= _CLIENTS_KEPT:
                self.close()
            url = self._urls.get(provider.name) or provider.base_url
            client = self._clients[known] = self._connect(provider, url, api_key)
        return client

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()
