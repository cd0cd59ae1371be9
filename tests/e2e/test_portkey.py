"""Portkey's clients: the openai SDK with its headers and curl, batches on the caller's own provider key, and that key,
which is nowhere in clear but at the provider."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import httpx
import openai
import pytest
from botocore.exceptions import ClientError
from pydantic import BaseModel, ConfigDict

from batchyard.adapters.aws.table import Key, Table
from batchyard.adapters.catalogue import load_providers
from local.cloud import LocalCloud
from local.options import realtime_only
from local.provider import SimulatedProvider
from tests.customer import CHAT, Customer, chat_line, eventually, jsonl
from tests.e2e.recorder import Recorder

KEY = "sk-callers-own-5Zq8vT3nXw7LmR2p"
OTHER_KEY = "sk-another-callers-9Kd4bH6sYe1JuF0c"
INLINE_BYTES = 20_000


class Strict(BaseModel):
    """Every documented field is required; any other is an error, unless it is OpenAI's and stands below as such."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Error(Strict):
    code: str
    message: str
    param: str | None
    line: int | None


class Errors(Strict):
    object: Literal["list"]
    data: list[Error]


class Wait(Strict):
    provider: str
    model: str
    state: Literal["blocked", "trouble", "queued", "throttled"]
    since: int | None
    message: str


class Batch(Strict):
    id: str
    object: Literal["batch"]
    endpoint: Literal["/v1/chat/completions", "/v1/completions", "/v1/embeddings"]
    errors: Errors | None
    input_file_id: str
    completion_window: Literal["24h", "immediate"]
    status: Literal[
        "validating", "in_progress", "finalizing", "completed", "failed", "cancelled", "cancelling", "expired"
    ]
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    completed_at: int | None
    metadata: dict[str, str] | None
    # OpenAI's
    batch_id: str
    model: str | None
    expires_at: int
    finalizing_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: dict[str, int]
    usage: dict[str, Any]
    # Batchyard's
    waiting_for: list[Wait] | None
    lanes: list[dict[str, Any]] | None


class BatchList(Strict):
    object: Literal["list"]
    data: list[Batch]
    first_id: str | None
    last_id: str | None
    has_more: bool


class Caller:
    """A customer who brings a provider key."""

    def __init__(self, customer: Customer, key: str = KEY, provider: str = "openai") -> None:
        self.customer = customer
        self.headers = {"x-portkey-api-key": customer.api_key, "x-portkey-provider": provider}
        self.openai = openai.OpenAI(
            base_url=f"{customer.cloud.api_url}/v1",
            api_key=key,
            default_headers=self.headers,
            max_retries=0,
            timeout=300,
        )
        self.http = httpx.Client(
            base_url=f"{customer.cloud.api_url}/v1",
            headers=self.headers | {"Authorization": f"Bearer {key}"},
            timeout=300,
        )

    def submit(self, lines: list[dict[str, Any]], window: str = "24h", *, endpoint: str = CHAT, **options: Any) -> str:
        file = self.openai.files.create(file=("requests.jsonl", jsonl(lines)), purpose="batch")
        made = self.openai.batches.create(
            input_file_id=file.id,
            endpoint=endpoint,  # type: ignore[arg-type]
            completion_window=window,  # type: ignore[arg-type]
            **options,
        )
        return made.id

    def close(self) -> None:
        self.openai.close()
        self.http.close()


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.close()


@pytest.fixture(scope="module")
def cloud(simulator: SimulatedProvider, recorder: Recorder) -> Iterator[LocalCloud]:
    """A cloud of its own, whose functions call AWS through the recorder."""
    environment = realtime_only() | {
        "AWS_ENDPOINT_URL": recorder.url,
        "work.PROVIDER_URLS": json.dumps({each.name: simulator.url_of(each.name) for each in load_providers()}),
        "batches.MAX_INLINE_DOWNLOAD_BYTES": str(INLINE_BYTES),
    }
    options: dict[str, Any] = {"environment": environment, "account": None, "preload": True}
    with LocalCloud(provider_url=simulator.url, **options) as cloud:
        recorder.upstream = cloud.aws_endpoint
        yield cloud


@pytest.fixture
def caller(customer: Customer) -> Iterator[Caller]:
    caller = Caller(customer)
    yield caller
    caller.close()


@pytest.fixture
def callers(customer: Customer) -> Iterator[Callable[..., Caller]]:
    """Makes callers with other keys and providers."""
    made: list[Caller] = []

    def make(*arguments: Any) -> Caller:
        made.append(Caller(*arguments))
        return made[-1]

    yield make
    for each in made:
        each.close()


def sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def keys_used(provider: SimulatedProvider) -> dict[tuple[str, str], int]:
    """(provider, SHA-256 of the key) -> calls."""
    return {(key["provider"], key["sha256"]): key["requests"] for key in provider.stats()["keys"]}


def stored_key(customer: Customer, batch_id: str) -> dict[str, Any] | None:
    table = Table(customer.cloud.client("dynamodb"), customer.cloud.table_name)
    return table.get(Key(f"batch#{batch_id}", "caller-key"), consistent=True)


def forms_of(secret: bytes) -> tuple[bytes, ...]:
    """How bytes look in text, base64 (at any offset) and addresses."""
    encoded = (base64.b64encode(b"\0" * shift + secret)[4:-4] for shift in range(3))
    return (secret, quote(secret).encode(), json.dumps(secret.decode("latin-1")).encode()[1:-1], *encoded)


def holds(data: bytes, secret: bytes) -> bool:
    return any(form in data for form in forms_of(secret))


def everything_stored(cloud: LocalCloud) -> Iterator[tuple[str, bytes]]:
    """(where, bytes) of every row, object, execution with its history, message and log of the local cloud."""
    for page in cloud.client("dynamodb").get_paginator("scan").paginate(TableName=cloud.table_name):
        for row in page["Items"]:
            yield f"row {row['pk']['S']} {row['sk']['S']}", _text(row)
    s3 = cloud.client("s3")
    for bucket in (cloud.data_bucket, cloud.drop_bucket):
        for each in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
            yield f"object {each['Key']}", s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read()
    states = cloud.client("stepfunctions")
    for machine in cloud.state_machines:
        for execution in states.list_executions(stateMachineArn=machine)["executions"]:
            arn = execution["executionArn"]
            yield f"execution {execution['name']}", _text(states.describe_execution(executionArn=arn))
            pages = states.get_paginator("get_execution_history").paginate(executionArn=arn)
            yield f"history {execution['name']}", b"".join(_text(page["events"]) for page in pages)
    sqs = cloud.client("sqs")
    for url in sqs.list_queues().get("QueueUrls", []):
        for message in sqs.receive_message(QueueUrl=url, VisibilityTimeout=0, MaxNumberOfMessages=10).get(
            "Messages", []
        ):
            yield f"message of {url}", _text(message)
    for path in [*Path(cloud.logs).rglob("*"), *cloud.folder.glob("*")]:
        if path.is_file():
            yield f"file {path.name}", path.read_bytes()


def _text(value: Any) -> bytes:
    return json.dumps(
        value, default=lambda each: each.decode("latin-1") if isinstance(each, bytes) else str(each)
    ).encode()


def test_the_key_is_nowhere_in_clear_and_nowhere_at_all_afterwards(
    caller: Caller, cloud: LocalCloud, recorder: Recorder, provider: SimulatedProvider
) -> None:
    """While the batch runs: in no row, object, history, message, log, and in no AWS call but KMS's own. Afterwards its
    ciphertext is gone, too. The calls were made with it, and with no other key."""
    provider.configure(latency_ms=3000)
    recorder.calls.clear()
    batch_id = caller.submit([chat_line(number) for number in range(300)], "immediate", metadata={"job": "secret"})
    eventually(lambda: provider.stats()["requests"] > 0, "the first calls")
    row = stored_key(caller.customer, batch_id)
    assert row is not None
    ciphertext = bytes(row["ciphertext"])
    found = dict(everything_stored(cloud))
    assert caller.customer.openai.batches.retrieve(batch_id).status == "in_progress", "looked too late"
    assert {place.partition(" ")[0] for place in found} >= {"row", "object", "execution", "history", "file"}
    assert any(b"caller_pays" in data for data in found.values()), "the look does not reach what it should"
    assert [place for place, data in found.items() if holds(data, KEY.encode())] == []
    provider.configure(latency_ms=0)
    ended = caller.customer.wait(batch_id)
    assert (ended.status, ended.request_counts and ended.request_counts.completed) == ("completed", 300)
    assert keys_used(provider) == {("openai", sha256(KEY)): 300}

    sent = [call for call in recorder.calls if holds(call.request, KEY.encode())]
    assert [call.operation for call in sent] == ["Encrypt"]
    assert {call.operation for call in recorder.calls if holds(call.response, KEY.encode())} == {"Decrypt"}
    assert {"SendMessageBatch", "StartExecution", "TransactWriteItems"} <= {call.operation for call in recorder.calls}
    assert any(b"caller_pays" in call.request for call in recorder.calls if call.operation == "SendMessageBatch")

    assert stored_key(caller.customer, batch_id) is None
    for place, data in everything_stored(cloud):
        assert not holds(data, KEY.encode()), place
        assert not holds(data, ciphertext[-40:]), place


def test_the_search_finds_what_is_there(caller: Caller, cloud: LocalCloud) -> None:
    """A canary: what really is stored is found, in whatever form."""
    marker = "zebra-4711-crossing"
    batch_id = caller.submit([chat_line(0)], metadata={"marker": marker})
    caller.customer.wait(batch_id)
    assert [place for place, data in everything_stored(cloud) if holds(data, marker.encode())]
    for shift in range(3):
        assert holds(base64.b64encode(b"x" * shift + marker.encode() + b"yy"), marker.encode())


def test_the_documented_flow(caller: Caller, provider: SimulatedProvider) -> None:
    """Upload, create, poll, list, output and error file, all through the SDK with Portkey's headers."""
    lines = [chat_line(number, "status:400" if number == 3 else None) for number in range(8)]
    batch_id = caller.submit(lines, metadata={"team": "search"})
    ended = caller.customer.wait(batch_id)
    shown = Batch.model_validate(caller.http.get(f"/batches/{batch_id}").json())
    assert (shown.status, shown.completion_window, shown.metadata) == ("completed", "24h", {"team": "search"})
    assert shown.usage["paid_by"] == "caller" and float(shown.usage["cost_usd"]) > 0
    assert caller.customer.check(ended, lines).failed == 1
    output = caller.http.get(f"/batches/{batch_id}/output")
    assert (output.status_code, output.headers["content-type"]) == (200, "application/x-ndjson")
    assert output.content == caller.openai.files.content(str(shown.output_file_id)).read()
    assert caller.openai.files.content(str(shown.error_file_id)).read().count(b"\n") == 1
    assert caller.customer.openai.batches.retrieve(batch_id) == caller.openai.batches.retrieve(batch_id)


def test_curl(caller: Caller, tmp_path: Path, provider: SimulatedProvider) -> None:
    """The documented create, as a command line."""
    file_id = caller.openai.files.create(file=("a.jsonl", jsonl([chat_line(0)])), purpose="batch").id
    wish = {
        "input_file_id": file_id,
        "endpoint": CHAT,
        "completion_window": "24h",
        "metadata": {"description": "nightly"},
    }
    command = ["curl", "--silent", "--fail-with-body", "-X", "POST", f"{caller.customer.cloud.api_url}/v1/batches"]
    for name, value in caller.headers.items():
        command += ["-H", f"{name}: {value}"]
    command += ["-H", f"Authorization: Bearer {KEY}", "-H", "Content-Type: application/json", "-d", json.dumps(wish)]
    done = subprocess.run(command, capture_output=True, timeout=60, cwd=tmp_path)
    made = Batch.model_validate_json(done.stdout)
    assert (made.status, made.metadata) == ("validating", {"description": "nightly"})
    assert caller.customer.wait(made.id).status == "completed"
    follow = [
        "curl",
        "--silent",
        "--fail-with-body",
        "-L",
        f"{caller.customer.cloud.api_url}/v1/batches/{made.id}/output",
    ]
    follow += ["-H", f"x-portkey-api-key: {caller.customer.api_key}"]
    done = subprocess.run(follow, capture_output=True, timeout=60, cwd=tmp_path)
    assert json.loads(done.stdout)["response"]["status_code"] == 200


def test_a_large_output_comes_by_redirect(caller: Caller, provider: SimulatedProvider) -> None:
    """302 to the storage, which gives the same bytes without a key."""
    batch_id = caller.submit([chat_line(number) for number in range(100)], "immediate")
    ended = caller.customer.wait(batch_id)
    reply = caller.http.get(f"/batches/{batch_id}/output")
    assert reply.status_code == 302
    content = httpx.get(reply.headers["location"])
    assert content.headers["content-type"] == "application/x-ndjson"
    assert content.content == caller.customer.files(ended)[0]
    assert len(content.content) > INLINE_BYTES


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/completions", {"model": "gpt-3.5-turbo-instruct", "prompt": "Say it."}),
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": "a text"}),
    ],
)
def test_the_other_endpoints(caller: Caller, provider: SimulatedProvider, endpoint: str, body: dict[str, Any]) -> None:
    """Completions and embeddings run like chat completions, on the caller's key."""
    lines = [
        {"custom_id": f"r-{n}", "method": "POST", "url": endpoint, "body": body | {"user": str(n)}} for n in range(3)
    ]
    ended = caller.customer.wait(caller.submit(lines, endpoint=endpoint))
    assert caller.customer.check(ended, lines).succeeded == 3
    assert keys_used(provider) == {("openai", sha256(KEY)): 3}


def test_a_missing_output_is_explained(caller: Caller, provider: SimulatedProvider) -> None:
    """409 while the batch runs, 404 if nothing succeeded; each says what to do."""
    provider.configure(latency_ms=1000)
    batch_id = caller.submit([chat_line(0, "status:400")])
    early = caller.http.get(f"/batches/{batch_id}/output")
    assert (early.status_code, early.json()["error"]["code"]) == (409, "output_not_ready")
    ended = caller.customer.wait(batch_id)
    late = caller.http.get(f"/batches/{batch_id}/output")
    assert (late.status_code, late.json()["error"]["code"]) == (404, "no_output")
    assert str(ended.error_file_id) in late.json()["error"]["message"]


def test_each_callers_key_is_used_for_its_own_batch_only(
    caller: Caller, stranger: Customer, callers: Callable[..., Caller], provider: SimulatedProvider
) -> None:
    """Two accounts with a key each and a batch on the deployment's key, at once, at one provider."""
    other, kept = callers(stranger, OTHER_KEY), callers(caller.customer, "unused", "@openai")
    batches = [
        (caller.customer, caller.submit([chat_line(number) for number in range(40)])),
        (stranger, other.submit([chat_line(number) for number in range(100, 130)])),
        (caller.customer, kept.submit([chat_line(number) for number in range(200, 220)])),
    ]
    for customer, batch_id in batches:
        assert customer.wait(batch_id).status == "completed"
        assert stored_key(customer, batch_id) is None
    assert keys_used(provider) == {
        ("openai", sha256(KEY)): 40,
        ("openai", sha256(OTHER_KEY)): 30,
        ("openai", sha256("local-openai-key")): 20,
    }


def test_the_header_decides_where_items_go(
    callers: Callable[..., Caller], customer: Customer, provider: SimulatedProvider
) -> None:
    """Every item goes to the provider of the header, though another would serve it; a line that wants another one, or
    a model it does not have, fails with its number."""
    groq = callers(customer, KEY, "groq")
    model = "openai/gpt-oss-120b"
    assert customer.wait(groq.submit([chat_line(number, model=model) for number in range(5)])).status == "completed"
    assert keys_used(provider) == {("groq", sha256(KEY)): 5}
    lines = [chat_line(0, model=model), chat_line(1), chat_line(2, model=model) | {"provider": "openai"}]
    failed = customer.wait(groq.submit(lines))
    assert failed.errors is not None
    assert [(error.line, error.code) for error in failed.errors.data or []] == [
        (2, "model_not_found"),
        (3, "provider_mismatch"),
    ]
    assert stored_key(customer, failed.id) is None


def test_a_refused_key_ends_as_item_errors(caller: Caller, provider: SimulatedProvider) -> None:
    """The provider's 401 is in the error file, for each item once; the batch is completed and the key gone."""
    provider.configure(keys={"openai": "quite another key"})
    lines = [chat_line(number) for number in range(6)]
    batch_id = caller.submit(lines)
    ended = caller.customer.wait(batch_id)
    checked = caller.customer.check(ended, lines)
    assert (ended.status, ended.output_file_id, checked.codes) == ("completed", None, {"401": 6})
    assert stored_key(caller.customer, batch_id) is None


def test_a_cancelled_batch_forgets_its_key(caller: Caller, provider: SimulatedProvider) -> None:
    """Cancel keeps what is done, and not the key."""
    provider.configure(latency_ms=500)
    lines = [chat_line(number) for number in range(600)]
    batch_id = caller.submit(lines)
    caller.customer.wait(batch_id, frozenset({"in_progress"}))
    assert stored_key(caller.customer, batch_id) is not None
    cancelled = caller.http.post(f"/batches/{batch_id}/cancel")
    assert Batch.model_validate(cancelled.json()).status == "cancelling"
    ended = caller.customer.wait(batch_id)
    assert ended.status == "cancelled"
    caller.customer.check(ended, lines)
    assert stored_key(caller.customer, batch_id) is None


def test_an_expired_batch_forgets_its_key(caller: Caller, cloud: LocalCloud, provider: SimulatedProvider) -> None:
    """The end of the window is an end like any other. (The window is cut short before Validate reads it.)"""
    provider.configure(latency_ms=30_000)
    fault = cloud.fail("validate", operation="GetItem", when="late", hold_seconds=5)
    batch_id = caller.submit([chat_line(0)])
    table = Table(cloud.client("dynamodb"), cloud.table_name)
    key = Key(f"account#{caller.customer.account_id}", f"batch#{batch_id}")
    table.update(key, set={"expires_at": int(time.time()) + 8})
    assert caller.customer.wait(batch_id).status == "expired"
    assert cloud.unfail(fault)["fired"] == 1
    assert stored_key(caller.customer, batch_id) is None


def test_a_ciphertext_is_good_for_its_own_batch_only(
    caller: Caller, cloud: LocalCloud, provider: SimulatedProvider
) -> None:
    """KMS refuses it in another batch's context, in another account's, and without one."""
    provider.configure(latency_ms=1000)
    batch_id = caller.submit([chat_line(number) for number in range(3)])
    row = stored_key(caller.customer, batch_id)
    assert row is not None
    kms = cloud.client("kms")
    right = {"account_id": caller.customer.account_id, "batch_id": batch_id}
    assert kms.decrypt(CiphertextBlob=row["ciphertext"], EncryptionContext=right)["Plaintext"] == KEY.encode()
    for wrong in ({}, right | {"batch_id": "batch_other"}, right | {"account_id": "acct_other"}):
        with pytest.raises(ClientError):
            kms.decrypt(CiphertextBlob=row["ciphertext"], EncryptionContext=wrong)
    assert caller.customer.wait(batch_id).status == "completed"


def test_lists_page_as_documented(caller: Caller, provider: SimulatedProvider) -> None:
    """`limit` from 1 to 100, 20 by default, `after` an id; newest first."""
    file_id = caller.openai.files.create(file=("a.jsonl", jsonl([chat_line(0)])), purpose="batch").id
    made = [
        caller.openai.batches.create(input_file_id=file_id, endpoint=CHAT, completion_window="24h").id for _ in range(3)
    ]
    first = BatchList.model_validate(caller.http.get("/batches", params={"limit": 2}).json())
    assert ([one.id for one in first.data], first.has_more) == (made[:0:-1], True)
    rest = BatchList.model_validate(caller.http.get("/batches", params={"limit": 2, "after": first.last_id}).json())
    assert ([one.id for one in rest.data], rest.has_more) == (made[:1], False)
    for limit in ("0", "101", "x"):
        assert caller.http.get("/batches", params={"limit": limit}).status_code == 400
    for batch_id in made:
        caller.customer.wait(batch_id)


def test_who_calls_and_who_pays_are_two_things(
    caller: Caller, customer: Customer, callers: Callable[..., Caller]
) -> None:
    """Without our key nobody gets in, whatever the provider key; an unknown provider is a 400."""
    for key in ("", "by_live_nobody"):
        reply = caller.http.get("/batches", headers={"x-portkey-api-key": key})
        assert reply.status_code == 401
    with pytest.raises(openai.BadRequestError) as caught:
        callers(customer, KEY, "nobody").submit([chat_line(0)])
    assert caught.value.code == "provider_not_found"
    assert KEY not in str(caught.value)


def test_no_grant_was_missing(cloud: LocalCloud) -> None:
    """All of the above ran with each function's own role."""
    assert cloud.denials() == []
