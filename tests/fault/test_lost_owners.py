"""Workers that die while the queue holds their messages back for its sixteen minutes: Sweep finds their shards."""

from __future__ import annotations

from typing import Any

from local.cloud import LocalCloud
from local.provider import SimulatedProvider
from tests.customer import Customer, eventually
from tests.fault.evidence import flushed, note, own_lines, served
from tests.invariants import TERMINAL

ENVIRONMENT = {"SHARD_ITEMS": "8", "MAX_IN_FLIGHT": "4"}
CLOUD = {"schedules": False}
QUEUE = "batchyard-provider-openai"
AS_IN_AWS = {"visibility_seconds": None, "redelivery_seconds": None}
SOON_SECONDS = 600
"""Long before the queue would let go of them."""


def test_shards_of_killed_workers_run_again_soon(
    cloud: LocalCloud, customer: Customer, provider: SimulatedProvider
) -> None:
    """Every worker is killed with calls in flight: the batch ends though no message came
    back, and what was flushed before is not sent again."""
    provider.configure(latency_ms=1500)
    cloud.deliver(**AS_IN_AWS)
    lines = own_lines(customer, 48)
    batch = customer.submit(lines)
    eventually(lambda: len(flushed(customer, batch.id)) > 3, "a flush")
    provider.configure(is_holding=True)
    assert cloud.kill("work")
    kept = flushed(customer, batch.id)
    received = [count.received for count in served(provider, lines)]
    provider.configure(is_holding=False, latency_ms=0)

    def is_over() -> bool:
        cloud.invoke("sweep", {})
        return customer.status(batch.id) in TERMINAL

    eventually(is_over, "the batch is over", seconds=SOON_SECONDS)
    batch = customer.wait(batch.id)
    checked = customer.check(batch, lines)
    assert (batch.status, checked.succeeded) == ("completed", len(lines))
    again = [count.received for count in served(provider, lines)]
    assert all(again[index] == received[index] for index in kept)
    assert cloud.queue_depths()[QUEUE] > 0, "a message came back, so it was not Sweep"
    note("lost owners", {"items": len(lines), "kept": len(kept), "repeats": sum(again) - len(lines)})


def test_shards_that_the_queue_gave_up_come_back(
    cloud: LocalCloud, customer: Customer, provider: SimulatedProvider
) -> None:
    """No worker gets to run for as long as a message has receives; when that is over Sweep moves the dead letters
    back, and each shard runs once, as if nothing had been."""
    lines = own_lines(customer, 24)
    batch = _given_up(cloud, customer, lines)

    def is_over() -> bool:
        cloud.invoke("sweep", {})
        return customer.status(batch.id) in TERMINAL

    eventually(is_over, "the batch is over", seconds=SOON_SECONDS)
    batch = customer.wait(batch.id)
    assert (batch.status, customer.check(batch, lines).succeeded) == ("completed", len(lines))
    assert [count.received for count in served(provider, lines)] == [1] * len(lines)
    assert cloud.queue_depths()[f"{QUEUE}-dead-letters"] == 0


def _given_up(cloud: LocalCloud, customer: Customer, lines: list[dict[str, Any]]) -> Any:
    """A batch all of whose shards are dead letters: every invocation ended before it began."""
    cloud.limit("work", 0.001)
    cloud.deliver(redelivery_seconds=0.01)
    batch = customer.submit(lines)
    shards = -(-len(lines) // int(ENVIRONMENT["SHARD_ITEMS"]))
    eventually(lambda: cloud.queue_depths()[f"{QUEUE}-dead-letters"] == shards, f"{shards} dead letters")
    cloud.limit("work", None)
    return batch
