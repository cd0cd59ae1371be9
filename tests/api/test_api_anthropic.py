"""Anthropic's surface through the handlers, on moto: a batch from its creation to its deletion, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.files import Files
from batchyard.adapters.aws.progress import Progress
from batchyard.adapters.aws.shards import Shards
from batchyard.core.batches import BatchRef, Status
from batchyard.core.files import FileRef
from batchyard.core.keys import part_key, part_prefix, work_prefix
from batchyard.core.parts import encode_part
from batchyard.core.results import Outcome, Result, failed, tally
from batchyard.core.sharding import Plan
from batchyard.handlers import finalize, notify, sweep, validate
from tests.api.api import Cloud, Customer
from tests.api.gateway import STAGE, Context, Gateway

NOW = 1_790_000_000
VERSION = {"anthropic-version": "2023-06-01"}
MESSAGE = b'{"id":"msg_1","type":"message","role":"assistant","content":[]}'
PATH = "/v1/messages/batches"


def wanted(*custom_ids: str, **params: Any) -> list[dict[str, Any]]:
    body = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]} | params
    return [{"custom_id": custom_id, "params": body} for custom_id in custom_ids]


def ask(customer: Customer, method: str, path: str = "", **options: Any) -> httpx.Response:
    """With x-api-key, as Anthropic's SDKs send it, and not as a bearer token."""
    headers = VERSION | {"x-api-key": customer.key, "authorization": ""} | options.pop("headers", {})
    return customer.http.request(method, PATH + path, headers=headers, **options)


def create(customer: Customer, *custom_ids: str, **params: Any) -> dict[str, Any]:
    reply = ask(customer, "POST", json={"requests": wanted(*custom_ids, **params)})
    assert reply.status_code == 200, reply.text
    made: dict[str, Any] = reply.json()
    return made


def look(customer: Customer, batch_id: str) -> dict[str, Any]:
    reply = ask(customer, "GET", f"/{batch_id}")
    assert reply.status_code == 200, reply.text
    shown: dict[str, Any] = reply.json()
    return shown


def ours(shown_id: str) -> str:
    return shown_id.removeprefix("msg")


def step_event(customer: Customer, shown_id: str) -> dict[str, Any]:
    return {"account_id": customer.account_id, "batch_id": ours(shown_id)}


def work(cloud: Cloud, customer: Customer, shown_id: str, *results: Result) -> None:
    """What a worker does with the batch's only shard."""
    batch_id, shards = ours(shown_id), Shards(cloud.table)
    claim = shards.claim(batch_id, 0, "worker", NOW, NOW + 60)
    key = part_key(customer.account_id, batch_id, 0, 1, 0)
    cloud.objects.put(key, encode_part(batch_id, list(results)))
    done = bytes([(1 << len(results)) - 1])
    shards.flush(batch_id, claim, part_key=key, done=done, tally=tally(list(results)), lease_until=NOW, settled=True)


def ended(cloud: Cloud, customer: Customer) -> dict[str, Any]:
    """A batch of two requests, one of which has failed."""
    made = create(customer, "a", "b")
    assert validate.handler(step_event(customer, made["id"]), Context())["status"] == "in_progress"
    results = (
        Result(0, "a", Outcome.SUCCEEDED, 200, "r", MESSAGE),
        failed(1, "b", "request_timeout", "No answer."),
    )
    work(cloud, customer, made["id"], *results)
    finalize.handler(step_event(customer, made["id"]) | {"ending": "completed"}, Context())
    return look(customer, made["id"])


def test_a_batch_goes_all_the_way(cloud: Cloud, alice: Customer) -> None:
    """Its counts add up from the first answer on; its results are in the order of its requests."""
    made = create(alice, "a", "b")
    assert cloud.started == [ours(made["id"])]
    assert (made["processing_status"], made["request_counts"]["processing"]) == ("in_progress", 2)
    batch = ended(cloud, alice)
    counts = {"processing": 0, "succeeded": 1, "errored": 1, "canceled": 0, "expired": 0}
    assert (batch["processing_status"], batch["request_counts"]) == ("ended", counts)
    assert batch["results_url"] == f"https://{Gateway.HOST}/{STAGE}{PATH}/{batch['id']}/results"
    reply = ask(alice, "GET", f"/{batch['id']}/results")
    timeout = {"type": "error", "error": {"type": "timeout_error", "message": "No answer."}, "request_id": None}
    assert [json.loads(line) for line in reply.content.splitlines()] == [
        {"custom_id": "a", "result": {"type": "succeeded", "message": json.loads(MESSAGE)}},
        {"custom_id": "b", "result": {"type": "errored", "error": timeout}},
    ]
    assert reply.headers["request-id"] == reply.headers["x-request-id"]
    assert reply.headers["anthropic-ratelimit-requests-limit"] == "6000"


def test_a_lost_answer_makes_no_second_batch(cloud: Cloud, alice: Customer) -> None:
    """The SDK says that it repeats a request; and an idempotency key is known again. Until the batch is deleted."""
    body = {"requests": wanted("a")}
    first = ask(alice, "POST", json=body, headers={"idempotency-key": "k"}).json()
    assert ask(alice, "POST", json=body, headers={"idempotency-key": "k"}).json()["id"] == first["id"]
    plain = ask(alice, "POST", json=body).json()
    repeated = ask(alice, "POST", json=body, headers={"x-stainless-retry-count": "1"}).json()
    assert repeated["id"] == plain["id"] != first["id"]
    batches = Batches(cloud.table)
    batches.delete(batches.current(BatchRef(alice.account_id, ours(first["id"]))))
    gone = ask(alice, "POST", json=body, headers={"idempotency-key": "k"})
    assert gone.status_code == 409 and "deleted" in gone.json()["error"]["message"]


@pytest.mark.parametrize(
    ("requests", "message"),
    [
        (wanted("a", "b b"), "requests.1.custom_id: String should match pattern"),
        (wanted("x" * 65), "requests.0.custom_id: String should have at most 64 characters"),
        (wanted("a", "b", "a"), "requests.2.custom_id: Another line has the same custom_id"),
        (wanted("a") + wanted("b", model="no-such-model"), "requests.1.params.model: The model 'no-such-model'"),
        ([{"custom_id": "a"}], "requests.0.params: Field required"),
    ],
)
def test_wrong_requests_are_refused_at_once(
    cloud: Cloud, alice: Customer, requests: list[dict[str, Any]], message: str
) -> None:
    """By their number, also for what only routing finds; nothing is made."""
    reply = ask(alice, "POST", json={"requests": requests})
    assert (reply.status_code, reply.json()["type"]) == (400, "error")
    assert reply.json()["error"]["type"] == "invalid_request_error"
    assert reply.json()["error"]["message"].startswith(message)
    assert cloud.started == []


def test_limits_hold(alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many requests, and a request that is too long, say so at once."""
    monkeypatch.setenv("MAX_BATCH_ITEMS", "2")
    monkeypatch.setenv("MAX_LINE_BYTES", "1000")
    many = ask(alice, "POST", json={"requests": wanted("a", "b", "c")})
    assert (many.status_code, many.json()["error"]["message"][:9]) == (400, "requests:")
    long = ask(alice, "POST", json={"requests": wanted("a", system="x" * 1000)})
    assert long.status_code == 400 and "requests.0: This line has more than 1000" in long.json()["error"]["message"]


def test_requests_in_a_file(cloud: Cloud, alice: Customer) -> None:
    """What no body can carry is uploaded; a wrong line ends the batch, and each of its requests says why."""
    good, bad = wanted("a", "b"), [*wanted("a", "b"), {"custom_id": "c", "params": {}}]
    ids = []
    for lines in (good, bad):
        content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        uploaded = alice.http.post("/v1/files", files={"file": ("r.jsonl", content)}, data={"purpose": "batch"})
        made = ask(alice, "POST", json={"requests": [], "input_file_id": uploaded.json()["id"]})
        assert made.json()["request_counts"]["processing"] == len(lines)
        validate.handler(step_event(alice, made.json()["id"]), Context())
        ids.append(made.json()["id"])
    assert look(alice, ids[0])["processing_status"] == "in_progress"
    failed_batch = look(alice, ids[1])
    assert (failed_batch["processing_status"], failed_batch["request_counts"]["errored"]) == ("ended", 3)
    assert failed_batch["errors"]["data"][0]["line"] == 3
    lines = [json.loads(line) for line in ask(alice, "GET", f"/{ids[1]}/results").content.splitlines()]
    assert [line["custom_id"] for line in lines] == ["a", "b", "c"]
    assert lines[0]["result"]["error"]["error"]["message"].startswith("This request was not executed")
    assert lines[2]["result"]["error"]["error"]["message"] == "Field required"


def test_a_batch_that_never_ran_has_results_too(cloud: Cloud, alice: Customer) -> None:
    """Cancelled before it was validated: canceled, all of them; cancelling again answers the same."""
    made = create(alice, "a", "b")
    cancelled = ask(alice, "POST", f"/{made['id']}/cancel").json()
    assert (cancelled["processing_status"], cancelled["request_counts"]["processing"]) == ("canceling", 2)
    assert cancelled["cancel_initiated_at"] is not None and cancelled["results_url"] is None
    finalize.handler(step_event(alice, made["id"]) | {"ending": "cancelled"}, Context())
    batch = look(alice, made["id"])
    assert (batch["processing_status"], batch["request_counts"]["canceled"]) == ("ended", 2)
    lines = ask(alice, "GET", f"/{made['id']}/results").content.splitlines()
    assert [json.loads(line)["result"] for line in lines] == [{"type": "canceled"}] * 2
    assert ask(alice, "POST", f"/{made['id']}/cancel").json()["processing_status"] == "ended"


def test_what_depends_on_the_end(cloud: Cloud, alice: Customer) -> None:
    """Results of a batch that runs are a 404, deleting it is a 409, cancelling one that has ended is a 409."""
    made = create(alice, "a")
    early = ask(alice, "GET", f"/{made['id']}/results")
    assert (early.status_code, early.json()["error"]["type"]) == (404, "not_found_error")
    assert made["id"] in early.json()["error"]["message"]
    kept = ask(alice, "DELETE", f"/{made['id']}")
    assert (kept.status_code, kept.headers["x-should-retry"]) == (409, "false")
    assert made["id"] in kept.json()["error"]["message"]
    late = ask(alice, "POST", f"/{ended(cloud, alice)['id']}/cancel")
    assert (late.status_code, late.headers["x-should-retry"]) == (409, "false")


def test_deleted_means_gone(cloud: Cloud, alice: Customer) -> None:
    """The batch is on no surface, its files and objects are gone, and a step that comes late finds nothing to do."""
    batch = ended(cloud, alice)
    batch_id = ours(batch["id"])
    row = Batches(cloud.table).current(BatchRef(alice.account_id, batch_id))
    assert ask(alice, "DELETE", f"/{batch['id']}").json() == {"id": batch["id"], "type": "message_batch_deleted"}
    for path in (f"{PATH}/{batch['id']}", f"{PATH}/{batch['id']}/results", f"/v1/batches/{batch_id}"):
        assert alice.http.get(path, headers=VERSION).status_code == 404
    assert ask(alice, "DELETE", f"/{batch['id']}").status_code == 404
    assert ask(alice, "GET").json()["data"] == []
    for file_id in (row.input_file_id, row.output_file_id, row.error_file_id):
        assert file_id is not None
        assert Files(cloud.table).get(FileRef(alice.account_id, file_id)) is None
    for prefix in ("files/", work_prefix(alice.account_id, batch_id), part_prefix(alice.account_id, batch_id)):
        assert list(cloud.objects.keys(prefix, at_most=10)) == []
    assert notify.handler(step_event(alice, batch["id"]), Context()) == {}


def test_a_batch_that_is_deleted_at_once_is_announced(cloud: Cloud, alice: Customer) -> None:
    """Its owner is faster than Notify: the deletion makes the delivery, which Sweep starts, and Notify finds nothing to
    do."""
    hook = {"url": "https://example.com/hook", "secret": "a-strong-shared-secret"}
    assert alice.http.put("/v1/auth/account/delivery-webhook", json=hook).status_code == 200
    batch = ended(cloud, alice)
    assert ask(alice, "DELETE", f"/{batch['id']}").status_code == 200
    assert notify.handler(step_event(alice, batch["id"]), Context()) == {}
    (delivery,) = alice.http.get("/v1/webhooks/deliveries").json()["data"]
    assert (delivery["batch_id"], delivery["status"]) == (ours(batch["id"]), "pending")
    assert sweep.handler({}, Context())["deliveries"] == 1


def test_an_uploaded_file_outlives_its_batch(cloud: Cloud, alice: Customer) -> None:
    """It is the account's own; only what was made for the batch or by it goes with it."""
    content = b"".join(json.dumps(line).encode() + b"\n" for line in wanted("a b"))
    file_id = alice.http.post("/v1/files", files={"file": ("r.jsonl", content)}).json()["id"]
    made = ask(alice, "POST", json={"input_file_id": file_id}).json()
    validate.handler(step_event(alice, made["id"]), Context())
    assert ask(alice, "DELETE", f"/{made['id']}").status_code == 200
    assert alice.http.get(f"/v1/files/{file_id}/content").content == content


def test_pages_in_both_directions(cloud: Cloud, alice: Customer) -> None:
    """Newest first; before_id has the batches directly before it, in the same order."""
    ids = [create(alice, f"a{number}")["id"] for number in range(5)][::-1]

    def page(**query: str | int) -> tuple[list[str], bool]:
        shown = ask(alice, "GET", params=query).json()
        found = [batch["id"] for batch in shown["data"]]
        assert (shown["first_id"], shown["last_id"]) == ((found[0], found[-1]) if found else (None, None))
        return found, shown["has_more"]

    assert page() == (ids, False)
    assert page(limit=2) == (ids[:2], True)
    assert page(limit=2, after_id=ids[1]) == (ids[2:4], True)
    assert page(limit=2, after_id=ids[3]) == (ids[4:], False)
    assert page(limit=2, before_id=ids[4]) == (ids[2:4], True)
    assert page(limit=2, before_id=ids[2]) == (ids[:2], False)
    assert page(before_id=ids[0]) == ([], False)


def test_batches_of_other_surfaces(cloud: Cloud, alice: Customer, mallory: Customer) -> None:
    """Each surface lists and shows the others' batches; results that are no messages say where they are. Another
    account's batch is a 404."""
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "x"}]}
    other = alice.http.post("/api/v1/batches", json={"requests": [body]}).json()["id"]
    mine = create(alice, "a")
    assert [batch["id"] for batch in ask(alice, "GET").json()["data"]] == [mine["id"], "msg" + other]
    assert look(alice, other)["id"] == "msg" + other
    assert alice.http.get(f"/v1/batches/{ours(mine['id'])}").json()["endpoint"] == "/v1/messages"
    assert alice.http.get(f"/api/v1/batches/{ours(mine['id'])}").json()["status"] == "queued"
    refused = ask(alice, "GET", f"/msg{other}/results")
    assert refused.status_code == 400 and "/v1/chat/completions" in refused.json()["error"]["message"]
    assert ask(mallory, "GET", f"/{mine['id']}").status_code == 404


def test_counts_move_while_a_batch_runs(cloud: Cloud, alice: Customer) -> None:
    """A shard that has settled is counted at once, when Anthropic would still say that all are processing."""
    made = create(alice, "a", "b")
    batches = Batches(cloud.table)
    batch = batches.current(BatchRef(alice.account_id, ours(made["id"])))
    batches.set_plan(batch, Plan("run", 10, 2, (), 1, False, None), "claude-sonnet-4-5", NOW)
    results = [Result(0, "a", Outcome.SUCCEEDED, 200, "r", MESSAGE)]
    Progress(cloud.table).take(batch.id, 0, tally(results), 1)
    shown = look(alice, made["id"])
    assert (shown["processing_status"], shown["request_counts"]["succeeded"]) == ("in_progress", 1)
    assert sum(shown["request_counts"].values()) == 10
    assert Status(batches.current(batch.ref).status) is Status.IN_PROGRESS


def test_the_key_and_the_version(alice: Customer) -> None:
    """x-api-key is a key on every surface; without a version nothing is done."""
    for path in ("/v1/files", "/v1/batches", "/api/v1/batches", "/v1/models"):
        assert alice.http.get(path, headers={"authorization": "", "x-api-key": alice.key}).status_code == 200
    for headers, status in (({"x-api-key": ""}, 401), ({"x-api-key": "wrong"}, 401), ({"anthropic-version": ""}, 400)):
        refused = ask(alice, "GET", headers=headers)
        body = refused.json()
        assert (refused.status_code, body["request_id"]) == (status, refused.headers["request-id"])
        assert set(body) == {"type", "error", "request_id"}
    assert "anthropic-version" in body["error"]["message"]
