"""Outages in the middle of a batch, switched on and off while it runs: they cost time, never an item."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from batchyard.adapters.aws.lanes import Lanes
from batchyard.adapters.aws.table import Table
from batchyard.core.health import LaneHealth, LaneState
from batchyard.core.lanes import LaneId
from local.cloud import LocalCloud
from local.provider import SimulatedProvider
from tests.customer import Customer, eventually
from tests.fault.evidence import note, own_lines, served

ITEMS = 400
MAX_IN_FLIGHT = 8
PROCESSES = 2
ENVIRONMENT = {
    "SHARD_ITEMS": "50",
    "FLUSH_ITEMS": "20",
    "LEASE_SECONDS": "5",
    "MAX_IN_FLIGHT": str(MAX_IN_FLIGHT),
    "RETRY_BASE_SECONDS": "1",
    "RETRY_CAP_SECONDS": "60",
}
CLOUD = {"processes": PROCESSES}
MOST_EXTRA_CALLS = 3 * PROCESSES * MAX_IN_FLIGHT
"""What was in flight when it began, and what is started until it is known."""
LANE = LaneId("openai", "gpt-4o-mini")


@dataclass(frozen=True, slots=True)
class Outage:
    """`begins`, `ends`: settings of the provider. `state`: what the lane is found to be in. `seconds`: how long it
    lasts at least; it always lasts until a probe failed."""

    begins: dict[str, Any]
    ends: dict[str, Any]
    state: LaneState
    seconds: float


KINDS = {
    "503": Outage({"faults": {"status:503": 1}}, {"faults": {}}, LaneState.OPEN, 10),
    "refused connections": Outage({"is_down": True}, {"is_down": False}, LaneState.OPEN, 10),
    "a refused key": Outage({"keys": {"default": "another key"}}, {"keys": {}}, LaneState.BLOCKED, 0),
}
"""Those whose way through the deployed system differs; for others, and longer ones: tests/worker/test_trouble.py."""


@pytest.fixture
def lane(cloud: LocalCloud) -> Callable[[], LaneHealth]:
    """Reads the health of the lane; it was well when the test began."""
    lanes = Lanes(Table(cloud.client("dynamodb"), cloud.table_name))
    assert lanes.health(LANE).state is LaneState.CLOSED
    return lambda: lanes.health(LANE)


@pytest.mark.parametrize("outage", KINDS.values(), ids=KINDS)
def test_an_outage_loses_nothing(
    customer: Customer, provider: SimulatedProvider, lane: Callable[[], LaneHealth], outage: Outage
) -> None:
    """In the middle of a batch: the lane is found to be in trouble, every item succeeds, and hardly a call is made more
    than without it."""
    provider.configure(latency_ms=200)
    lines = own_lines(customer, ITEMS)
    batch = customer.submit(lines)
    eventually(lambda: provider.stats()["succeeded"] > ITEMS / 4, "a quarter is done")
    provider.configure(**outage.begins)
    began = time.monotonic()
    eventually(lambda: lane().state is outage.state, "the trouble is known")
    known = time.monotonic()
    eventually(lambda: time.monotonic() > began + outage.seconds and lane().probes > 0, "it has lasted long enough")
    assert customer.status(batch.id) == "in_progress"
    provider.configure(**outage.ends)
    over = time.monotonic()
    batch = customer.wait(batch.id)
    checked = customer.check(batch, lines)
    extra = sum(count.received - 1 for count in served(provider, lines))
    figures = {
        "seconds until it was known": round(known - began, 1),
        "seconds from its end to the batch's": round(time.monotonic() - over, 1),
        "extra calls": extra,
        "witnesses": provider.stats()["witnesses"],
    }
    note("outage", figures)
    assert (batch.status, checked.succeeded) == ("completed", ITEMS)
    assert extra <= MOST_EXTRA_CALLS
    assert lane().state is LaneState.CLOSED
