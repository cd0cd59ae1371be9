"""FastRouter's clients: its documented calls with curl and the openai SDK, its objects by a client that is strict."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any, Literal

import httpx
import openai
import pytest
from pydantic import AnyUrl, BaseModel, ConfigDict

from local.cloud import LocalCloud
from local.provider import SimulatedProvider, request_hash
from tests.customer import CHAT, Customer, eventually, jsonl

EMBEDDINGS = "/v1/embeddings"
Status = Literal["validating", "in_progress", "finalizing", "completed", "failed", "cancelled", "expired", "cancelling"]


class Strict(BaseModel):
    """Every field that the documentation names is required; any other is an error, unless it is OpenAI's and stands
    below under that heading."""

    model_config = ConfigDict(extra="forbid", strict=True)


class UploadedFile(Strict):
    file_id: str
    id: str
    filename: str
    num_rows: int
    url: str
    object: Literal["file"]
    bytes: int
    created_at: int
    purpose: Literal["batch"]
    # OpenAI's
    status: Literal["uploaded", "processed"]
    status_details: str | None
    expires_at: int | None


class Error(Strict):
    code: str
    message: str
    param: str | None
    line: int | None


class Errors(Strict):
    object: Literal["list"]
    data: list[Error]


class Cached(Strict):
    cached_tokens: int


class Reasoning(Strict):
    reasoning_tokens: int


class Usage(Strict):
    input_tokens: int
    input_tokens_details: Cached
    output_tokens: int
    output_tokens_details: Reasoning
    total_tokens: int
    cost_usd: str
    realtime_cost_usd: str
    paid_by: Literal["operator", "caller"]


class Counts(Strict):
    total: int
    completed: int
    failed: int


class Wait(Strict):
    provider: str
    model: str
    state: Literal["blocked", "trouble", "queued", "throttled"]
    since: int | None
    message: str


class Batch(Strict):
    """Both documented objects: what create answers and what status answers."""

    batch_id: str
    id: str
    object: Literal["batch"]
    endpoint: Literal["/v1/chat/completions", "/v1/embeddings"]
    model: str | None
    errors: Errors | None
    input_file_id: str
    completion_window: Literal["24h"]
    status: Status
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    usage: Usage
    metadata: dict[str, str] | None
    # OpenAI's
    request_counts: Counts
    # Batchyard's
    waiting_for: list[Wait] | None
    lanes: list[dict[str, Any]] | None


class Response(Strict):
    status_code: int
    body: dict[str, Any]
    # OpenAI's
    request_id: str


class OutputLine(Strict):
    custom_id: str
    error: None
    response: Response
    # OpenAI's
    id: str


class ErrorDetail(Strict):
    message: str
    type: str
    code: str
    status: int
    # OpenAI's
    param: str | None


class ErrorReply(Strict):
    error: ErrorDetail


def line(number: int, provider: str, model: str, **body: Any) -> dict[str, Any]:
    """A line as documented: a provider, and a model behind its name."""
    return {
        "custom_id": f"request-{number}",
        "provider": provider,
        "method": "POST",
        "url": CHAT,
        "body": {
            "model": model,
            "messages": [{"role": "user", "content": f"Say {number}."}],
            "max_tokens": 1000,
            **body,
        },
    }


def mixed(count: int) -> list[dict[str, Any]]:
    """Lines that take turns between two providers."""
    models = {"openai": "openai/gpt-4.1", "anthropic": "anthropic/claude-4.5-sonnet"}
    return [line(n, provider, models[provider]) for n in range(count) for provider in [("openai", "anthropic")[n % 2]]]


class Curl:
    """The documented command lines: address and key aside, as they stand there."""

    def __init__(self, customer: Customer, folder: Path) -> None:
        self._base = f"{customer.cloud.api_url}/v1"
        self._headers = ["--header", f"Authorization: Bearer {customer.api_key}"]
        self._folder = folder

    def __call__(self, *arguments: str) -> Any:
        command = ["curl", "--silent", "--show-error", "--fail-with-body", *arguments[:-1], *self._headers]
        done = subprocess.run(
            [*command, self._base + arguments[-1]], cwd=self._folder, capture_output=True, timeout=300
        )
        assert done.returncode == 0, done
        return json.loads(done.stdout)


def test_the_documented_flow(customer: Customer, provider: SimulatedProvider, tmp_path: Path) -> None:
    """Upload without a purpose, create, poll, download: with curl, every reply checked by a strict client."""
    curl = Curl(customer, tmp_path)
    lines = mixed(12)
    (tmp_path / "sample.jsonl").write_bytes(jsonl(lines))
    file = UploadedFile.model_validate(curl("--request", "POST", "--form", "file=@sample.jsonl", "/files"))
    assert (file.file_id, file.filename, file.num_rows) == (file.id, "sample.jsonl", len(lines))
    wish = {"input_file_id": file.file_id, "endpoint": CHAT, "completion_window": "24h", "metadata": {"team": "search"}}
    as_json = ("--header", "Content-Type: application/json", "--data")
    made = Batch.model_validate(curl("--request", "POST", *as_json, json.dumps(wish), "/batches"))
    assert (made.batch_id, made.status, made.input_file_id) == (made.id, "validating", file.id)
    assert made.metadata == {"team": "search"}

    def look() -> Batch | None:
        batch = Batch.model_validate(curl(f"/batches/{made.batch_id}"))
        return batch if batch.status == "completed" else None

    ended = eventually(look, "completion")
    assert ended.output_file_id and ended.error_file_id is None and ended.errors is None
    times = [ended.created_at, ended.in_progress_at, ended.finalizing_at, ended.completed_at, ended.expires_at]
    assert times == sorted(filter(None, times)) and ended.expires_at == ended.created_at + 86_400
    assert (ended.failed_at, ended.expired_at, ended.cancelling_at, ended.cancelled_at) == (None,) * 4
    assert ended.model is None and ended.usage.total_tokens > 0 and float(ended.usage.cost_usd) > 0
    target = tmp_path / "results.jsonl"
    content = httpx.get(
        f"{customer.cloud.api_url}/v1/files/{ended.output_file_id}/content",
        headers={"Authorization": f"Bearer {customer.api_key}"},
    )
    assert content.headers["content-type"] == "application/x-ndjson"
    target.write_bytes(content.content)
    results = [OutputLine.model_validate_json(each) for each in target.read_text().splitlines()]
    assert {each.custom_id for each in results} == {each["custom_id"] for each in lines}
    assert {each.response.status_code for each in results} == {200}
    customer.check(customer.openai.batches.retrieve(made.id), lines)


def test_each_item_goes_to_its_own_provider(customer: Customer, provider: SimulatedProvider) -> None:
    """Half of a file to each of two providers, with each provider's key, under the name it knows the model by."""
    lines = mixed(40)
    batch, checked = customer.run(lines)
    assert checked.succeeded == 40
    served = {(key["provider"], key["sha256"]): key["requests"] for key in provider.stats()["keys"]}
    keys = {name: hashlib.sha256(f"local-{name}-key".encode()).hexdigest() for name in ("openai", "anthropic")}
    assert served == {("openai", keys["openai"]): 20, ("anthropic", keys["anthropic"]): 20}
    models = {result["response"]["body"]["model"] for result in customer.output(batch).values()}
    assert models == {"gpt-4.1", "claude-sonnet-4-5"}
    counts = provider.counts()
    sent = lines[1]["body"] | {"model": "claude-sonnet-4-5"}
    assert counts[request_hash(sent)].received == 1
    assert request_hash(lines[1]["body"]) not in counts
    row, _ = customer.rows(batch.id)
    assert {lane[0] for lane in row["plan"]["lanes"]} == {"openai", "anthropic"}


def test_one_provider_down_leaves_the_other_alone(customer: Customer, provider: SimulatedProvider) -> None:
    """A provider that refuses the deployment's key holds back its own items only; mended, they succeed."""
    provider.configure(keys={"anthropic": "another-key"})
    lines = mixed(10)
    batch = customer.submit(lines)

    def half_is_done() -> bool:
        counts = customer.openai.batches.retrieve(batch.id).request_counts
        return counts is not None and (counts.completed, counts.failed) == (5, 0)

    eventually(half_is_done, "the other provider's items are done")
    assert customer.openai.batches.retrieve(batch.id).status == "in_progress"
    provider.configure(keys={})
    ended = customer.wait(batch.id)
    checked = customer.check(ended, lines)
    assert (ended.status, checked.succeeded) == ("completed", 10)


def test_embeddings(customer: Customer, provider: SimulatedProvider) -> None:
    """The other documented endpoint; one model, so the status names it."""
    body = {"model": "openai/text-embedding-3-small", "input": "a text"}
    lines = [
        {
            "custom_id": f"r-{n}",
            "provider": "openai",
            "method": "POST",
            "url": EMBEDDINGS,
            "body": body | {"input": str(n)},
        }
        for n in range(4)
    ]
    batch, checked = customer.run(lines, EMBEDDINGS)
    assert (checked.succeeded, batch.model) == (4, "openai/text-embedding-3-small")
    Batch.model_validate(batch.to_dict())


def test_what_is_not_configured_fails_with_its_line(customer: Customer, provider: SimulatedProvider) -> None:
    """Unknown provider, unknown model, a provider that lacks the model or the endpoint, a line of another endpoint:
    each is reported with its line, and nothing runs."""
    lines = [
        line(0, "openai", "openai/gpt-4.1"),
        line(1, "nobody", "nobody/model"),
        line(2, "openai", "openai/no-such-model"),
        line(3, "openai", "anthropic/claude-4.5-sonnet"),
        line(4, "openai", "openai/gpt-4.1") | {"url": EMBEDDINGS},
        line(5, "openai", "openai/gpt-4.1") | {"method": "GET"},
        line(0, "openai", "openai/gpt-4.1"),
        line(7, "openai", "openai/gpt-4.1") | {"provider": 7},
    ]
    batch = customer.wait(customer.submit(lines).id)
    shown = Batch.model_validate(batch.to_dict())
    assert shown.status == "failed" and shown.failed_at is not None and shown.errors is not None
    assert {(error.line, error.code) for error in shown.errors.data} == {
        (2, "provider_not_found"),
        (3, "model_not_found"),
        (4, "model_not_found"),
        (5, "url_mismatch"),
        (6, "invalid_method"),
        (7, "duplicate_custom_id"),
        (8, "invalid_type"),
    }
    assert provider.stats()["requests"] == 0


def test_an_endpoint_that_a_provider_lacks(customer: Customer) -> None:
    """Anthropic has no embeddings: its items fail, with what to do, and those of others run."""
    models = {"anthropic": "anthropic/claude-4.5-sonnet", "openai": "openai/text-embedding-3-small"}
    wishes = [
        {"custom_id": name, "provider": name, "method": "POST", "url": EMBEDDINGS}
        | {"body": {"model": model, "input": "a"}}
        for name, model in models.items()
    ]
    batch, checked = customer.run(wishes, EMBEDDINGS)
    assert (batch.status, checked.succeeded, checked.codes) == ("completed", 1, {"400": 1})
    refused = customer.output(batch)["anthropic"]["response"]["body"]["error"]
    assert refused["code"] == "endpoint_not_supported" and EMBEDDINGS in refused["message"]


def test_the_uploads_url_is_where_the_bytes_are(customer: Customer) -> None:
    """It is a URI that gives them without a key, as NDJSON; the bucket itself stays closed."""
    content = jsonl(mixed(3))
    made = customer.openai.files.create(file=("sample.jsonl", content), purpose="batch").to_dict()
    url = str(made["url"])
    AnyUrl(url)
    reply = httpx.get(url)
    assert (reply.status_code, reply.content) == (200, content)
    assert reply.headers["content-type"] == "application/x-ndjson"
    assert httpx.get(url.partition("?")[0]).status_code == 403


def test_a_large_download_keeps_its_type(customer: Customer) -> None:
    """What comes by redirect is NDJSON, too."""
    content = jsonl([line(0, "openai", "openai/gpt-4.1", user="x" * 5_000_000)])
    upload = customer.openai.uploads.upload_file_chunked(
        file=content,
        filename="large.jsonl",
        bytes=len(content),
        mime_type="application/jsonl",
        purpose="batch",
        part_size=3_000_000,
    )
    assert upload.file is not None
    customer.openai.files.wait_for_processing(upload.file.id, poll_interval=0.2)
    url = f"{customer.cloud.api_url}/v1/files/{upload.file.id}/content"
    reply = httpx.get(url, headers={"Authorization": f"Bearer {customer.api_key}"})
    assert reply.status_code == 302
    followed = httpx.get(reply.headers["location"])
    assert (followed.headers["content-type"], len(followed.content)) == ("application/x-ndjson", len(content))


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"endpoint": "/v1/nothing"}, 400),
        ({"completion_window": "1h"}, 400),
        ({"metadata": "text"}, 400),
        ({"input_file_id": "file-abcdef12345"}, 404),
    ],
)
def test_errors_of_create(customer: Customer, change: dict[str, Any], status: int) -> None:
    """FastRouter's envelope: a code in words and the status as a number."""
    wish = {"input_file_id": customer.upload(jsonl(mixed(1))), "endpoint": CHAT, "completion_window": "24h"}
    headers = {"Authorization": f"Bearer {customer.api_key}"}
    reply = httpx.post(f"{customer.cloud.api_url}/v1/batches", json=wish | change, headers=headers)
    error = ErrorReply.model_validate(reply.json()).error
    assert (reply.status_code, error.status) == (status, status)
    assert error.code and error.message


def test_errors_of_upload(customer: Customer, cloud: LocalCloud) -> None:
    """401, 400 and 413 in the same envelope, also if API Gateway itself answers."""
    url = f"{cloud.api_url}/v1/files"
    headers = {"Authorization": f"Bearer {customer.api_key}"}
    replies = {
        401: httpx.post(url, files={"file": ("a.jsonl", b"{}")}),
        400: httpx.post(url, files={"file": ("a.txt", b"{}")}, headers=headers),
        413: httpx.post(url, files={"file": ("a.jsonl", b"x" * 11_000_000)}, headers=headers),
    }
    for status, reply in replies.items():
        error = ErrorReply.model_validate(reply.json()).error
        assert (reply.status_code, error.status) == (status, status)


def test_cancelled_and_deleted_as_at_openai(customer: Customer, provider: SimulatedProvider) -> None:
    """What FastRouter does not document works as OpenAI has it: cancel, list, delete."""
    provider.configure(latency_ms=400)
    batch = customer.wait(customer.submit(mixed(200)).id, frozenset({"in_progress"}))
    cancelled = customer.openai.batches.cancel(batch.id)
    assert Batch.model_validate(cancelled.to_dict()).status in ("cancelling", "cancelled")
    ended = customer.wait(batch.id)
    assert ended.status == "cancelled"
    customer.check(ended, mixed(200))
    assert [one.id for one in customer.openai.batches.list()] == [batch.id]
    assert customer.openai.files.delete(batch.input_file_id).deleted
    with pytest.raises(openai.NotFoundError):
        customer.openai.files.retrieve(batch.input_file_id)
