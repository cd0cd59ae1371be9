"""Anthropic's requests, lines, objects, results and errors, without any cloud."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import orjson
import pytest
from anthropic.types.messages import MessageBatch as SdkBatch
from anthropic.types.messages import MessageBatchIndividualResponse

from batchyard import settings
from batchyard.core.batches import Batch, Status
from batchyard.core.errors import Conflict, InvalidRequest, NotFound, RateLimited, RequestError, Unauthenticated
from batchyard.core.items import Item, LineError
from batchyard.core.limits import Allowance, Bounds
from batchyard.core.results import Outcome, Result, failed, stored, unfinished
from batchyard.core.sharding import Plan
from batchyard.core.usage import Tally
from batchyard.handlers.limits import limits_of
from batchyard.surfaces import registry
from batchyard.surfaces.anthropic import reading, replies, writing
from batchyard.surfaces.anthropic.lines import explain_line
from batchyard.surfaces.anthropic.results import write_result
from batchyard.surfaces.http import Reply, Request
from batchyard.surfaces.operations import Page
from batchyard.surfaces.surface import LineContext

SURFACE = registry.surface("anthropic")
TAIL = "01m7vzgc0060rk4csm6mv3ee1s"
BATCH, SHOWN = f"batch_{TAIL}", f"msgbatch_{TAIL}"
VERSION = {"anthropic-version": "2023-06-01"}
PARAMS: dict[str, Any] = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
NOW = 1_790_000_000


def request(
    body: Any = None, query: dict[str, str] | None = None, shown: str = SHOWN, **headers: str | None
) -> Request:
    """`headers` replace or take out those that every request has."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {name: value for name, value in (VERSION | named).items() if value is not None}
    data = json.dumps(body).encode() if body is not None else b""
    return Request("POST", "/v1/messages/batches", "req_1", sent, query or {}, {"message_batch_id": shown}, data)


def batch(status: Status = Status.IN_PROGRESS, tally: Tally | None = None, **fields: Any) -> Batch:
    made = Batch(BATCH, "acct_a", "anthropic", "/v1/messages", "file-1", "24h", status, NOW, NOW + 86_400)
    return replace(made, tally=tally or Tally(), api_url="https://api.test/live", **fields)


def planned(items: int) -> Plan:
    return Plan("run", items, 1, (), 1, False, None)


def parse(line: Any) -> Item | LineError:
    raw = line if isinstance(line, bytes) else json.dumps(line).encode()
    return SURFACE.parse_line(raw, 4, 7, LineContext("/v1/messages"))


def written(result: Result) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(write_result(stored(BATCH, result)))
    MessageBatchIndividualResponse.model_validate(line)
    return line


# Requests.


def test_a_batch_is_asked_for_with_its_requests() -> None:
    """They become the lines of an input, byte for byte but for white space; the endpoint is that of messages."""
    wanted = [{"custom_id": "a", "params": PARAMS}, {"custom_id": "b", "params": PARAMS}]
    read = reading.read_batch(request({"requests": wanted}, idempotency_key="k"))
    assert (read.surface, read.endpoint, read.completion_window, read.idempotency_key) == (
        "anthropic",
        "/v1/messages",
        "24h",
        "k",
    )
    assert [json.loads(line) for line in (read.lines or b"").splitlines()] == wanted


@pytest.mark.parametrize(
    ("settings", "once"), [({}, False), ({"settings": {}}, False), ({"settings": {"identical_once": True}}, True)]
)
def test_identical_requests_are_sent_once_if_asked_for(settings: dict[str, Any], once: bool) -> None:
    """Never by themselves; settings that there are not are refused."""
    assert reading.read_batch(request({"requests": [{}]} | settings)).identical_once is once
    with pytest.raises(InvalidRequest):
        reading.read_batch(request({"requests": [{}], "settings": {"retries": 4}}))


def test_more_than_a_body_carries_comes_as_a_file() -> None:
    """Its id stands beside empty `requests`, as an SDK sends it that has to name them."""
    file_id = f"file-{TAIL}"
    for body in ({"input_file_id": file_id}, {"requests": [], "input_file_id": file_id}):
        read = reading.read_batch(request(body))
        assert (read.input_file_id, read.lines) == (file_id, None)
    with pytest.raises(NotFound):
        reading.read_batch(request({"input_file_id": "file-x"}))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"requests": []},
        {"requests": 5},
        {"requests": [5]},
        {"requests": [{}], "metadata": {}},
        [],
        {"requests": None},
        {"requests": [{}], "input_file_id": f"file-{TAIL}"},
    ],
)
def test_a_body_that_is_none(body: Any) -> None:
    """400, and the message begins with what is wrong, as Anthropic's do."""
    with pytest.raises(InvalidRequest):
        reading.read_batch(request(body))


@pytest.mark.parametrize("read", [reading.read_batch_id, reading.read_batches_page, reading.read_results])
def test_the_version_is_required(read: Any) -> None:
    """On every operation; an unknown one is refused."""
    for version in ("2023-01-01", "2023-06-01", "2026-10-21"):
        read(request(anthropic_version=version))
    for version, said in ((None, "header is required"), ("", "header is required"), ("2024-01-01", "not a valid")):
        with pytest.raises(InvalidRequest, match=said):
            read(request(anthropic_version=version))
    with pytest.raises(InvalidRequest, match="anthropic-version"):
        reading.read_batch(request({"requests": [{}]}, anthropic_version=None))


def test_what_would_be_lost_on_the_way_is_refused() -> None:
    """Betas change what a provider does, and no call of a batch has them; those that are none any more are fine."""
    body = {"requests": [{"custom_id": "a", "params": PARAMS}]}
    reading.read_batch(request(body, anthropic_beta="message-batches-2024-09-24, prompt-caching-2024-07-31"))
    with pytest.raises(InvalidRequest, match="context-1m"):
        reading.read_batch(request(body, anthropic_beta="message-batches-2024-09-24,context-1m-2025-08-07"))
    with pytest.raises(InvalidRequest, match="profile"):
        reading.read_batch(request(body, anthropic_user_profile_id="p"))


def test_ids_are_read_in_both_forms() -> None:
    """msgbatch_ is this dialect's; a batch of another surface is known by its own id, too."""
    assert reading.read_batch_id(request()) == BATCH
    assert reading.read_batch_id(request(shown=BATCH)) == BATCH
    for shown in ("msgbatch_x", "", "batch_" + SHOWN, "msgbatch_" + BATCH, "file-" + TAIL):
        with pytest.raises(NotFound):
            reading.read_batch_id(request(shown=shown))


def test_pages_are_asked_for_by_cursors() -> None:
    """after_id and before_id, one of them; the limit is 1 to 1000, 20 unless given."""
    page = reading.read_batches_page(request())
    assert (page.limit, page.after, page.before) == (20, None, None)
    page = reading.read_batches_page(request(query={"after_id": SHOWN, "limit": "1000"}))
    assert (page.limit, page.after, page.before) == (1000, BATCH, None)
    assert reading.read_batches_page(request(query={"before_id": SHOWN})).before == BATCH
    for query in ({"limit": "0"}, {"limit": "1001"}, {"after_id": "x"}, {"after_id": SHOWN, "before_id": SHOWN}):
        with pytest.raises(InvalidRequest):
            reading.read_batches_page(request(query=query))


def test_a_key_comes_either_way() -> None:
    """x-api-key, or the bearer token that the SDKs send as `auth_token`."""
    assert reading.read_api_key(request(x_api_key="k", authorization="Bearer b")) == "k"
    assert reading.read_api_key(request(authorization="Bearer b")) == "b"
    with pytest.raises(Unauthenticated, match="x-api-key"):
        reading.read_api_key(request())


def test_limits_are_anthropics_or_the_deployments() -> None:
    """100,000 requests and 256 MB, unless the deployment's are narrower, which they are not by themselves."""
    assert limits_of(SURFACE, settings.Limits()) == Bounds(100_000, 256_000_000, 1_000_000, 6_000)
    wide = settings.Limits(max_batch_items=1_000_000, max_file_bytes=10**10)
    assert limits_of(SURFACE, wide) == Bounds(100_000, 256_000_000, 1_000_000, 6_000)
    assert limits_of(SURFACE, settings.Limits(max_batch_items=7)).max_batch_items == 7


# Lines.


def test_a_request_is_an_item() -> None:
    """Its params go to the provider as they are, numbers and all."""
    raw = b'{"custom_id":"a-1_B","params":{"model":"m","messages":[],"n":123456789012345678901234567890}}'
    item = parse(raw)
    assert isinstance(item, Item)
    assert (item.index, item.custom_id, item.model, item.provider) == (4, "a-1_B", "m", None)
    assert item.body == b'{"model":"m","messages":[],"n":123456789012345678901234567890}'


@pytest.mark.parametrize(
    ("line", "param", "message"),
    [
        (b"{", None, "not parseable"),
        ([1], None, "should be an object"),
        ({"params": PARAMS}, "custom_id", "Field required"),
        ({"custom_id": 5, "params": PARAMS}, "custom_id", "valid string"),
        ({"custom_id": "", "params": PARAMS}, "custom_id", "match pattern"),
        ({"custom_id": "ä", "params": PARAMS}, "custom_id", "match pattern"),
        ({"custom_id": "a b", "params": PARAMS}, "custom_id", "match pattern"),
        ({"custom_id": "a\n", "params": PARAMS}, "custom_id", "match pattern"),
        ({"custom_id": "x" * 65, "params": PARAMS}, "custom_id", "String should have at most 64 characters"),
        ({"custom_id": "a"}, "params", "Field required"),
        ({"custom_id": "a", "params": []}, "params", "an object"),
        ({"custom_id": "a", "params": {}}, "params.model", "Field required"),
        ({"custom_id": "a", "params": PARAMS | {"model": 5}}, "params.model", "string"),
        ({"custom_id": "a", "params": PARAMS | {"model": "x" * 257}}, "params.model", "string"),
        ({"custom_id": "a", "params": PARAMS | {"stream": True}}, "params.stream", "Streaming"),
        ({"custom_id": "a", "params": PARAMS, "url": "x"}, "url", "Extra inputs"),
        (b'{"custom_id":"a","params":{"model":"m","x":' + b"[" * 1000 + b"]" * 1000 + b"}}", "params", "nested"),
    ],
)
def test_a_bad_request_is_reported_with_its_place(line: Any, param: str | None, message: str) -> None:
    """By its line in a file; in a body, as Anthropic does, by its number from 0."""
    error = parse(line)
    assert isinstance(error, LineError)
    assert (error.line, error.param) == (7, param) and message in error.message
    told = explain_line(error)
    assert told.message.startswith("requests.6" + (f".{param}: " if param else ": "))


def test_what_only_routing_finds_is_told_in_the_same_words() -> None:
    """The model of an item is in its params; what is wrong with all of them names none."""
    unknown = explain_line(LineError("model_not_found", "No such model.", 1, "body.model"))
    assert (unknown.message, unknown.param) == ("requests.0.params.model: No such model.", "requests.0.params.model")
    assert explain_line(LineError("too_many_tasks", "Split it.")).message == "requests: Split it."


# Objects.


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (Status.VALIDATING, "in_progress"),
        (Status.IN_PROGRESS, "in_progress"),
        (Status.FINALIZING, "in_progress"),
        (Status.CANCELLING, "canceling"),
        (Status.COMPLETED, "ended"),
        (Status.FAILED, "ended"),
        (Status.EXPIRED, "ended"),
        (Status.CANCELLED, "ended"),
    ],
)
def test_a_batch_has_every_field(status: Status, shown: str) -> None:
    """Anthropic's ten, three of ours, and times as the SDK reads them; a results_url only when it has ended."""
    at = {Status.CANCELLING: NOW + 5, status: NOW + 9}
    made = replies.batch_object(batch(status, plan=planned(3), status_times={str(each): at[each] for each in at}))
    assert set(made) == set(SdkBatch.model_fields) | {"waiting_for", "lanes", "usage", "errors"}
    read = SdkBatch.model_validate(made)
    assert (read.id, read.processing_status) == (SHOWN, shown)
    assert (read.created_at.timestamp(), read.expires_at.timestamp()) == (NOW, NOW + 86_400)
    assert read.cancel_initiated_at is not None
    ended = shown == "ended"
    url = f"https://api.test/live/v1/messages/batches/{SHOWN}/results"
    assert (read.results_url, read.ended_at is not None) == ((url, True) if ended else (None, False))
    assert replies.batch_object(batch(status, results_hidden=True))["results_url"] is None


@pytest.mark.parametrize(
    ("status", "rest"),
    [
        (Status.VALIDATING, "processing"),
        (Status.IN_PROGRESS, "processing"),
        (Status.CANCELLING, "processing"),
        (Status.FAILED, "errored"),
        (Status.CANCELLED, "canceled"),
        (Status.EXPIRED, "expired"),
    ],
)
def test_counts_always_add_up(status: Status, rest: str) -> None:
    """While it runs, what is done is counted already; what never ran counts as what the ending made of it."""
    tally = Tally(succeeded=3, failed=2, cancelled=1, expired=1)
    whole = {"processing": 0, "succeeded": 3, "errored": 2, "canceled": 1, "expired": 1}
    counts = replies.request_counts(batch(status, tally, plan=planned(11)))
    assert counts == whole | {rest: whole[rest] + 4}
    assert sum(counts.values()) == 11  # type: ignore[call-overload]
    unplanned = replies.request_counts(batch(status, expected_items=5))
    assert unplanned == dict.fromkeys(whole, 0) | {rest: 5}


def test_a_page_names_its_ends() -> None:
    """first_id and last_id, which are the cursors of the pages beside it; null if it is empty."""
    page = json.loads(writing.write_batches(Page([batch(), batch()], True)).body)
    assert (page["first_id"], page["last_id"], page["has_more"], len(page["data"])) == (SHOWN, SHOWN, True, 2)
    assert json.loads(writing.write_batches(Page([], False)).body) == {
        "data": [],
        "has_more": False,
        "first_id": None,
        "last_id": None,
    }


# Results.


def test_a_success_is_the_message_as_it_is() -> None:
    """Byte for byte."""
    body = b'{"id":"msg_1","content":[],"n":1e400}'
    line = write_result(stored(BATCH, Result(0, "a", Outcome.SUCCEEDED, 200, "r", body)))
    assert line == b'{"custom_id":"a","result":{"type":"succeeded","message":%b}}' % body


@pytest.mark.parametrize(
    ("status", "body", "type", "message"),
    [
        (400, b'{"type":"error","error":{"type":"invalid_request_error","message":"m"}}', "invalid_request_error", "m"),
        (404, b'{"error":{"message":"no model","code":"x","type":null}}', "not_found_error", "no model"),
        (500, b'{"error":"oops"}', "api_error", "oops"),
        (529, b'"?"', "overloaded_error", "The provider answered with status 529."),
        (400, b"null", "invalid_request_error", "The provider answered with status 400."),
    ],
)
def test_an_error_has_anthropics_form(status: int, body: bytes, type: str, message: str) -> None:
    """Whatever the provider's looks like; the SDK reads type and message."""
    result = written(Result(0, "a", Outcome.FAILED, status, "req_9", body))["result"]
    assert (result["type"], result["error"]["type"], result["error"]["request_id"]) == ("errored", "error", "req_9")
    assert (result["error"]["error"]["type"], result["error"]["error"]["message"]) == (type, message)


def test_items_without_an_answer_say_why() -> None:
    """canceled and expired are results of their own; the rest is an error with a type."""
    assert written(unfinished(0, "a", Outcome.CANCELLED))["result"] == {"type": "canceled"}
    assert written(unfinished(0, "a", Outcome.EXPIRED))["result"] == {"type": "expired"}
    for code, kind in (
        ("request_timeout", "timeout_error"),
        ("overloaded", "overloaded_error"),
        ("throttled", "rate_limit_error"),
        ("connection_error", "api_error"),
    ):
        error = written(failed(0, "a", code, "Why."))["result"]["error"]
        assert (error["error"], error["request_id"]) == ({"type": kind, "message": "Why."}, None)


def test_a_line_holds_no_separator_of_lines() -> None:
    """Clients that split at U+2028 read a line as one."""
    assert b"\xe2\x80\xa8" not in write_result(stored(BATCH, failed(0, "a", "x", "a\u2028b")))


# Errors.


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (InvalidRequest("m"), 400, "invalid_request_error"),
        (Unauthenticated("m"), 401, "authentication_error"),
        (NotFound("m"), 404, "not_found_error"),
        (Conflict("m"), 409, "conflict_error"),
        (RateLimited("m", retry_after_seconds=7), 429, "rate_limit_error"),
        (None, 500, "api_error"),
    ],
)
def test_errors_have_one_shape(error: RequestError | None, status: int, kind: str) -> None:
    """{type, error: {type, message}, request_id}; the request's id is in the header that the SDKs read, too."""
    reply = writing.show_request_id(writing.write_error(error), "req_5")
    body = orjson.loads(reply.body)
    assert (reply.status, body["type"], body["error"]["type"], body["request_id"]) == (status, "error", kind, "req_5")
    assert set(body) == {"type", "error", "request_id"} and set(body["error"]) == {"type", "message"}
    assert reply.headers["request-id"] == "req_5"
    assert reply.headers.get("retry-after") == ("7" if status == 429 else None)
    assert reply.headers.get("x-should-retry") == ("false" if status == 409 else None)


def test_messages_name_batches_as_the_client_knows_them() -> None:
    """The message of an error comes from where ids have another form."""
    message = orjson.loads(writing.write_error(NotFound(f"No batch found with id '{BATCH}'.")).body)["error"]["message"]
    assert message == f"No batch found with id '{SHOWN}'."


def test_an_answer_is_left_as_it_is_but_for_its_header() -> None:
    """Only an error has the request's id in its body."""
    shown = writing.show_request_id(Reply(200, b"not json", {"a": "b"}), "req_1")
    assert (shown.body, shown.headers) == (b"not json", {"a": "b", "request-id": "req_1"})


def test_what_a_key_has_left() -> None:
    """In Anthropic's headers, with a time that people can read."""
    assert writing.allowance_headers(Allowance(6000, 5999, NOW)) == {
        "anthropic-ratelimit-requests-limit": "6000",
        "anthropic-ratelimit-requests-remaining": "5999",
        "anthropic-ratelimit-requests-reset": "2026-09-21T14:13:20Z",
    }
