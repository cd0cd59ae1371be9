"""POST /v1/plan: what a batch would be like, before anything of it is made."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import pytest

from batchyard import settings
from batchyard.adapters.aws.native_lanes import NativeLanes
from batchyard.core.lanes import LaneId
from batchyard.handlers import resources
from batchyard.steps import forecast
from tests.api.api import Cloud, Customer, jsonl, lines

CHAT = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
LANE = LaneId("openai", "gpt-4o-mini")


@pytest.fixture
def native(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deployment has OpenAI's batch API switched on."""
    monkeypatch.setenv("PROVIDER_MODES", '{"openai": ["realtime", "native"]}')
    settings.load.cache_clear()
    resources.lane_catalogue.cache_clear()


def plan(owner: Customer, **parameters: Any) -> dict[str, Any]:
    reply = owner.http.post("/v1/plan", json=CHAT | parameters)
    assert reply.status_code == 200, reply.text
    shown: dict[str, Any] = reply.json()
    return shown


def upload(owner: Customer, count: int = 3) -> str:
    return owner.openai.files.create(file=jsonl(count), purpose="batch").id


def verdicts(shown: dict[str, Any]) -> dict[str, str]:
    """Of the candidates of the only route."""
    (route,) = shown["routes"]
    return {each["mode"]: each["verdict"] for each in route["candidates"]}


@pytest.mark.usefixtures("native")
def test_half_the_price_is_expected_of_a_native_lane(alice: Customer) -> None:
    """The lane that validation would take is selected, the dearer one says so, and both have a price and a time."""
    shown = plan(alice, input_file_id=upload(alice))
    assert (shown["object"], shown["items"], shown["sampled_items"]) == ("batch.plan", 3, None)
    assert verdicts(shown) == {"native": "selected", "realtime": "dearer"}
    (route,) = shown["routes"]
    native, realtime = route["candidates"]
    assert float(native["expected_cost_usd"]) == pytest.approx(float(realtime["expected_cost_usd"]) / 2, abs=1e-6)
    assert shown["expected_cost_usd"] == route["expected_cost_usd"] == native["expected_cost_usd"]
    assert shown["realtime_cost_usd"] == realtime["expected_cost_usd"]
    assert (native["jobs"], realtime["jobs"], realtime["escalate_at"]) == (1, 0, None)
    assert shown["expected_finish_at"] == native["expected_finish_at"] < native["escalate_at"] < shown["expires_at"]


@pytest.fixture
def realtime(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deployment does without OpenAI's batch API."""
    monkeypatch.setenv("PROVIDER_MODES", '{"openai": ["realtime"]}')
    settings.load.cache_clear()
    resources.lane_catalogue.cache_clear()


@pytest.mark.usefixtures("realtime")
def test_a_lane_is_not_offered_that_the_deployment_lacks(alice: Customer) -> None:
    """Realtime is all there is if the deployment's file says so."""
    assert verdicts(plan(alice, input_file_id=upload(alice))) == {"realtime": "selected"}


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize(
    ("model", "offered"),
    [
        ("openai/gpt-4o-mini", ["native", "realtime"]),
        ("anthropic/claude-haiku-4-5", ["native", "realtime"]),
        ("groq/llama-3.3-70b-versatile", ["native", "realtime"]),
        ("mistral/mistral-small-latest", ["native", "realtime"]),
        ("together/meta-llama/Llama-3.3-70B-Instruct-Turbo", ["native", "realtime"]),
        ("together/openai/gpt-oss-120b", ["realtime"]),
    ],
)
def test_vendors_sell_at_half_the_price_unless_one_says_otherwise(
    alice: Customer, model: str, offered: list[str]
) -> None:
    """A deployment that sets nothing takes each vendor's batch API, at Together for those models that cost less in
    it."""
    shown = plan(alice, items=1_000, model=model, tokens=100_000)
    assert verdicts(shown) == {mode: "selected" if mode == offered[0] else "dearer" for mode in offered}
    share = float(shown["expected_cost_usd"]) / float(shown["realtime_cost_usd"])
    assert share == pytest.approx(0.5 if "native" in offered else 1, abs=0.01)


def test_a_refused_lane_says_why(cloud: Cloud, alice: Customer) -> None:
    """A provider that answered that it has no batch API is not asked again, and the plan says so."""
    NativeLanes(cloud.table).note_unsupported(LANE, int(time.time()))
    shown = plan(alice, items=10, model="gpt-4o-mini")
    assert verdicts(shown) == {"native": "unsupported", "realtime": "selected"}
    assert "no batch API" in shown["routes"][0]["candidates"][0]["reason"]


@pytest.mark.usefixtures("native")
def test_what_a_lane_was_like_is_what_is_expected_of_it(cloud: Cloud, alice: Customer) -> None:
    """Jobs that took ten minutes are expected to take ten minutes again."""
    NativeLanes(cloud.table).ended(LANE, 600, int(time.time()))
    shown = plan(alice, items=10, model="gpt-4o-mini")
    expected = shown["expires_at"] - 86_400 + 600
    assert shown["expected_finish_at"] == pytest.approx(expected, abs=60)  # the plan reads the clock again


@pytest.mark.usefixtures("native")
def test_a_plan_needs_no_file(alice: Customer) -> None:
    """Counts will do. What is said of tokens is what is charged for, and as many jobs are planned as the vendor's
    limits want."""
    shown = plan(
        alice, items=50_000, model="gpt-4o-mini", provider="openai", tokens=100_000_000, output_tokens=1_000_000
    )
    (route,) = shown["routes"]
    assert (route["items"], route["input_tokens"], route["output_tokens"]) == (50_000, 100_000_000, 1_000_000)
    assert (shown["realtime_cost_usd"], shown["expected_cost_usd"]) == ("15.600000", "7.800000")
    assert route["candidates"][0]["jobs"] == 3  # 410 MB, of which OpenAI takes 200 at once
    assert shown["notes"] == []
    assert len(plan(alice, items=5, model="gpt-4o-mini")["notes"]) == 2


def test_of_a_large_file_the_beginning_is_read(alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer says how many items it has seen, and takes the others to be like them."""
    monkeypatch.setattr(forecast, "SAMPLE_LINES", 20)
    file_id = upload(alice, 100)
    shown = plan(alice, input_file_id=file_id)
    assert (shown["items"], shown["sampled_items"]) == (100, 20)
    assert shown["routes"][0]["items"] == 100
    assert "first 20 requests" in shown["notes"][0]
    monkeypatch.setattr(forecast, "SAMPLE_LINES", 100)
    whole = plan(alice, input_file_id=file_id)
    assert whole["sampled_items"] is None
    assert shown["routes"][0]["input_tokens"] == pytest.approx(whole["routes"][0]["input_tokens"], rel=0.05)


def test_nothing_is_made_or_spent(cloud: Cloud, alice: Customer) -> None:
    """No batch, no execution, and no object beside the input file."""
    file_id = upload(alice)
    before = cloud.objects.keys("", at_most=100)
    plan(alice, input_file_id=file_id)
    assert cloud.objects.keys("", at_most=100) == before
    assert cloud.started == []
    assert alice.openai.batches.list().data == []


@pytest.mark.parametrize(
    ("parameters", "param", "code"),
    [
        ({}, "input_file_id", "missing_required_parameter"),
        ({"items": 5}, "model", "missing_required_parameter"),
        ({"items": 5, "model": "no-such-model"}, "model", "model_not_found"),
        ({"items": 100_001, "model": "gpt-4o-mini"}, None, "too_many_tasks"),
        ({"items": 0, "model": "gpt-4o-mini"}, "items", "invalid_value"),
        ({"items": 5, "input_file_id": "file-01k9qv7m3e5h8a2c4d6f8g0j1k"}, "items", "invalid_value"),
        ({"items": 5, "model": "gpt-4o-mini", "colour": "red"}, "colour", "unknown_parameter"),
    ],
)
def test_what_cannot_be_planned_is_refused(
    alice: Customer, parameters: dict[str, Any], param: str | None, code: str
) -> None:
    """With the parameter that is wrong."""
    reply = alice.http.post("/v1/plan", json=CHAT | parameters)
    assert (reply.status_code, reply.json()["error"]["param"], reply.json()["error"]["code"]) == (400, param, code)


def test_a_line_that_would_fail_the_batch_is_told(alice: Customer, mallory: Customer) -> None:
    """As validation would; and another account's file does not exist."""
    data = io.BytesIO(lines(2) + lines(1))
    data.name = "requests.jsonl"
    file_id = alice.openai.files.create(file=data, purpose="batch").id
    error = alice.http.post("/v1/plan", json=CHAT | {"input_file_id": file_id}).json()["error"]
    assert (error["code"], error["message"][:7]) == ("duplicate_custom_id", "Line 3:")
    assert mallory.http.post("/v1/plan", json=CHAT | {"input_file_id": file_id}).status_code == 404


@pytest.mark.usefixtures("native")
def test_portkeys_clients_plan_for_the_provider_that_they_name(alice: Customer) -> None:
    """A batch that is to run at once is planned call by call; the body of its creation is the plan's, too."""
    headers = {"x-portkey-api-key": alice.key, "x-portkey-provider": "@openai"}
    body = CHAT | {"input_file_id": upload(alice), "metadata": {"a": "b"}}
    found = [
        verdicts(alice.http.post("/v1/plan", json=body | {"completion_window": window}, headers=headers).json())
        for window in ("24h", "immediate")
    ]
    assert found == [
        {"native": "selected", "realtime": "dearer"},
        {"native": "immediate", "realtime": "selected"},
    ]
    refused = alice.http.post("/v1/plan", json=body, headers=headers | {"x-portkey-provider": "@openay"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "provider_not_found")


def test_flex_is_offered_to_models_that_have_it(alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the names in the provider's entry: a vendor refuses flex for others, and their items would fail."""
    monkeypatch.setenv("PROVIDER_MODES", '{"openai": ["realtime", "flex"]}')
    settings.load.cache_clear()
    resources.lane_catalogue.cache_clear()
    assert verdicts(plan(alice, items=5, model="gpt-4o-mini", provider="openai")) == {"realtime": "selected"}
    shown = plan(alice, items=5, model="gpt-5-mini", provider="openai")
    assert verdicts(shown) == {"realtime": "dearer", "flex": "selected"}


def test_an_endpoint_that_nobody_serves_is_refused_before_items_are_made_for_it(alice: Customer) -> None:
    """Whoever asks about one model hears at once that it will not do; in a file such items fail alone."""
    asked = CHAT | {"endpoint": "/v1/embeddings", "items": 3, "model": "claude-sonnet-4-5"}
    reply = alice.http.post("/v1/plan", json=asked)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "endpoint_not_supported")
    body = {"model": "claude-sonnet-4-5", "input": "a"}
    line = {"custom_id": "a", "method": "POST", "url": "/v1/embeddings", "body": body}
    data = io.BytesIO(json.dumps(line).encode())
    data.name = "embeddings.jsonl"
    made = alice.openai.files.create(file=data, purpose="batch")
    shown = plan(alice, endpoint="/v1/embeddings", input_file_id=made.id)
    assert [route["items"] for route in shown["routes"]] == [1]
