"""Providers at their worst: every item has its one result all the same."""

from __future__ import annotations

import pytest

from local.cloud import LocalCloud
from local.provider import SimulatedProvider
from tests.customer import Customer, chat_line, eventually
from tests.fault.evidence import note, served

ENVIRONMENT = {"SHARD_ITEMS": "40", "READ_TIMEOUT_SECONDS": "1", "FLUSH_ITEMS": "20", "LEASE_SECONDS": "20"}
"""Nobody dies here, and a busy machine must not look as if."""
ITEMS = 120


def run(customer: Customer, provider: SimulatedProvider, **settings: object) -> None:
    """Everything succeeds, and the provider answered each item well once."""
    provider.configure(**settings)
    lines = [chat_line(number) for number in range(ITEMS)]
    batch, checked = customer.run(lines)
    assert (batch.status, checked.succeeded) == ("completed", ITEMS)
    counts = served(provider, lines)
    note("storm", {"sent": sum(count.received for count in counts), "items": ITEMS})
    assert all(count.succeeded == 1 for count in counts)


@pytest.mark.parametrize("retry_after", ["seconds", "date", "none"])
def test_rate_limits_far_below_the_demand(customer: Customer, provider: SimulatedProvider, retry_after: str) -> None:
    """429s cost time and nothing else, whatever the form of Retry-After."""
    run(customer, provider, rate_per_second=60, burst=5, retry_after=retry_after)


@pytest.mark.parametrize(
    "fault",
    ["status:500", "status:503", "status:529", "status:408", "disconnect", "disconnect_mid_body", "reset"],
)
def test_a_fifth_of_all_calls_fails(customer: Customer, provider: SimulatedProvider, fault: str) -> None:
    """Failures that pass are retried until they do."""
    run(customer, provider, faults={fault: 0.2})


@pytest.mark.parametrize("shape", ["not_json", "truncated", "html", "empty", "wrong_type"])
def test_a_fifth_of_all_answers_is_no_answer(customer: Customer, provider: SimulatedProvider, shape: str) -> None:
    """A 200 whose body is not what was asked for is not taken for a result."""
    run(customer, provider, faults={f"malformed:{shape}": 0.2})


def test_calls_that_hang_are_given_up_and_repeated(customer: Customer, provider: SimulatedProvider) -> None:
    """With a read timeout of a second, before and in the middle of an answer."""
    run(customer, provider, faults={"hang": 0.05, "stall": 0.05})


def test_everything_at_once(customer: Customer, provider: SimulatedProvider) -> None:
    """Limits, errors, hangs, broken connections and garbage in one batch."""
    faults = {"status:500": 0.08, "hang": 0.02, "disconnect": 0.05, "malformed:truncated": 0.05, "reset": 0.05}
    run(customer, provider, faults=faults, rate_per_second=120, burst=10, latency_ms=20, latency_sigma=0.5)


def test_a_dead_provider_holds_back_nobody_else(
    cloud: LocalCloud, customer: Customer, provider: SimulatedProvider
) -> None:
    """One provider hangs on every call: a batch for another one is completed meanwhile, and then the first is
    cancelled."""
    stuck = customer.submit([chat_line(number, "hang") for number in range(ITEMS)])
    eventually(lambda: provider.stats()["in_flight"] > 0, "the dead provider has calls in flight")
    lines = [chat_line(number, model="groq/llama-3.1-8b-instant") for number in range(40)]
    batch, checked = customer.run(lines)
    assert (batch.status, checked.succeeded) == ("completed", 40)
    assert customer.openai.batches.retrieve(stuck.id).status == "in_progress"
    customer.openai.batches.cancel(stuck.id)
    assert customer.wait(stuck.id).status == "cancelled"
