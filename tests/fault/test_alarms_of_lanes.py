"""The alarms of lanes and shards fire when a provider or our own storage is in trouble: by driving the system."""

from __future__ import annotations

from local.cloud import LocalCloud
from local.provider import SimulatedProvider
from tests.alarms import Watch
from tests.customer import Customer, chat_line, eventually

MODELS = {"blocked": "gpt-4o", "open": "gpt-4.1", "shards": "gpt-4.1-mini"}
"""A lane for each test, because its trouble outlasts the test."""


def fired(watch: Watch) -> set[str]:
    """Without those of the sweep, which may or may not run meanwhile."""
    return watch.firing() - {"SweepStopped", "DeadlineNear"}


def waits(customer: Customer, batch_id: str) -> list[str]:
    """The states of what the batch says that it waits for."""
    batch = customer.openai.batches.retrieve(batch_id)
    return [wait["state"] for wait in batch.waiting_for]  # type: ignore[attr-defined]


def test_a_key_that_a_provider_refuses_is_noticed(
    cloud: LocalCloud, customer: Customer, provider: SimulatedProvider
) -> None:
    """Every call is answered by 401: the lane is blocked, the batch says so, and nothing else is reported. Once it is
    mended the batch completes by itself, and waits for nothing."""
    watch = Watch(cloud)
    provider.configure(faults={"status:401": 1.0})
    lines = [chat_line(number, model=MODELS["blocked"]) for number in range(8)]
    batch = customer.submit(lines)
    eventually(lambda: "LaneBlocked" in fired(watch), "the alarm")
    assert fired(watch) == {"LaneBlocked"}
    assert waits(customer, batch.id) == ["blocked"]
    provider.configure(faults={})
    batch = customer.wait(batch.id)
    assert customer.check(batch, lines).succeeded == len(lines)
    assert waits(customer, batch.id) == []


def test_a_provider_that_is_down_is_noticed(cloud: LocalCloud, customer: Customer, provider: SimulatedProvider) -> None:
    """Every call is answered by 503: the lane is open, the batch says so, and nothing else is reported. When the
    provider is back the batch completes by itself."""
    watch = Watch(cloud)
    provider.configure(faults={"status:503": 1.0})
    lines = [chat_line(number, model=MODELS["open"]) for number in range(32)]
    batch = customer.submit(lines)
    eventually(lambda: "LaneOpen" in fired(watch), "the alarm")
    assert fired(watch) == {"LaneOpen"}
    assert waits(customer, batch.id) == ["trouble"]
    provider.configure(faults={})
    batch = customer.wait(batch.id)
    assert customer.check(batch, lines).succeeded == len(lines)


def test_a_worker_that_cannot_read_its_shards_is_noticed(cloud: LocalCloud, customer: Customer) -> None:
    """S3 refuses the worker: the shard comes back, and the batch completes once S3 answers."""
    watch = Watch(cloud)
    cloud.fail("work", service="s3", operation="GetObject", times=1000, status=403, code="AccessDenied")
    batch = customer.submit([chat_line(number, model=MODELS["shards"]) for number in range(4)])
    eventually(lambda: "ShardErrors" in fired(watch), "the alarm")
    assert fired(watch) == {"ShardErrors"}
    cloud.clear_faults()
    assert customer.wait(batch.id).status == "completed"
