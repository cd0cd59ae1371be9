"""Batches through the handlers, driven by the openai SDK."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import openai
import pytest
from openai.types import Batch as BatchObject
from openai.types.batch_usage import BatchUsage

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.table import Key, Table
from batchyard.core.batches import Batch, BatchRef, Status
from batchyard.core.items import LineError
from batchyard.core.lanes import Lane
from batchyard.core.sharding import LaneShards, Plan
from batchyard.core.usage import Tally
from batchyard.handlers import resources
from tests.api.api import Cloud, Customer, jsonl

CHAT = "/v1/chat/completions"
PLAN = Plan("run", 10, 1, (LaneShards(Lane("openai", "gpt-4o-mini"), 0, 1, 10),), 128, False, None)


def create(customer: Customer, **changes: Any) -> BatchObject:
    if "input_file_id" not in changes:
        changes["input_file_id"] = customer.openai.files.create(file=jsonl(), purpose="batch").id
    return customer.openai.batches.create(
        **{"endpoint": CHAT, "completion_window": "24h"} | changes,
    )


def row(cloud: Cloud, customer: Customer, batch_id: str) -> Batch:
    found = Batches(cloud.table).get(BatchRef(customer.account_id, batch_id))
    assert found is not None
    return found


def body(customer: Customer, **changes: Any) -> dict[str, Any]:
    file = customer.openai.files.create(file=jsonl(), purpose="batch")
    return {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"} | changes


def test_a_new_batch_is_validating_and_its_execution_runs(cloud: Cloud, alice: Customer) -> None:
    """Create answers OpenAI's object with every field, and starts one execution that bears the batch's id."""
    made = create(alice, metadata={"job": "nightly"}, output_expires_after={"anchor": "created_at", "seconds": 7200})
    assert (made.status, made.endpoint, made.completion_window) == ("validating", CHAT, "24h")
    assert made.expires_at == made.created_at + 86_400
    assert made.metadata == {"job": "nightly"} and made.errors is None
    assert made.request_counts is not None and made.request_counts.total == 0
    assert cloud.started == [made.id]
    assert row(cloud, alice, made.id).output_expires_after_seconds == 7200
    raw = alice.http.get(f"/v1/batches/{made.id}").json()
    assert set(raw) == set(BatchObject.model_fields) | {"batch_id", "waiting_for", "lanes"}
    assert set(raw["usage"]) == set(BatchUsage.model_fields) | {"cost_usd", "realtime_cost_usd", "paid_by"}
    assert BatchObject.model_validate(raw, strict=True).id == made.id


@pytest.mark.parametrize(
    "endpoint",
    [
        *("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/moderations"),
        *("/v1/images/generations", "/v1/images/edits"),
    ],
)
def test_every_endpoint_is_taken(alice: Customer, endpoint: str) -> None:
    """Each of the endpoints that batches can be made for."""
    assert create(alice, endpoint=endpoint).endpoint == endpoint


def test_our_own_settings_are_kept(cloud: Cloud, alice: Customer) -> None:
    """`settings`, which OpenAI does not have, reach the batch; identical requests are sent each unless it says so."""
    made = row(cloud, alice, create(alice, extra_body={"settings": {"concurrency": 4}}).id)
    assert (made.concurrency, made.identical_once) == (4, False)
    other = row(cloud, alice, create(alice, extra_body={"settings": {"identical_once": True}}).id)
    assert (other.concurrency, other.identical_once) == (None, True)


@pytest.mark.parametrize(
    ("changes", "param", "code"),
    [
        ({"endpoint": None}, "endpoint", "invalid_value"),
        ({"endpoint": "/v1/videos"}, "endpoint", "invalid_value"),
        ({"completion_window": "48h"}, "completion_window", "invalid_value"),
        ({"completion_window": 24}, "completion_window", "invalid_value"),
        ({"input_file_id": 7}, "input_file_id", "invalid_type"),
        ({"input_file_id": ""}, "input_file_id", "invalid_value"),
        ({"metadata": {"a": 1}}, "metadata.a", "invalid_type"),
        ({"metadata": [1]}, "metadata", "invalid_type"),
        ({"metadata": {"": "x"}}, "metadata.", "invalid_value"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "metadata", "invalid_value"),
        ({"metadata": {"k" * 65: "x"}}, "metadata." + "k" * 64, "invalid_value"),
        ({"metadata": {"k": "x" * 513}}, "metadata.k", "invalid_value"),
        ({"output_expires_after": {"anchor": "now", "seconds": 3600}}, "output_expires_after.anchor", "invalid_value"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, "output_expires_after.seconds", None),
        ({"output_expires_after": {"seconds": 3600}}, "output_expires_after.anchor", "missing_required_parameter"),
        ({"settings": {"concurrency": 0}}, "settings.concurrency", "invalid_value"),
        ({"settings": {"identical_once": "yes"}}, "settings.identical_once", None),
        ({"endpont": CHAT}, "endpont", "unknown_parameter"),
    ],
)
def test_a_bad_field_is_refused(cloud: Cloud, alice: Customer, changes: Any, param: str, code: str | None) -> None:
    """Each field has its rules; the error names the field, and nothing is made or started."""
    reply = alice.http.post("/v1/batches", json=body(alice, **changes))
    error = reply.json()["error"]
    assert (reply.status_code, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert code is None or error["code"] == code
    assert alice.openai.batches.list().data == [] and cloud.started == []


@pytest.mark.parametrize("field", ["input_file_id", "endpoint", "completion_window"])
def test_a_missing_field_is_named(alice: Customer, field: str) -> None:
    """As OpenAI says it."""
    sent = body(alice)
    del sent[field]
    error = alice.http.post("/v1/batches", json=sent).json()["error"]
    assert (error["message"], error["code"]) == (
        f"Missing required parameter: '{field}'.",
        "missing_required_parameter",
    )


def test_the_input_file_has_to_be_there(alice: Customer, mallory: Customer) -> None:
    """No such file, a deleted one, another account's, one that is no id: 404 about input_file_id."""
    deleted = alice.openai.files.create(file=jsonl(), purpose="batch").id
    alice.openai.files.delete(deleted)
    foreign = mallory.openai.files.create(file=jsonl(), purpose="batch").id
    for file_id in (deleted, foreign, "file-" + "0" * 26, "file-nope", "../x"):
        with pytest.raises(openai.NotFoundError) as caught:
            create(alice, input_file_id=file_id)
        assert caught.value.param == "input_file_id"


def test_the_input_file_has_to_be_for_batches(alice: Customer) -> None:
    """A file with another purpose is a 400 that says which purpose it takes."""
    file = alice.openai.files.create(file=jsonl(), purpose="user_data")
    with pytest.raises(openai.BadRequestError, match="purpose 'batch'"):
        create(alice, input_file_id=file.id)


def test_the_input_files_bytes_have_to_be_there(alice: Customer) -> None:
    """If a presigned upload never happened, the reply says so at once, and what to do."""
    made = alice.http.post("/v1/files/presigned", json={"filename": "big.jsonl"}).json()
    with pytest.raises(openai.BadRequestError, match="PUT its bytes"):
        create(alice, input_file_id=made["file"]["id"])


def test_an_idempotency_key_makes_one_batch(cloud: Cloud, alice: Customer, mallory: Customer) -> None:
    """The same key with the same request is the same batch, even after its input is deleted; another request with it
    is a conflict that SDKs are asked not to repeat; another account's key is its own."""
    file = alice.openai.files.create(file=jsonl(), purpose="batch")
    key = {"Idempotency-Key": "job-7"}
    first = create(alice, input_file_id=file.id, extra_headers=key)
    alice.openai.files.delete(file.id)
    assert create(alice, input_file_id=file.id, extra_headers=key).id == first.id
    with pytest.raises(openai.ConflictError) as caught:
        create(alice, input_file_id=file.id, metadata={"a": "b"}, extra_headers=key)
    assert caught.value.code == "idempotency_key_reused"
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert create(mallory, extra_headers=key).id != first.id
    assert len(alice.openai.batches.list().data) == 1


def test_creating_twice_at_once_makes_one_batch(cloud: Cloud, alice: Customer) -> None:
    """Eight callers with one key: one batch, one execution, the same answer for all."""
    sent = body(alice)

    def post(_: int) -> str:
        reply = alice.http.post("/v1/batches", json=sent, headers={"idempotency-key": "k"})
        assert reply.status_code == 200, reply.text
        return str(reply.json()["id"])

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(post, range(8)))
    assert len(ids) == 1 and cloud.started == list(ids)
    assert [batch.id for batch in alice.openai.batches.list()] == list(ids)


def test_a_batch_whose_start_failed_is_answered(cloud: Cloud, alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch is written but its execution does not start: no error that would make an SDK create a second batch;
    Sweep starts it, and so does the same request with the same key."""
    sent = body(alice)
    with monkeypatch.context() as broken:
        broken.setattr("batchyard.adapters.aws.workflow.Workflow.start", _dies)
        first = alice.http.post("/v1/batches", json=sent, headers={"idempotency-key": "k"})
        assert (first.status_code, first.json()["status"]) == (200, "validating") and cloud.started == []
    assert [each.ref.batch_id for each in Batches(cloud.table).open.oldest()] == [first.json()["id"]]
    again = alice.http.post("/v1/batches", json=sent, headers={"idempotency-key": "k"})
    assert again.json()["id"] == first.json()["id"] and cloud.started == [first.json()["id"]]


def _dies(*_: object, **__: object) -> None:
    raise OSError("the connection broke")


def test_without_a_key_each_request_is_a_batch(alice: Customer) -> None:
    """Two equal requests without a key are two batches, as at OpenAI."""
    sent = body(alice)
    ids = {alice.http.post("/v1/batches", json=sent).json()["id"] for _ in range(2)}
    assert len(ids) == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "clé"])
def test_a_bad_idempotency_key_is_refused(alice: Customer, key: str) -> None:
    """Empty, too long, or not ASCII."""
    headers = {"idempotency-key": key.encode()}
    reply = alice.http.post("/v1/batches", json=body(alice), headers=headers)  # type: ignore[arg-type]
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "Idempotency-Key")


def test_lists_page_newest_first(alice: Customer) -> None:
    """The SDK's own paging visits every batch once."""
    sent = body(alice)
    ids = [alice.http.post("/v1/batches", json=sent).json()["id"] for _ in range(5)]
    listed = [batch.id for batch in alice.openai.batches.list(limit=2)]
    assert sorted(listed, reverse=True) == listed and set(listed) == set(ids)
    page = alice.http.get("/v1/batches", params={"limit": 2, "after": listed[1]}).json()
    assert (page["first_id"], page["last_id"], page["has_more"]) == (listed[2], listed[3], True)
    end = alice.http.get("/v1/batches", params={"after": listed[4]}).json()
    assert end == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


def test_a_list_never_outgrows_a_reply(cloud: Cloud, alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of batches with as many and as long errors as there can be, a page of a hundred would have 11 MB: it ends before
    Lambda would refuse it, and none is lost between pages."""
    monkeypatch.setattr("batchyard.handlers.pages._REPLY_BYTES", 500_000)
    errors = tuple(LineError("provider_not_found", "貓" * 500, line, "provider") for line in range(1, 51))
    for number in range(12):
        batch = Batch(
            id=f"batch_{number:026d}",
            account_id=alice.account_id,
            surface="openai",
            endpoint=CHAT,
            input_file_id="file-1",
            completion_window="24h",
            status=Status.FAILED,
            created_at=number,
            expires_at=number + 86_400,
            metadata={f"{name:064d}": '"' * 512 for name in range(16)},
            errors=errors,
        )
        cloud.table.put(Key(f"account#{alice.account_id}", f"batch#{batch.id}"), batch.to_row())
    page = alice.http.get("/v1/batches")
    assert page.json()["has_more"] and len(json.dumps(page.text, ensure_ascii=False).encode()) < 500_000
    assert len([batch.id for batch in alice.openai.batches.list()]) == 12


@pytest.mark.parametrize(
    ("query", "param"), [("limit=0", "limit"), ("limit=101", "limit"), ("limit=", None), ("after=batch_x", "after")]
)
def test_a_bad_query_is_refused(alice: Customer, query: str, param: str | None) -> None:
    """OpenAI's bounds for batches are narrower than for files."""
    reply = alice.http.get(f"/v1/batches?{query}")
    assert reply.status_code == (400 if param else 200)
    assert param is None or reply.json()["error"]["param"] == param


def test_a_new_batch_can_be_read_at_once(alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads that DynamoDB may answer from a copy that lags could miss a batch that was just made: an SDK that polls it
    would raise for a 404. And one that has ended could seem to run again."""
    read = Table.get

    def get(table: Table, key: Key, *, consistent: bool = False) -> Any:
        lags = key.sk.startswith("batch#") and not consistent
        return None if lags else read(table, key, consistent=consistent)

    monkeypatch.setattr(Table, "get", get)
    made = create(alice)
    assert alice.openai.batches.retrieve(made.id) == made
    assert alice.http.get(f"/v1/batches/{made.id}/output").json()["error"]["code"] == "output_not_ready"


def test_counts_and_usage_are_live(cloud: Cloud, alice: Customer) -> None:
    """While a batch runs, its counts and tokens are those of the shards settled so far."""
    made = create(alice)
    batch = Batches(cloud.table).set_plan(row(cloud, alice, made.id), PLAN, "gpt-4o-mini", 5)
    tally = Tally(succeeded=6, failed=1, input_tokens=70, cached_tokens=10, output_tokens=30, reasoning_tokens=3)
    resources.stores().progress.take(batch.id, 0, replace(tally, cost_picousd=1_500_000_000), PLAN.progress_rows)
    live = alice.openai.batches.retrieve(made.id)
    assert live.status == "in_progress" and live.in_progress_at == 5 and live.model == "gpt-4o-mini"
    counts, usage = live.request_counts, live.usage
    assert counts is not None and (counts.total, counts.completed, counts.failed) == (10, 6, 1)
    assert usage is not None and (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (70, 30, 100)
    assert usage.input_tokens_details.cached_tokens == 10 and usage.output_tokens_details.reasoning_tokens == 3
    assert usage.to_dict()["cost_usd"] == "0.001500"


def test_line_errors_are_shown(cloud: Cloud, alice: Customer) -> None:
    """A failed batch has OpenAI's list of errors, and is listed with them."""
    made = create(alice)
    errors = (LineError("invalid_json_line", "This line …", 7, None), LineError("empty_file", "Empty.", None, None))
    Batches(cloud.table).finish(row(cloud, alice, made.id), Status.FAILED, 9, errors=errors)
    failed = alice.openai.batches.retrieve(made.id)
    assert (failed.status, failed.failed_at) == ("failed", 9)
    assert failed.errors is not None and failed.errors.data is not None
    assert [(e.code, e.line) for e in failed.errors.data] == [("invalid_json_line", 7), ("empty_file", None)]


def test_a_cancel_wakes_the_execution(cloud: Cloud, alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancel answers `cancelling`, wakes the execution that waits on the task token, and may be repeated."""
    woken: list[tuple[str, str]] = []
    monkeypatch.setattr(
        "batchyard.adapters.aws.workflow.Workflow.wake", lambda self, token, ending: woken.append((token, ending))
    )
    made = create(alice)
    batches = Batches(cloud.table)
    batches.set_task_token(batches.set_plan(row(cloud, alice, made.id), PLAN, None, 5), "token")
    first = alice.openai.batches.cancel(made.id)
    assert first.status == "cancelling" and first.cancelling_at is not None
    again = alice.openai.batches.cancel(made.id)
    assert again.cancelling_at == first.cancelling_at
    assert woken == [("token", "cancelled")] * 2


def test_a_validating_batch_can_be_cancelled(alice: Customer) -> None:
    """Before there is a token to wake, the row alone stops the batch."""
    assert alice.openai.batches.cancel(create(alice).id).status == "cancelling"


@pytest.mark.parametrize("status", [Status.FINALIZING, Status.COMPLETED, Status.FAILED, Status.EXPIRED])
def test_what_is_over_cannot_be_cancelled(cloud: Cloud, alice: Customer, status: Status) -> None:
    """A batch that is finalizing or ended is a conflict that names its status; nothing about it moves."""
    made = create(alice)
    batches = Batches(cloud.table)
    batch = row(cloud, alice, made.id)
    if status in (Status.FINALIZING, Status.COMPLETED):
        batch = batches.enter(batches.set_plan(batch, PLAN, None, 5), Status.FINALIZING, 6)
    if status is not Status.FINALIZING:
        batches.finish(batch, status, 9)
    before = alice.openai.batches.retrieve(made.id)
    with pytest.raises(openai.ConflictError, match=f"Cannot cancel a batch with status '{status}'"):
        alice.openai.batches.cancel(made.id)
    assert alice.openai.batches.retrieve(made.id) == before


def test_cancelling_what_is_cancelled_changes_nothing(cloud: Cloud, alice: Customer) -> None:
    """The batch is as the caller wants it: 200."""
    made = create(alice)
    alice.openai.batches.cancel(made.id)
    Batches(cloud.table).finish(row(cloud, alice, made.id), Status.CANCELLED, int(time.time()))
    assert alice.openai.batches.cancel(made.id).status == "cancelled"


def test_another_account_has_no_such_batch(cloud: Cloud, alice: Customer, mallory: Customer) -> None:
    """A foreign batch is a 404 to read and to cancel, is in no list, and is no place to page from."""
    made = create(alice)
    for attempt in (mallory.openai.batches.retrieve, mallory.openai.batches.cancel):
        with pytest.raises(openai.NotFoundError):
            attempt(made.id)
    assert mallory.openai.batches.list().data == []
    assert mallory.openai.batches.list(after=made.id).data == []
    assert row(cloud, alice, made.id).status is Status.VALIDATING
