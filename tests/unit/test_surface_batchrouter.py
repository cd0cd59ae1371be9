"""BatchRouter's items, rows, statuses and errors, without a request."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import orjson
import pytest

from batchyard.core.batches import Batch, Stage, Status
from batchyard.core.errors import Conflict, PreflightFailed, RateLimited
from batchyard.core.items import Item, LineError
from batchyard.core.jobs import JobRow
from batchyard.core.lanes import Lane
from batchyard.core.quotes import Quote, QuotedLane, QuoteRef
from batchyard.core.receipts import receipt_of
from batchyard.core.requests import BatchRequest, ResultWindow
from batchyard.core.results import Outcome, Result, failed, stored, unfinished
from batchyard.core.routing import Verdict
from batchyard.core.rules import RoutingRules
from batchyard.core.sharding import LaneShards, Plan
from batchyard.core.shards import ShardRow, ShardState
from batchyard.core.usage import Tally
from batchyard.core.webhooks import WebhookTarget
from batchyard.surfaces.batchrouter import quotes, reading, replies
from batchyard.surfaces.batchrouter.lines import endpoint_of, parse_line
from batchyard.surfaces.batchrouter.results import frame_results, write_result
from batchyard.surfaces.batchrouter.writing import write_error, write_receipt
from batchyard.surfaces.http import Request
from batchyard.surfaces.operations import BilledBatch
from batchyard.surfaces.surface import LineContext
from tests.batchrouter import ACTIVE, Error, Row, item

CHAT, EMBEDDINGS, RESPONSES = "/v1/chat/completions", "/v1/embeddings", "/v1/responses"
ID = "batch_01k9qvb2m4h8n6p0r3t5v7w9x1"
BATCH = Batch(
    ID, "acct", "batchrouter", CHAT, "file-01k9qvb2m4h8n6p0r3t5v7w9x1", "24h", Status.VALIDATING, 1_000, 87_400
)
MESSAGES = [{"role": "user", "content": "x"}]


def parsed(fields: Any, endpoint: str = CHAT) -> Item | LineError:
    return parse_line(orjson.dumps(fields), 4, 5, LineContext(endpoint))


# Requests.


@pytest.mark.parametrize(
    ("settings", "once"), [({}, False), ({"settings": {}}, False), ({"settings": {"identical_once": True}}, True)]
)
def test_identical_items_are_sent_once_if_asked_for(settings: dict[str, Any], once: bool) -> None:
    """Never by themselves; what is no such setting is listed with the rest of what is wrong."""

    def read(body: dict[str, Any]) -> BatchRequest:
        data = json.dumps({"items": [item()]} | body).encode()
        return reading.read_batch(Request("POST", "/v1/batches", "r", {"idempotency-key": "k" * 8}, body=data))

    made = read(settings)
    assert (made.identical_once, made.issues) == (once, ())
    (issue,) = read({"settings": {"identical_once": True, "sorted": True}}).issues
    assert (issue.code, issue.param) == ("unknown_field", "settings.sorted")


# Items.


def test_the_documented_item_goes_to_chat_completions() -> None:
    """As printed: its id, its model, and its messages as the body."""
    line = (
        b'{"customer_item_id":"item-1","operation":"responses","model":"gpt-4o-mini","input":{"messages":[{"role":'
        b'"user","content":"Summarize: BatchRouter routes batch-AI workloads across providers."}]}}'
    )
    found = parse_line(line, 0, 1, LineContext(CHAT))
    assert isinstance(found, Item)
    assert (found.custom_id, found.model, found.index) == ("item-1", "gpt-4o-mini", 0)
    content = "Summarize: BatchRouter routes batch-AI workloads across providers."
    assert json.loads(found.body) == {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": content}]}


@pytest.mark.parametrize(
    ("operation", "body", "endpoint"),
    [
        ("responses", {"messages": MESSAGES, "temperature": 0.5}, CHAT),
        ("responses", {"input": MESSAGES}, RESPONSES),
        ("responses", {"input": "text"}, RESPONSES),
        ("vision", {"messages": MESSAGES}, CHAT),
        ("embeddings", {"input": "text"}, EMBEDDINGS),
        ("embeddings", {"input": ["a", "b"], "dimensions": 8}, EMBEDDINGS),
        (..., {"messages": MESSAGES}, CHAT),
    ],
)
def test_each_operation_has_its_endpoint(operation: Any, body: dict[str, Any], endpoint: str) -> None:
    """`responses` is what counts without one; all of the input is sent along."""
    fields = item(operation=operation, input=body)
    assert endpoint_of(orjson.dumps(fields)) == endpoint
    for batchs_own in (CHAT, EMBEDDINGS):
        found = parsed(fields, batchs_own)
        assert isinstance(found, Item) and found.endpoint == endpoint
        assert json.loads(found.body) == {"model": "gpt-4o-mini"} | body


def test_numbers_are_sent_as_they_came() -> None:
    """More digits than a float has."""
    line = b'{"customer_item_id":"a","model":"m","input":{"messages":[1],"seed":12345678901234567890123}}'
    found = parse_line(line, 0, 1, LineContext(CHAT))
    assert isinstance(found, Item) and b"12345678901234567890123" in found.body


def test_openais_lines_are_taken() -> None:
    """Unchanged."""
    line = {"custom_id": "r", "method": "POST", "url": CHAT, "body": {"model": "m", "messages": MESSAGES}}
    found = parsed(line)
    assert isinstance(found, Item) and found.custom_id == "r"
    assert endpoint_of(orjson.dumps(line)) == CHAT
    other = parsed(line | {"url": EMBEDDINGS})
    assert isinstance(other, Item) and other.endpoint == EMBEDDINGS
    nowhere = parsed(line | {"url": "/v1/audio"})
    assert isinstance(nowhere, LineError) and nowhere.code == "url_mismatch"


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"customer_item_id": ...}, "missing_field", "customer_item_id"),
        ({"customer_item_id": ""}, "invalid_customer_item_id", "customer_item_id"),
        ({"customer_item_id": "x" * 513}, "invalid_customer_item_id", "customer_item_id"),
        ({"customer_item_id": 7}, "invalid_customer_item_id", "customer_item_id"),
        ({"operation": "audio"}, "unknown_operation", "operation"),
        ({"operation": None}, "unknown_operation", "operation"),
        ({"model": ...}, "missing_field", "model"),
        ({"model": 7}, "invalid_model", "model"),
        ({"input": ...}, "missing_field", "input"),
        ({"input": []}, "invalid_input", "input"),
        ({"input": {}}, "missing_field", "input.messages"),
        ({"input": {"messages": []}}, "missing_field", "input.messages"),
        ({"input": {"messages": "x"}}, "invalid_input", "input.messages"),
        ({"input": {"messages": MESSAGES, "stream": True}}, "invalid_input", "input.stream"),
        ({"input": {"messages": MESSAGES, "model": "other"}}, "invalid_input", "input.model"),
        ({"operation": "embeddings", "input": {"text": "x"}}, "missing_field", "input.input"),
        ({"priority": 1}, "unknown_field", "priority"),
    ],
)
def test_what_is_wrong_with_an_item(changes: dict[str, Any], code: str, param: str) -> None:
    """Each thing has its code, its place and its line."""
    found = parsed(item(**changes))
    assert isinstance(found, LineError)
    assert (found.code, found.param, found.line) == (code, param, 5)


@pytest.mark.parametrize("line", [b"{", b"[]", b'"text"', b"1"])
def test_a_line_that_is_no_object(line: bytes) -> None:
    """It is an error, and its endpoint is not known."""
    found = parse_line(line, 0, 1, LineContext(CHAT))
    assert isinstance(found, LineError) and found.code == "invalid_json_line"
    assert endpoint_of(line) is None


# Rows of results.


@pytest.mark.parametrize(
    ("result", "status", "code"),
    [
        (Result(2, "a", Outcome.SUCCEEDED, 200, "r", b'{"id":"x"}'), "succeeded", None),
        (Result(2, "a", Outcome.FAILED, 400, "r", b'{"error":{"message":"no"}}'), "failed", "provider_error"),
        (failed(2, "a", "request_timeout", "Too slow."), "failed", "request_timeout"),
        (unfinished(2, "a", Outcome.CANCELLED), "cancelled", "batch_cancelled"),
        (unfinished(2, "a", Outcome.EXPIRED), "expired", "batch_expired"),
    ],
)
def test_every_outcome_has_its_row(result: Result, status: str, code: str | None) -> None:
    """The answer stands in it, or the reason why there is none."""
    row = Row.model_validate_json(write_result(stored(ID, result)))
    assert (row.customer_item_id, row.index, row.status) == ("a", 2, status)
    assert (row.error.code if row.error else None) == code
    assert (row.response is None) is (result.status_code is None)


def test_pages_say_where_the_next_one_starts() -> None:
    """Until there is none; a batch that runs has no pages."""
    ended = replace(BATCH, status=Status.CANCELLED)
    frame = frame_results(ended, ResultWindow(0, 10))
    page = json.loads(frame.head + frame.tail)
    assert page == {
        "batch_id": "bat_01k9qvb2m4h8n6p0r3t5v7w9x1",
        "status": "cancelled",
        "item_count": 0,
        "next_cursor": None,
        "results": [],
    }
    with pytest.raises(Conflict):
        frame_results(BATCH, ResultWindow(0, 10))


# Batches.


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "pending"),
        ({"stage": Stage.QUEUED}, "queued"),
        ({"stage": Stage.ROUTING}, "routing"),
        ({"status": Status.IN_PROGRESS}, "dispatched"),
        ({"status": Status.IN_PROGRESS, "is_begun": False}, "dispatched"),
        ({"status": Status.IN_PROGRESS, "is_begun": True}, "processing"),
        ({"status": Status.IN_PROGRESS, "tally": Tally(failed=1)}, "processing"),
        ({"status": Status.FINALIZING}, "completing"),
        ({"status": Status.CANCELLING}, "completing"),
        ({"status": Status.COMPLETED}, "completed"),
        ({"status": Status.FAILED}, "failed"),
        ({"status": Status.CANCELLED}, "cancelled"),
        ({"status": Status.EXPIRED}, "expired"),
    ],
)
def test_a_status_for_every_moment(changes: dict[str, Any], status: str) -> None:
    """Each documented one is that of some moment, and each moment has one."""
    assert replies.status_of(replace(BATCH, **changes)) == status


def test_the_stage_is_kept_in_the_row() -> None:
    """And an older row, which has none, can be read."""
    row = replace(BATCH, stage=Stage.ROUTING, expected_items=3).to_row()
    assert Batch.from_row(row).stage is Stage.ROUTING and Batch.from_row(row).expected_items == 3
    del row["stage"], row["expected_items"]
    assert Batch.from_row(row).stage is None
    assert ACTIVE[0] == "pending"


def test_a_webhooks_secret_is_a_part_of_the_fingerprint() -> None:
    """Another secret is another request, and the fingerprint is none that the secret is quickly guessed from."""
    request = BatchRequest("batchrouter", CHAT, "file-1", webhook=WebhookTarget("https://example.com/", "a-secret-1"))
    other = replace(request, webhook=WebhookTarget("https://example.com/", "a-secret-2"))
    assert request.fingerprint == replace(request).fingerprint != other.fingerprint
    with pytest.MonkeyPatch.context() as broken:
        broken.setattr("hashlib.scrypt", lambda secret, **_: b"the same")
        assert request.fingerprint == other.fingerprint


def test_equal_requests_have_equal_fingerprints_whatever_is_known_of_them() -> None:
    """What a quote adds is no other request; what the caller says is."""
    request = BatchRequest("batchrouter", "", "file-1", quote_id="q", first_reply=lambda batch: b"")
    known = replace(request, sent=request.fingerprint, endpoint=CHAT, max_price_picousd=5, reserve_picousd=5)
    assert known.fingerprint == request.fingerprint
    assert replace(request, rules=RoutingRules(models=("a",))).fingerprint != request.fingerprint


# Quotes, receipts, errors.


def quote(*lanes: QuotedLane) -> Quote:
    return Quote(QuoteRef("acct", "qlock_1"), 1, 601, CHAT, RoutingRules(), 3, None, 9, 9, 100, 200, 5, 9, lanes)


def test_every_rejection_has_a_sentence() -> None:
    """For each verdict but `selected`."""
    assert set(quotes.REASONS) == set(Verdict) - {Verdict.SELECTED}


def test_a_quote_comes_back_from_its_row() -> None:
    """With everything that it promised."""
    made = quote(QuotedLane(Lane("openai", "m"), Verdict.SELECTED, 3, 100, 5))
    assert Quote.from_row(made.ref, made.to_row()) == made
    assert made.is_valid(600) and not made.is_valid(601)


def test_a_quote_is_a_price_per_item() -> None:
    """Rounded up, so that what is reserved suffices."""
    assert [quote().cost_of(items) for items in (3, 1, 6)] == [100, 34, 200]


def test_a_receipt_lists_lanes_that_did_not_run() -> None:
    """Those that the quote rejected; what was reserved and not used was released at the end."""
    rejected = QuotedLane(Lane("groq", "m"), Verdict.PRIVACY, 0, 50, 0)
    ended = replace(BATCH, status=Status.COMPLETED, reserved_picousd=70, tally=Tally(succeeded=1, cost_picousd=50))
    receipt = receipt_of(ended, quote(rejected))
    assert (receipt.charged_picousd, receipt.released_picousd, receipt.rejected) == (50, 20, (rejected,))
    assert not receipt_of(replace(ended, status=Status.IN_PROGRESS), None).released_picousd


def test_a_receipt_has_the_cost_of_each_lane() -> None:
    """What the shards of a lane add up to; together it is what the batch cost."""
    lanes = (LaneShards(Lane("openai", "m"), 0, 2, 2), LaneShards(Lane("groq", "m"), 2, 1, 1))
    plan = Plan("run", 3, 3, lanes, 8, False, None)
    costs = [Tally(succeeded=1, input_tokens=number, cost_picousd=10 + number) for number in range(3)]
    rows = [ShardRow(number, tally=tally) for number, tally in enumerate(costs)]
    ended = replace(BATCH, status=Status.COMPLETED, plan=plan, tally=sum(costs, Tally()))
    receipt = receipt_of(ended, None, rows)
    assert [(ran.lane.provider, ran.items, ran.tally.cost_picousd) for ran in receipt.ran] == [
        ("openai", 2, 21),
        ("groq", 1, 12),
    ]
    assert sum(ran.tally.cost_picousd for ran in receipt.ran) == receipt.charged_picousd
    written = json.loads(write_receipt(BilledBatch(ended, receipt)).body)["billing_receipt"]["provider_lanes"][0]
    assert (written["cost"]["amount"], written["tokens"]["input"]) == ("0.000000", 1)


def test_a_receipt_says_what_may_be_paid_twice() -> None:
    """Items that a provider job took and said nothing of, and runs of shards whose owner was never heard of again: lost
    in the middle, by the end of its lease, or under a seal; not those that were handed back, or go on."""
    plan = Plan("run", 5, 5, (LaneShards(Lane("openai", "m"), 0, 5, 5),), 8, False, None)
    rows = [
        ShardRow(0, ShardState.SETTLED, version=3, handed_back=2),
        ShardRow(1, ShardState.SETTLED, version=3, handed_back=1),
        ShardRow(2, ShardState.OPEN, version=2, lease_until=0, handed_back=0),
        ShardRow(3, ShardState.OPEN, version=1, lease_until=99),
        ShardRow(4, ShardState.SEALED, version=3, handed_back=2),
    ]
    receipt = receipt_of(replace(BATCH, plan=plan), None, rows, [JobRow(0, unheard=7), JobRow(3, unheard=2), JobRow(4)])
    assert [row.lost_owners for row in rows] == [0, 1, 2, 0, 0]
    written = json.loads(write_receipt(BilledBatch(BATCH, receipt)).body)["billing_receipt"]
    assert written["may_be_paid_twice"] == {"items": 9, "interrupted_runs": 3}


def test_errors_have_one_shape() -> None:
    """Code, message and details, whatever went wrong; preflight's issues are in the details."""
    issues = [LineError("a", "A.", param="items[0].model"), LineError("b", "B.", 7)]
    for error, status in (
        (None, 500),
        (Conflict("x", param="p"), 409),
        (RateLimited("x", retry_after_seconds=3), 429),
        (PreflightFailed(issues), 400),
    ):
        reply = write_error(error)
        assert reply.status == status
        Error.model_validate_json(reply.body)
    found = Error.model_validate_json(write_error(PreflightFailed(issues)).body).error
    assert [(each.code, each.path, each.line) for each in found.details.preflight] == [
        ("a", "items[0].model", None),
        ("b", None, 7),
    ]
    assert write_error(RateLimited("x", retry_after_seconds=3)).headers["retry-after"] == "3"
