"""One local cloud and one simulated provider per module, set up for failures: leases of one second, retries and the
state machine's waits a twentieth of what they are. A module's own settings stand in its ENVIRONMENT and CLOUD."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from local.cloud import LocalCloud
from local.options import realtime_only
from local.provider import SimulatedProvider
from tests.customer import Customer
from tests.webhook_receiver import WebhookReceiver

ENVIRONMENT = realtime_only() | {
    "SHARD_ITEMS": "4",
    "LEASE_SECONDS": "1",
    "FLUSH_ITEMS": "2",
    "FLUSH_SECONDS": "0.3",
    "RETRY_BASE_SECONDS": "0.02",
    "RETRY_CAP_SECONDS": "0.5",
    "SWEEP_GRACE_SECONDS": "0",
    "work.DRAIN_SECONDS": "2",
    "fence.DRAIN_SECONDS": "5",
    "WEBHOOK_LEASE_SECONDS": "1",
}
WAIT_SCALE = 0.05
UNDISTURBED = {"duplicate": False, "visibility_seconds": None, "redelivery_seconds": 0.2}


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatedProvider]:
    with SimulatedProvider(seed=1) as provider:
        yield provider


@pytest.fixture(scope="module")
def receiver() -> Iterator[WebhookReceiver]:
    """What webhooks are delivered to."""
    with WebhookReceiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Further options of the module's cloud."""
    found: dict[str, Any] = getattr(request.module, "CLOUD", {})
    return found


@pytest.fixture(scope="module")
def running(
    simulator: SimulatedProvider, receiver: WebhookReceiver, settings: dict[str, Any], request: pytest.FixtureRequest
) -> Iterator[LocalCloud]:
    environment = ENVIRONMENT | {"WEBHOOK_HOSTS": receiver.host} | getattr(request.module, "ENVIRONMENT", {})
    options = {"wait_scale": WAIT_SCALE, "preload": True} | settings
    with LocalCloud(provider_url=simulator.url, environment=environment, **options) as cloud:
        yield cloud


@pytest.fixture
def cloud(running: LocalCloud) -> Iterator[LocalCloud]:
    """The module's cloud, undisturbed. At the end no function may have lacked a grant, whatever the test did."""
    running.deliver(**UNDISTURBED)
    yield running
    running.clear_faults()
    running.deliver(**UNDISTURBED)
    for function in running.functions:
        running.limit(function, None)
    assert running.denials() == []


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
