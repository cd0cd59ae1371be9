"""Two providers on the local cloud that offer the same model: what one of them will not do, the other one does."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from batchyard.adapters.aws.table import Key, Table
from batchyard.adapters.catalogue import load, load_providers
from batchyard.core.routing import Refusal, eligible
from batchyard.core.rules import RoutingMode, RoutingRules
from local.cloud import LocalCloud
from local.options import realtime_only
from local.provider import Served, SimulatedProvider, request_hash
from tests.customer import CHAT, Customer, chat_line, eventually

MODEL = "openai/gpt-oss-120b"
ITEMS = 160
NEVER = Served(0, 0)


@pytest.fixture(scope="module")
def providers() -> Iterator[tuple[SimulatedProvider, SimulatedProvider]]:
    """The one that routing prefers, and the next one."""
    with SimulatedProvider(seed=1, latency_ms=200) as first, SimulatedProvider(seed=2) as second:
        yield first, second


@pytest.fixture(scope="module")
def cloud(providers: tuple[SimulatedProvider, SimulatedProvider]) -> Iterator[LocalCloud]:
    """A minute of the schedules takes a second."""
    first, second = providers
    offers = eligible(MODEL, None, load(), CHAT)
    assert not isinstance(offers, Refusal)
    assert len(offers) == 2
    urls = {provider.name: first.url_of(provider.name) for provider in load_providers()}
    urls[offers[1].provider] = second.url_of(offers[1].provider)
    environment = realtime_only() | {
        "work.PROVIDER_URLS": json.dumps(urls),
        "work.MAX_IN_FLIGHT": "8",
        "work.LEASE_SECONDS": "5",
        "work.DRAIN_SECONDS": "1",
        "validate.SHARD_ITEMS": "20",
    }
    options = {"minute_seconds": 1.0, "preload": True}
    with LocalCloud(provider_url=first.url, environment=environment, **options) as cloud:
        yield cloud


def test_a_provider_that_goes_down_half_way(
    customer: Customer, providers: tuple[SimulatedProvider, SimulatedProvider]
) -> None:
    """And stays down: every item has one result, from one of the two; only calls that were cut off were made twice."""
    first, second = providers
    wanted = [chat_line(number, model=MODEL) for number in range(ITEMS)]
    batch = customer.submit(wanted)
    do_not_wait(customer, batch.id)
    eventually(lambda: first.stats()["succeeded"] > ITEMS / 4, "a quarter is done")
    first.configure(is_down=True)
    batch = customer.wait(batch.id)
    assert (batch.status, customer.check(batch, wanted).succeeded) == ("completed", ITEMS)
    hashes = [request_hash(line["body"]) for line in wanted]
    good = [sum(provider.counts().get(line, NEVER).succeeded for provider in providers) for line in hashes]
    assert min(good) == 1
    assert second.stats()["succeeded"] >= ITEMS - first.stats()["succeeded"] > 0


def do_not_wait(customer: Customer, batch_id: str) -> None:
    """Gives the batch rules under which its items leave a lane in trouble at once."""
    table = Table(customer.cloud.client("dynamodb"), customer.cloud.table_name)
    key = Key(f"account#{customer.account_id}", f"batch#{batch_id}")
    table.update(key, set={"rules": RoutingRules(RoutingMode.SLA_AWARE).to_row()})
