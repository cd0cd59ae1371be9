"""Batches in native mode on the local cloud: their items go into the vendor's own batches, and end as any others do."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from openai import OpenAI
from openai.types.responses import Response

from batchyard.adapters.aws.native_lanes import NativeLanes
from batchyard.adapters.aws.table import Key, Table
from batchyard.adapters.catalogue import load_providers
from batchyard.core.lanes import LaneId
from local.cloud import LocalCloud
from local.provider import SimulatedProvider
from tests.customer import Customer, chat_line, eventually, jsonl
from tests.e2e.gemini_deployment import MODEL, with_gemini
from tests.invariants import check_bills, check_places

JOB_SECONDS = 1000.0
NATIVE = {name: ["realtime", "native"] for name in ("openai", "anthropic", "gemini", "mistral", "together")}
MODES = json.dumps(NATIVE | {"openai": ["realtime", "flex", "native"]})
LLAMA = "meta-llama/Llama-3.3-70B-Instruct-Turbo"
MIXED = {
    "gpt-4o-mini": ("openai", "native"),
    "o3": ("openai", "flex"),
    "anthropic/claude-haiku-4-5": ("anthropic", "native"),
    "mistral/mistral-small-latest": ("mistral", "native"),
    f"gemini/{MODEL}": ("gemini", "native"),
    f"together/{LLAMA}": ("together", "realtime"),
}
"""Model -> whose it is, and in which mode most of its items run."""


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatedProvider]:
    """Its jobs take longer than a test waits, unless it puts the vendors' clock forward."""
    with SimulatedProvider(seed=1, job_seconds=JOB_SECONDS, without_jobs=["together"]) as provider:
        yield provider


@pytest.fixture(scope="module")
def cloud(simulator: SimulatedProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """OpenAI (in flex, too), Anthropic, Gemini, Mistral and Together run native jobs as far as this deployment knows.
    What takes minutes takes a second."""
    names = [*(provider.name for provider in load_providers() if provider.name != "groq"), "gemini"]
    urls = json.dumps({name: simulator.url_of(name) for name in names})
    environment = {
        "work.PROVIDER_URLS": urls,
        "jobs.PROVIDER_URLS": urls,
        "PROVIDER_MODES": MODES,
        "validate.JOB_PACE": "0.05",
        "jobs.JOB_PACE": "0.05",
    }
    options = {"minute_seconds": 1.0, "preload": True} | with_gemini(tmp_path_factory.mktemp("deployment"))
    with LocalCloud(provider_url=simulator.url, environment=environment, **options) as cloud:
        yield cloud


@pytest.fixture
def provider(simulator: SimulatedProvider) -> SimulatedProvider:
    """The simulator without jobs, and with an empty ledger."""
    simulator.reset()
    return simulator


def lines(count: int, first: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """`first`: what the first line says more than the others."""
    return [chat_line(number, **(first or {}) if number == 0 else {}) for number in range(count)]


def wait_for_job(provider: SimulatedProvider) -> dict[str, Any]:
    """The vendor's one job, when it is there."""
    eventually(lambda: provider.jobs() or None, "the job is submitted")
    (job,) = provider.jobs()
    return job


def assert_paid_once(provider: SimulatedProvider, items: int, native: int) -> None:
    """Each item was billed once, `native` of them as items of a job."""
    bills = provider.bills().values()
    check_bills(bills)
    assert len(bills) == items
    assert sum(bill.native for bill in bills) == native


STORM = {
    "faults": {"status:503": 0.15, "status:429": 0.1},
    "flex_faults": {"resource_unavailable": 0.2, "status:503": 0.1},
    "item_faults": {"status:500": 0.1, "status:429": 0.05, "missing": 0.05},
    "call_faults": {
        "upload": {"status:503x2": 1},
        "create": {"disconnectx1": 1},
        "look": {"status:503x6": 1},
        "results": {"disconnect_mid_bodyx2": 1},
        "delete_file": {"status:500x1": 1},
    },
}
"""What goes wrong with realtime and flex calls, with items of jobs, and with calls about jobs: a submission's answer is
lost, too."""


def test_a_mixed_batch_runs_on_all_its_lanes_in_a_storm(customer: Customer, provider: SimulatedProvider) -> None:
    """Jobs at OpenAI, Anthropic, Gemini and Mistral, flex at OpenAI, realtime at Together, all at once, while 5xx and
    429 rain on them: each item has one result and is billed once, in a lane of its own provider, and the books
    balance. It comes first, because a job at Anthropic is found again by the time it was made, and the others put the
    clock forward."""
    table = Table(customer.cloud.client("dynamodb"), customer.cloud.table_name)
    for lane in (LaneId("openai", "o3"), LaneId("together", LLAMA)):  # so that flex is the cheapest, or realtime
        NativeLanes(table).note_unsupported(lane, int(time.time()))
    models = dict(MIXED)
    wanted = [chat_line(number, model=model, max_tokens=20) for number, model in enumerate([*models] * 20)]
    provider.configure(**STORM)
    batch = customer.submit(wanted)
    eventually(lambda: len(provider.jobs()) == 4, "all four jobs are submitted")
    provider.advance(JOB_SECONDS)
    batch = customer.wait(batch.id)
    assert (batch.status, customer.check(batch, wanted).succeeded) == ("completed", len(wanted))
    check_bills(provider.bills().values())
    assert len(provider.bills()) == len(wanted)
    assert {job["vendor"] for job in provider.jobs()} == {"openai", "anthropic", "gemini", "mistral"}
    assert len(provider.jobs()) == 4
    billed: Counter[tuple[str, str]] = Counter()
    modes: defaultdict[str, set[str]] = defaultdict(set)
    for lane in provider.stats()["usage"]:
        billed[lane["provider"], lane["model"]] += lane["items"]
        modes[lane["model"]].add(lane["mode"])
    check_places(billed, [(at, model.removeprefix(f"{at}/")) for model, (at, _) in models.items()])
    assert billed == {(at, model.removeprefix(f"{at}/")): 20 for model, (at, _) in models.items()}
    for model, (at, mode) in models.items():
        assert mode in modes[model.removeprefix(f"{at}/")]
    for line in customer.output(batch).values():
        assert line["response"]["body"]["choices"][0]["message"]["content"]
    tally = customer.rows(batch.id)[0]["tally"]
    assert tally["realtime_picousd"] > tally["cost_picousd"] > 0
    eventually(lambda: all(file["deleted"] for file in provider.files()), "the vendors' files are gone")


def test_responses_run_where_there_are_only_chat_completions(customer: Customer, provider: SimulatedProvider) -> None:
    """OpenAI's newer form at Anthropic, Mistral and Gemini, in their batches, and at Together call by call: each item
    comes back as a response that OpenAI's SDK reads; what cannot be had there is that item's error."""
    models = [model for model, (at, _) in MIXED.items() if at != "openai"]
    bodies: list[dict[str, Any]] = [
        {"model": models[number % 4], "input": f"item {number}", "max_output_tokens": 20} for number in range(30)
    ]
    bodies[4] |= {"previous_response_id": "resp_1"}
    wanted = [
        {"custom_id": f"item-{number}", "method": "POST", "url": "/v1/responses", "body": body}
        for number, body in enumerate(bodies)
    ]
    batch = customer.submit(wanted, "/v1/responses")
    eventually(lambda: len(provider.jobs()) == 3, "all three jobs are submitted")
    provider.advance(JOB_SECONDS)
    batch = customer.wait(batch.id)
    checked = customer.check(batch, wanted)
    assert (batch.status, checked.succeeded, checked.failed) == ("completed", 29, 1)
    assert {job["vendor"] for job in provider.jobs()} == {"anthropic", "gemini", "mistral"}
    results = customer.output(batch)
    error = results.pop("item-4")["response"]["body"]["error"]
    assert (error["param"], error["code"]) == ("previous_response_id", "unsupported_parameter")
    for line in results.values():
        response = Response.model_validate(line["response"]["body"])
        assert response.output_text and response.usage is not None and response.usage.output_tokens > 0
    check_bills(provider.bills().values())
    assert len(provider.bills()) == 29


def test_a_batch_whose_job_succeeds(customer: Customer, provider: SimulatedProvider) -> None:
    """Every result comes from the vendor's job, at half the price; no item is called in realtime, and the vendor keeps
    nothing."""
    wanted = lines(40)
    batch = customer.submit(wanted)
    wait_for_job(provider)
    provider.advance(JOB_SECONDS)
    batch = customer.wait(batch.id)
    assert (batch.status, customer.check(batch, wanted).succeeded) == ("completed", 40)
    assert_paid_once(provider, 40, native=40)
    tally = customer.rows(batch.id)[0]["tally"]
    assert tally["realtime_picousd"] == 2 * tally["cost_picousd"] > 0
    eventually(lambda: all(file["deleted"] for file in provider.files()), "the vendor's files are gone")


def test_a_job_that_expires_with_half_its_results(customer: Customer, provider: SimulatedProvider) -> None:
    """What it has is kept; the other half runs in realtime, and no item is paid twice."""
    wanted = lines(40, {"metadata": {"simulate": "job_expire:50"}})
    batch = customer.submit(wanted)
    wait_for_job(provider)
    provider.advance(2 * 86_400)
    batch = customer.wait(batch.id)
    assert (batch.status, customer.check(batch, wanted).succeeded) == ("completed", 40)
    assert_paid_once(provider, 40, native=20)


def test_a_job_that_stalls_is_escalated(customer: Customer, provider: SimulatedProvider) -> None:
    """When its time has come it is cancelled, what it finished is kept, and the rest runs in realtime."""
    wanted = lines(40, {"metadata": {"simulate": "job_stall:50"}})
    batch = customer.submit(wanted)
    wait_for_job(provider)
    provider.advance(JOB_SECONDS)
    give_up_now(customer, batch.id)
    eventually(lambda: provider.jobs()[0]["state"] == "cancelling", "the job is to stop")
    provider.advance(60)
    batch = customer.wait(batch.id)
    assert (batch.status, customer.check(batch, wanted).succeeded) == ("completed", 40)
    assert_paid_once(provider, 40, native=20)


def test_a_batch_cancelled_half_way(customer: Customer, provider: SimulatedProvider) -> None:
    """Its job is stopped, what that had finished is in the output, and the rest is cancelled."""
    wanted = lines(40, {"metadata": {"simulate": "job_stall:50"}})
    batch = customer.submit(wanted)
    wait_for_job(provider)
    provider.advance(JOB_SECONDS)
    customer.openai.batches.cancel(batch.id)
    eventually(lambda: provider.jobs()[0]["state"] == "cancelling", "the job is to stop")
    provider.advance(60)
    batch = customer.wait(batch.id)
    assert (batch.status, customer.check(batch, wanted).succeeded) == ("cancelled", 20)
    assert_paid_once(provider, 20, native=20)


def test_a_provider_without_a_batch_api(customer: Customer, provider: SimulatedProvider) -> None:
    """It answers 404: the items run in realtime, and the next batch does not ask again."""
    wanted = [chat_line(number, model="together/mistralai/Mixtral-8x7B-Instruct-v0.1") for number in range(10)]
    for _ in range(2):
        batch, checked = customer.run(wanted)
        assert (batch.status, checked.succeeded) == ("completed", 10)
    assert provider.jobs() == []


def test_gemini_call_by_call(customer: Customer, provider: SimulatedProvider) -> None:
    """Without jobs each item is called in Google's own form, and none is in a job."""
    table = Table(customer.cloud.client("dynamodb"), customer.cloud.table_name)
    NativeLanes(table).note_unsupported(LaneId("gemini", MODEL), int(time.time()))
    batch, checked = customer.run([chat_line(number, model=f"gemini/{MODEL}") for number in range(10)])
    assert (batch.status, checked.succeeded) == ("completed", 10)
    assert provider.jobs() == []
    assert_paid_once(provider, 10, native=0)


def test_a_job_on_the_callers_own_key(customer: Customer, provider: SimulatedProvider) -> None:
    """Nobody but the caller pays: the vendor accepts no other key. It is kept encrypted while the job runs. When the
    batch is over the key is gone, and so are the vendor's files."""
    own_key = "sk-callers-own-2Lx8"
    provider.configure(keys={"openai": own_key})
    headers = {"x-portkey-api-key": customer.api_key, "x-portkey-provider": "openai"}
    wanted = lines(10)
    with OpenAI(base_url=f"{customer.cloud.api_url}/v1", api_key=own_key, default_headers=headers) as caller:
        file = caller.files.create(file=("requests.jsonl", jsonl(wanted)), purpose="batch")
        made = caller.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    wait_for_job(provider)
    table = Table(customer.cloud.client("dynamodb"), customer.cloud.table_name)
    kept = table.get(Key(f"batch#{made.id}", "caller-key"), consistent=True)
    assert kept is not None and kept["ciphertext"]
    assert own_key.encode() not in bytes(kept["ciphertext"])
    provider.advance(JOB_SECONDS)
    batch = customer.wait(made.id)
    assert (batch.status, customer.check(batch, wanted).succeeded) == ("completed", 10)
    assert_paid_once(provider, 10, native=10)
    paid = (batch.usage.model_extra or {}) if batch.usage else {}
    assert (paid["paid_by"], float(paid["realtime_cost_usd"])) == ("caller", 2 * float(paid["cost_usd"]))
    assert table.get(Key(f"batch#{batch.id}", "caller-key"), consistent=True) is None
    eventually(lambda: all(file["deleted"] for file in provider.files()), "the vendor's files are gone")


def give_up_now(customer: Customer, batch_id: str) -> None:
    """Moves the moment at which the batch's job is given up into the past."""
    table = Table(customer.cloud.client("dynamodb"), customer.cloud.table_name)
    key = Key(f"account#{customer.account_id}", f"batch#{batch_id}")
    row = table.get(key, consistent=True)
    assert row is not None
    plan = row["plan"]
    plan["lanes"] = [[*lane[:6], 1, *lane[7:]] for lane in plan["lanes"]]
    table.update(key, set={"plan": plan})
