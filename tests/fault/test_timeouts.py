"""Functions that run out of time, and calls of theirs that arrive after they are gone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from local.cloud import LocalCloud
from local.provider import SimulatedProvider
from tests.customer import Customer, chat_line, eventually
from tests.fault.evidence import note, served

ENVIRONMENT = {"MAX_IN_FLIGHT": "4", "SHARD_ITEMS": "8", "LEASE_SECONDS": "3"}
LINES = [chat_line(number) for number in range(24)]
TIMEOUT_SECONDS = 6.0
LATE_SECONDS = 11.0
CALLS = [
    ("validate", "PutObject"),
    ("validate", "UpdateItem"),
    ("dispatch", "SendMessageBatch"),
    ("dispatch", "UpdateItem"),
    ("finalize", "UpdateItem"),
    ("finalize", "PutObject"),
    ("finalize", "TransactWriteItems"),
    ("notify", "GetItem"),
]


def test_a_worker_hands_back_before_its_time_is_over(
    cloud: LocalCloud, customer: Customer, provider: SimulatedProvider
) -> None:
    """Invocations shorter than the work: no time-out happens, and no item is sent twice."""
    provider.configure(latency_ms=2000, latency_sigma=0.2)
    cloud.limit("work", 2 * TIMEOUT_SECONDS)
    cloud.reset_meter()
    lines = [chat_line(number) for number in range(2 * len(LINES))]
    batch, checked = customer.run(lines)
    assert (batch.status, checked.succeeded) == ("completed", len(lines))
    used = cloud.meter()["functions"]["work"]
    note("short invocations", {"invocations": used["invocations"], "timeouts": used["timeouts"]})
    assert used["invocations"] >= 2
    assert used["timeouts"] == 0
    assert [count.received for count in served(provider, lines)] == [1] * len(lines)


@pytest.mark.parametrize("operation", ["GetObject", "PutObject", "UpdateItem"])
def test_a_worker_times_out(cloud: LocalCloud, customer: Customer, provider: SimulatedProvider, operation: str) -> None:
    """A call hangs until Lambda ends the function, and is carried out when the shard has another owner."""
    cloud.limit("work", TIMEOUT_SECONDS)
    fault = cloud.fail("work", operation=operation, nth=2, when="late", hold_seconds=LATE_SECONDS)
    cloud.reset_meter()
    batch, checked = customer.run(LINES)
    assert (batch.status, checked.succeeded) == ("completed", len(LINES))
    assert cloud.unfail(fault)["fired"] == 1
    assert cloud.meter()["functions"]["work"]["timeouts"] >= 1


def test_a_step_times_out(cloud: LocalCloud, provider: SimulatedProvider) -> None:
    """A call of each step hangs until Lambda ends the function; the state machine runs the step again; and then, with
    the step long done, the call of the dead function takes effect after all. Side by side, one batch each."""
    for function in {function for function, _ in CALLS}:
        cloud.limit(function, TIMEOUT_SECONDS)

    def run(call: tuple[str, str]) -> None:
        function, operation = call
        customer = Customer(cloud, f"{function} {operation}")
        fault: dict[str, Any] = {"when": "late", "hold_seconds": LATE_SECONDS, "about": customer.account_id}
        late = cloud.fail(function, operation=operation, **fault)
        batch = customer.submit(LINES)
        before = _landed(cloud, late)
        batch = customer.wait(batch.id)
        checked = customer.check(batch, LINES)
        assert (batch.status, checked.succeeded) == ("completed", len(LINES)), call
        eventually(lambda: _landed(cloud, late) > before, f"the late {operation} of {function} took effect")
        assert customer.check(batch, LINES) == checked, call
        assert cloud.unfail(late)["fired"] == 1
        customer.openai.close()

    with ThreadPoolExecutor(len(CALLS)) as pool:
        list(pool.map(run, CALLS))
    used = cloud.meter()["functions"]
    assert all(used[function]["timeouts"] >= 1 for function, _ in CALLS), used


def _landed(cloud: LocalCloud, fault: int) -> int:
    """How many held calls of the fault took effect so far."""
    (found,) = [each for each in cloud.faults() if each["id"] == fault]
    landed: int = found["landed"]
    return landed
