"""An account that has ten concurrent executions, as a new one does, and neighbours that use them up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest

from infra.concurrency import SMALLEST_MAXIMUM
from local.cloud import LocalCloud
from local.deployment.templates import stacks
from local.provider import SimulatedProvider
from tests.alarms import Watch
from tests.customer import CHAT, Customer, chat_line, eventually, jsonl
from tests.fault.evidence import note

ITEMS = 120
QUOTA = 10
PROCESSES = 4


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The templates as a small quota makes them: nothing is reserved, and event sources have the smallest maximum."""
    path: Path = tmp_path_factory.mktemp("small") / "stacks.json"
    path.write_text(json.dumps([{"name": each.name, "template": _small(each.template)} for each in stacks()]))
    return {"templates": path, "account_concurrency": QUOTA, "processes": PROCESSES, "schedules": False}


def _small(template: dict[str, Any]) -> dict[str, Any]:
    for resource in template["Resources"].values():
        resource.get("Properties", {}).pop("ReservedConcurrentExecutions", None)
        if resource["Type"] == "AWS::Lambda::EventSourceMapping":
            resource["Properties"]["ScalingConfig"] = {"MaximumConcurrency": SMALLEST_MAXIMUM}
    return template


def fired(watch: Watch) -> set[str]:
    """No sweep runs here."""
    return watch.firing() - {"SweepStopped"}


def throttles(cloud: LocalCloud) -> int:
    return sum(usage["throttles"] for usage in cloud.meter()["functions"].values())


def test_the_api_stays_up_while_a_batch_runs(
    cloud: LocalCloud, customer: Customer, provider: SimulatedProvider
) -> None:
    """Ten executions are enough for the workers and for everybody who asks meanwhile: nothing is ever refused."""
    watch = Watch(cloud)
    provider.configure(latency_ms=500)
    lines = [chat_line(number) for number in range(ITEMS)]
    batch = customer.submit(lines)
    eventually(lambda: provider.stats()["in_flight"] > 0, "the workers are at it")
    patient = customer.openai.with_options(max_retries=0)
    asked = 0
    while customer.status(batch.id) not in ("completed", "failed"):
        assert patient.batches.retrieve(batch.id).id == batch.id
        asked += 1
    checked = customer.check(customer.wait(batch.id), lines)
    note("a small account", {"asked": asked, "throttles": throttles(cloud)})
    assert (checked.succeeded, throttles(cloud)) == (ITEMS, 0)
    assert asked > 3
    assert fired(watch) == set()


def test_neighbours_that_use_the_account_up_cost_time(
    cloud: LocalCloud, customer: Customer, provider: SimulatedProvider
) -> None:
    """All ten executions are gone in the middle of a batch, until receives were throttled: the alarm fires, it goes on
    when they are back, and every item succeeds."""
    watch = Watch(cloud)
    provider.configure(latency_ms=300)
    lines = [chat_line(number) for number in range(ITEMS)]
    batch = customer.submit(lines)
    eventually(lambda: provider.stats()["in_flight"] > 0, "the workers are at it")
    cloud.occupy(QUOTA)
    eventually(lambda: throttles(cloud) >= 2 * SMALLEST_MAXIMUM, "invokes were throttled")
    cloud.occupy(0)
    batch = customer.wait(batch.id)
    checked = customer.check(batch, lines)
    note("neighbours", {"throttles": throttles(cloud)})
    assert (batch.status, checked.succeeded) == ("completed", ITEMS)
    assert fired(watch) == {"FunctionsThrottled"}


def test_an_api_without_executions_is_noticed(cloud: LocalCloud, customer: Customer) -> None:
    """Neighbours have all ten: a batch that somebody wants to make is refused, once, and the alarm fires."""
    file_id = customer.upload(jsonl([chat_line(0)]))
    watch = Watch(cloud)
    cloud.occupy(QUOTA)
    impatient = customer.openai.with_options(max_retries=0)
    with pytest.raises(openai.InternalServerError):
        impatient.batches.create(input_file_id=file_id, endpoint=CHAT, completion_window="24h")
    cloud.occupy(0)
    assert fired(watch) == {"FunctionsThrottled"}
