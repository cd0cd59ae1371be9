"""One local cloud and one simulated provider for all tests of this folder."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from batchyard.adapters.catalogue import load_providers
from local.cloud import LocalCloud
from local.options import realtime_only
from local.provider import SimulatedProvider
from tests.customer import Customer
from tests.webhook_receiver import WebhookReceiver


@pytest.fixture(scope="session")
def simulator() -> Iterator[SimulatedProvider]:
    with SimulatedProvider(seed=1) as provider:
        yield provider


@pytest.fixture(scope="session")
def receiver() -> Iterator[WebhookReceiver]:
    """What webhooks are delivered to; the cloud may deliver to it and to nothing else on this machine."""
    with WebhookReceiver() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def cloud(simulator: SimulatedProvider, receiver: WebhookReceiver) -> Iterator[LocalCloud]:
    """Each provider has an address of its own at the simulator, whose ledger counts them separately."""
    urls = {provider.name: simulator.url_of(provider.name) for provider in load_providers()}
    environment = realtime_only() | {
        "work.PROVIDER_URLS": json.dumps(urls),
        "WEBHOOK_HOSTS": receiver.host,
        "WEBHOOK_PACE": "0.0001",
    }
    with LocalCloud(provider_url=simulator.url, environment=environment, preload=True) as cloud:
        yield cloud


@pytest.fixture
def provider(simulator: SimulatedProvider) -> SimulatedProvider:
    """The simulator with an empty ledger and the settings that it started with."""
    simulator.reset()
    return simulator


@pytest.fixture
def customer(cloud: LocalCloud, request: pytest.FixtureRequest) -> Iterator[Customer]:
    """A new account for each test."""
    with Customer(cloud, request.node.name[:60]) as customer:
        yield customer


@pytest.fixture
def stranger(cloud: LocalCloud) -> Iterator[Customer]:
    """Another account."""
    with Customer(cloud, "stranger") as stranger:
        yield stranger
