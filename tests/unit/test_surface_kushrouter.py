"""KushRouter's lines, results, statuses and limits, without any cloud."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import orjson
import pytest

from batchyard import settings
from batchyard.core.batches import Batch, Status
from batchyard.core.errors import InvalidRequest, NotFound, RateLimited, RequestError, Unauthenticated
from batchyard.core.items import Item, LineError
from batchyard.core.limits import Allowance, Bounds, Limits
from batchyard.core.requests import ExportRequest, Packing, ResultWindow
from batchyard.core.results import Outcome, Result, failed, stored, unfinished
from batchyard.handlers.limits import limits_of
from batchyard.surfaces import registry
from batchyard.surfaces.http import Request
from batchyard.surfaces.kushrouter import reading, replies, writing
from batchyard.surfaces.kushrouter.results import write_result
from batchyard.surfaces.operations import Page
from batchyard.surfaces.surface import LineContext
from tests import kushrouter as client

CHAT = "/v1/chat/completions"
CONTEXT = LineContext(CHAT, max_custom_id_chars=64)
SURFACE = registry.surface("kushrouter")
BODY: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
BATCH = "batch_01m7vzgc0060rk4csm6mv3ee1s"
LONG = b"123456789012345678901234567890"


def parse(line: Any, index: int = 4) -> Item | LineError:
    raw = line if isinstance(line, bytes) else json.dumps(line).encode()
    return SURFACE.parse_line(raw, index, 7, CONTEXT)


def request(body: Any = None, query: dict[str, str] | None = None, **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    data = json.dumps(body).encode() if body is not None else b""
    return Request("POST", "/api/openai/v1/batches", "req_1", named, query or {}, {"batch_id": BATCH}, data)


# Lines.


def test_a_bare_body_is_an_item() -> None:
    """The body goes to the provider as it is, without the custom_id that stood in it."""
    item = parse(BODY | {"custom_id": "mine", "tools": [], "response_format": {"type": "json_object"}})
    assert isinstance(item, Item)
    assert (item.index, item.custom_id, item.model) == (4, "mine", "gpt-4o-mini")
    assert orjson.loads(item.body) == BODY | {"tools": [], "response_format": {"type": "json_object"}}


@pytest.mark.parametrize("line", [BODY, BODY | {"custom_id": None}, {"body": BODY}])
def test_a_line_without_a_custom_id_is_known_by_its_place(line: Any) -> None:
    """Each place has a name of its own, which no client may take."""
    item = parse(line, index=17)
    assert isinstance(item, Item) and item.custom_id == "index:17"
    taken = parse(BODY | {"custom_id": "index:17"})
    assert isinstance(taken, LineError) and (taken.code, taken.line) == ("invalid_custom_id", 7)
    assert isinstance(parse(BODY | {"custom_id": "index:x"}), Item)


@pytest.mark.parametrize("around", [b"%b", b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":%b}'])
def test_long_numbers_are_sent_as_they_came(around: bytes) -> None:
    """In a bare body and in an envelope, also if something is taken out of it or put into it."""
    body = b'{"model":"m","messages":[{"n":%b}],"custom_id":"a","stream":true}' % LONG
    if b"body" in around:
        body = body.replace(b',"custom_id":"a"', b"")
    item = parse(around % body)
    assert isinstance(item, Item)
    assert LONG in item.body and b"include_usage" in item.body and b"custom_id" not in item.body


def test_a_streamed_line_asks_for_its_token_counts() -> None:
    """A stream without usage would cost nothing; other options stay, and a line that does not stream is left alone."""
    item = parse(BODY | {"stream": True, "stream_options": {"include_usage": False, "include_obfuscation": False}})
    assert isinstance(item, Item)
    assert orjson.loads(item.body)["stream_options"] == {"include_usage": True, "include_obfuscation": False}
    plain = parse(BODY | {"stream": False})
    assert isinstance(plain, Item) and "stream_options" not in orjson.loads(plain.body)


@pytest.mark.parametrize(
    ("line", "code", "param"),
    [
        (b"{", "invalid_json_line", None),
        ([1], "invalid_json_line", None),
        ({"messages": BODY["messages"]}, "missing_required_parameter", "model"),
        (BODY | {"model": ""}, "invalid_model", "model"),
        (BODY | {"model": "x" * 257}, "invalid_model", "model"),
        (BODY | {"model": 5}, "invalid_model", "model"),
        ({"model": "gpt-4o-mini"}, "missing_required_parameter", "messages"),
        (BODY | {"messages": []}, "invalid_type", "messages"),
        (BODY | {"messages": "hi"}, "invalid_type", "messages"),
        (BODY | {"custom_id": 7}, "invalid_custom_id", "custom_id"),
        (BODY | {"custom_id": ""}, "invalid_custom_id", "custom_id"),
        (BODY | {"custom_id": "x" * 65}, "invalid_custom_id", "custom_id"),
        ({"body": BODY, "method": "GET"}, "invalid_method", "method"),
        ({"body": BODY, "url": "/v1/embeddings"}, "url_mismatch", "url"),
        ({"body": BODY, "provider": "openai"}, "unknown_parameter", "provider"),
        ({"body": {"messages": BODY["messages"]}}, "missing_required_parameter", "body.model"),
        ({"body": "x"}, "invalid_type", "body"),
        (b'{"model":"m","messages":[' + b"[" * 1000 + b"]" * 1000 + b"]}", "invalid_json_line", None),
    ],
)
def test_a_bad_line_is_reported_with_its_number(line: Any, code: str, param: str | None) -> None:
    """Code, parameter and line number; the message says something."""
    error = parse(line)
    assert isinstance(error, LineError)
    assert (error.code, error.param, error.line) == (code, param, 7)
    assert error.message


# Requests.


@pytest.mark.parametrize("body", [{}, {"input_file_id": "file-x", "requests": [BODY]}, {"metadata": {}}])
def test_exactly_one_input(body: dict[str, Any]) -> None:
    """Both and neither are a 400."""
    with pytest.raises(InvalidRequest) as caught:
        reading.read_batch(request(body))
    assert caught.value.status == 400 and caught.value.code == "invalid_input"


def test_inline_requests_keep_their_numbers() -> None:
    """Also those that no double holds, in the requests and in the metadata."""
    body = b'{"requests":[{"model":"m","messages":[{"n":%b}],"x":%b}],"metadata":{"n":{"of":%b}}}' % ((LONG,) * 3)
    made = reading.read_batch(replace(request(), body=body))
    assert made.lines is not None and made.lines.count(LONG) == 2
    assert LONG in orjson.dumps(made.metadata)
    batch = Batch(BATCH, "a", "kushrouter", CHAT, "f", "24h", Status.VALIDATING, 1, 2, made.metadata)
    assert LONG in orjson.dumps(Batch.from_row(batch.to_row()).metadata)
    other = reading.read_batch(replace(request(), body=body.replace(LONG, LONG[:-1] + b"1")))
    assert made.fingerprint == reading.read_batch(replace(request(), body=body)).fingerprint != other.fingerprint


def test_inline_requests_become_lines() -> None:
    """One line each, as they came; the settings and the metadata are kept."""
    wanted = [BODY | {"custom_id": "a"}, BODY]
    made = reading.read_batch(
        request({"requests": wanted, "settings": {"concurrency": 4}, "metadata": {"a": {"b": [1, 2.5]}}})
    )
    assert made.lines is not None and made.input_file_id == ""
    assert [json.loads(line) for line in made.lines.splitlines()] == wanted
    assert (made.concurrency, made.metadata, made.endpoint) == (4, {"a": {"b": [1, 2.5]}}, CHAT)
    same = reading.read_batch(request({"requests": wanted}, idempotency_key="k"))
    other = reading.read_batch(request({"requests": wanted[:1]}, idempotency_key="k"))
    assert same.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"requests": []}, "requests"),
        ({"requests": [BODY, {"model": "m"}]}, "requests[1].messages"),
        ({"requests": [BODY, 5]}, "requests[1]"),
        ({"requests": "x"}, "requests"),
        ({"requests": [BODY], "extra": 1}, "extra"),
        ({"requests": [BODY], "settings": {"concurrency": 0}}, "settings.concurrency"),
        ({"requests": [BODY], "settings": {"speed": 1}}, "settings.speed"),
        ({"requests": [BODY], "endpoint": "/v1/embeddings"}, "endpoint"),
        ({"requests": [BODY], "metadata": {"a": "x" * 20_000}}, "metadata"),
        ({"requests": [BODY], "metadata": "x"}, "metadata"),
        ([], None),
    ],
)
def test_a_bad_body_names_what_is_wrong(body: Any, param: str | None) -> None:
    """A 400 with the parameter's name."""
    with pytest.raises(InvalidRequest) as caught:
        reading.read_batch(request(body))
    assert caught.value.param == param


def nested(levels: int) -> Any:
    """An object of that many levels."""
    return {"a": nested(levels - 1)} if levels > 1 else {"a": 1}


def test_what_is_taken_can_be_answered() -> None:
    """Metadata of any depth is either refused, or can be hashed, kept, shown and listed: an object that cannot be
    shown would take every list of its account with it."""
    taken = []
    for levels in (1, 16, 17, 100, 249, 250, 251, 252, 253, 254, 255, 300):
        try:
            read = reading.read_batch(request({"input_file_id": f"file-{'0' * 26}", "metadata": nested(levels)}))
        except InvalidRequest as error:
            assert error.param == "metadata"
            continue
        taken.append(levels)
        assert read.fingerprint
        made = Batch(BATCH, "acct_a", "kushrouter", CHAT, "file-1", "24h", Status.VALIDATING, 1, 2, read.metadata)
        kept = Batch.from_row(made.to_row())
        assert orjson.loads(writing.write_batches(Page([kept], False)).body)["data"][0]["metadata"] == nested(levels)
    assert taken == [1, 16]


@pytest.mark.parametrize("around", [lambda body: body, lambda body: {"body": body}])
def test_requests_of_any_depth_are_taken_or_refused(around: Any) -> None:
    """The limit of what can be written as JSON falls on the caller's request, wherever its depth stands."""
    taken = []
    for levels in range(245, 258):
        try:
            read = reading.read_batch(request({"requests": [around(BODY | {"tools": nested(levels)})]}))
        except InvalidRequest as error:
            assert error.code == "invalid_json_line"
            continue
        taken.append(levels)
        assert read.lines is not None and isinstance(parse(read.lines), Item)
    assert taken == list(range(245, 245 + len(taken))) and taken


def test_ids_of_no_form_of_ours_are_not_found() -> None:
    """The documents' own examples, paths and foreign alphabets never reach the table."""
    for value in ("file_123", "../x", "file-" + "u" * 26, ""):
        with pytest.raises(NotFound):
            reading.read_file_id(replace(request(), parameters={"file_id": value}))
    with pytest.raises(NotFound):
        reading.read_batch(request({"input_file_id": "file_123"}))


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({"authorization": "Bearer abc"}, "abc"),
        ({"authorization": "bearer  abc "}, "abc"),
        ({"x_api_key": "abc"}, "abc"),
        ({"authorization": "Basic zzz", "x_api_key": "abc"}, "abc"),
        ({"authorization": "Bearer ", "x_api_key": " abc "}, "abc"),
        ({"authorization": "Bearer first", "x_api_key": "second"}, "first"),
    ],
)
def test_a_key_comes_either_way(headers: dict[str, str], key: str) -> None:
    """A bearer token, or x-api-key if there is none."""
    assert reading.read_api_key(request(**headers)) == key


@pytest.mark.parametrize("headers", [{}, {"authorization": "Basic abc"}, {"x_api_key": " "}])
def test_no_key_is_a_401(headers: dict[str, str]) -> None:
    """In this surface's words."""
    with pytest.raises(Unauthenticated):
        reading.read_api_key(request(**headers))


def export(**query: str) -> ExportRequest:
    return reading.read_export(request(query=query)).request


def test_windows_and_exports_are_read() -> None:
    """Defaults, bounds and the three packings; a ZIP needs no gzip."""
    assert reading.read_results(request()).window == ResultWindow(0, 100)
    assert reading.read_results(request(query={"offset": "7", "limit": "1000"})).window == ResultWindow(7, 1000)
    wanted = export(format="ndjson", gzip="true", offset="3", limit="5000")
    assert (wanted.window, wanted.packing) == (ResultWindow(3, 5000), Packing.GZIP)
    assert export().packing is Packing.PLAIN
    assert export().window == ResultWindow(0, None)
    assert export(format="zip", gzip="true").packing is Packing.ZIP


@pytest.mark.parametrize(
    "query",
    [{"limit": "0"}, {"limit": "50001"}, {"limit": "x"}, {"limit": "-1"}, {"offset": "-1"}, {"offset": "1e3"}],
)
def test_a_bad_window_is_refused(query: dict[str, str]) -> None:
    """A 400 that names the parameter and its bounds."""
    with pytest.raises(InvalidRequest) as caught:
        reading.read_results(request(query=query))
    assert caught.value.param == next(iter(query))


@pytest.mark.parametrize("query", [{"format": "csv"}, {"gzip": "maybe"}, {"limit": "0"}, {"limit": "٣"}])
def test_a_bad_export_is_refused(query: dict[str, str]) -> None:
    """Formats are ndjson and zip, gzip is true or false, numbers are plain digits."""
    with pytest.raises(InvalidRequest) as caught:
        reading.read_export(request(query=query))
    assert caught.value.param == next(iter(query))


# Results.


def shown_result(result: Result) -> client.Row:
    return client.Row.model_validate_json(write_result(stored(BATCH, result)))


def answered(status: int, body: Any, custom_id: str = "mine", outcome: Outcome = Outcome.FAILED) -> Result:
    return Result(3, custom_id, outcome, status, "r", orjson.dumps(body))


def test_a_success_holds_the_answer_and_its_usage() -> None:
    """The answer unchanged, usage beside it if it has one, custom_id only if the client gave one."""
    answer = {"id": "c", "object": "chat.completion", "usage": {"total_tokens": 3}, "text": 'a "body": b'}
    shown = shown_result(answered(200, answer, outcome=Outcome.SUCCEEDED))
    assert (shown.index, shown.status, shown.result, shown.usage) == (3, "succeeded", answer, {"total_tokens": 3})
    assert (shown.custom_id, shown.error) == ("mine", None)
    bare = shown_result(answered(200, {"id": "c"}, custom_id="index:3", outcome=Outcome.SUCCEEDED))
    assert (bare.custom_id, bare.usage) == (None, None)


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"error": {"message": "no", "code": "bad", "type": "t"}}, "bad", "no"),
        ({"error": {"message": "no", "code": None, "type": "t"}}, "t", "no"),
        ({"error": "plainly"}, "http_422", "plainly"),
        ({"message": "flat", "code": 17}, "17", "flat"),
        ({"error": {}}, "http_422", "The provider answered with status 422."),
        ([1], "http_422", "The provider answered with status 422."),
    ],
)
def test_a_refusal_has_message_code_and_status(body: Any, code: str, message: str) -> None:
    """Whatever shape the provider's error has."""
    shown = shown_result(answered(422, body))
    assert shown.error is not None and shown.result is None and shown.status == "failed"
    assert (shown.error.code, shown.error.message, shown.error.status) == (code, message, 422)


@pytest.mark.parametrize(
    ("result", "code", "status"),
    [
        (failed(3, "mine", "request_timeout", "slow"), "request_timeout", 504),
        (failed(3, "mine", "connection_error", "cut"), "connection_error", 502),
        (failed(3, "mine", "invalid_response", "odd"), "invalid_response", 502),
        (unfinished(3, "mine", Outcome.CANCELLED), "batch_cancelled", 499),
        (unfinished(3, "mine", Outcome.EXPIRED), "batch_expired", 504),
        (unfinished(3, "mine", Outcome.FAILED), "batch_failed", 500),
    ],
)
def test_an_item_without_an_answer_has_them_too(result: Result, code: str, status: int) -> None:
    """The status is the one a gateway would have answered with."""
    shown = shown_result(result)
    assert shown.error is not None and shown.error.message
    assert (shown.status, shown.error.code, shown.error.status, shown.custom_id) == ("failed", code, status, "mine")


@pytest.mark.parametrize(
    "usage",
    [
        rb'{"note":"\ud800"}',
        b'{"n":1e400}',
        b'{"n":' + b"9" * 400 + b"}",
        rb'{"n":1e400,"note":"\ud800"}',
        b'{"n":' + b"[" * 400 + b"]" * 400 + b"}",
        b'{"n":' + b"[" * 900 + b"]" * 900 + b"}",
    ],
)
def test_answers_that_orjson_refuses_are_shown(usage: bytes) -> None:
    """Their bytes are copied; the usage beside them is the same, or none if it cannot be written again."""
    body = b'{"id":"c","usage":' + usage + b"}"
    result = Result(3, "a\u2028b", Outcome.SUCCEEDED, 200, "r", body)
    shown = write_result(stored(BATCH, result))
    assert body in shown
    assert len(shown.decode().splitlines()) == 1
    fields = json.loads(shown, parse_int=str, parse_float=str)
    assert fields["custom_id"] == "a\u2028b"
    assert fields.get("usage") in (None, json.loads(usage, parse_int=str, parse_float=str))


def test_an_error_that_orjson_refuses_is_shown() -> None:
    """A lone surrogate in its message, and a line separator, break neither the row nor the page."""
    body = rb'{"error":{"message":"half \ud83d\u2028","code":1e400}}'
    result = Result(3, "mine", Outcome.FAILED, 422, "r", body)
    shown = write_result(stored(BATCH, result))
    assert len(shown.decode().splitlines()) == 1
    assert json.loads(shown)["error"]["message"] == "half \ud83d\u2028"


# Objects.


def test_every_status_has_its_word() -> None:
    """Six words for eight statuses; what is not over is never shown as over."""
    assert {status: replies.STATUSES[status] for status in Status} == {
        Status.VALIDATING: "queued",
        Status.IN_PROGRESS: "processing",
        Status.FINALIZING: "processing",
        Status.CANCELLING: "processing",
        Status.COMPLETED: "completed",
        Status.CANCELLED: "cancelled",
        Status.EXPIRED: "expired",
        Status.FAILED: "failed",
    }
    for status, word in replies.STATUSES.items():
        assert status.is_terminal == (word in client.TERMINAL)


@pytest.mark.parametrize("status", list(Status))
def test_a_batch_has_every_field(status: Status) -> None:
    """In each status; the strict client takes it."""
    batch = Batch(
        BATCH, "acct_1", "kushrouter", CHAT, "file-x", "24h", status, 1, 2, {"a": [1]}, status_times={str(status): 9}
    )
    shown = client.Batch.model_validate_json(writing.write_batch(batch).body)
    assert (shown.status, shown.metadata) == (replies.STATUSES[status], {"a": [1]})


def test_a_page_is_framed() -> None:
    """Head, rows and tail are one JSON object."""
    batch = Batch(BATCH, "a", "kushrouter", CHAT, "f", "24h", Status.VALIDATING, 1, 2)
    frame = writing.frame_results(batch, ResultWindow(5, 10))
    rows = [write_result(stored(BATCH, failed(n, "c", "x", "y"))) for n in (5, 6)]
    page = client.Results.model_validate_json(frame.head + frame.separator.join(rows) + frame.tail)
    assert (page.id, page.status, page.total, page.offset, page.limit) == (BATCH, "queued", 0, 5, 10)
    assert [each.index for each in page.results] == [5, 6]


# Errors.


@pytest.mark.parametrize("status", [400, 401, 402, 404, 409, 413, 415])
def test_errors_have_one_shape(status: int) -> None:
    """Message, type, code, param and status, under `error`."""
    kind = type("Some", (RequestError,), {"status": status})
    reply = SURFACE.rules.write_error(kind("what is wrong", param="p", code="c"))
    detail = client.Error.model_validate_json(reply.body).error
    assert (reply.status, detail.message, detail.param, detail.code, detail.status) == (
        status,
        "what is wrong",
        "p",
        "c",
        status,
    )
    assert client.Error.model_validate_json(SURFACE.rules.write_error(kind("wrong")).body).error.code


def test_a_429_is_a_text() -> None:
    """`error` is the documented string; Retry-After says how long to wait."""
    reply = SURFACE.rules.write_error(RateLimited("…", retry_after_seconds=17))
    assert json.loads(reply.body) == {"error": "Rate limit exceeded (key)"}
    assert (reply.status, reply.headers["retry-after"]) == (429, "17")


def test_what_is_left_is_in_the_headers() -> None:
    """X-RateLimit-Limit, -Remaining and -Reset, the last in epoch seconds."""
    assert SURFACE.rules.allowance_headers(Allowance(100, 7, 1_800_000_000)) == {
        "x-ratelimit-limit": "100",
        "x-ratelimit-remaining": "7",
        "x-ratelimit-reset": "1800000000",
    }


def test_a_fault_of_ours_tells_nothing() -> None:
    """A 500 in the same shape."""
    reply = SURFACE.rules.write_error(None)
    assert reply.status == 500 and client.Error.model_validate_json(reply.body)


# Limits.


@pytest.mark.parametrize(
    ("own", "named", "expected"),
    [
        (Limits(), {}, Bounds(100_000, 500_000_000, 1_000_000, 0)),
        (Limits(10, 20, 30, 40), {}, Bounds(10, 20, 30, 40)),
        (Limits(max_batch_items=10**9), {}, Bounds(100_000, 500_000_000, 1_000_000, 0)),
        (Limits(10, 20, 30, 40), {"max_batch_items": 10**9}, Bounds(10**9, 20, 30, 40)),
        (Limits(requests_per_minute=40), {"requests_per_minute": 0}, Bounds(100_000, 500_000_000, 1_000_000, 0)),
    ],
)
def test_which_limits_hold(own: Limits, named: dict[str, int], expected: Bounds) -> None:
    """What the deployment sets for this surface; else the narrower of the surface's and the deployment's general
    limit."""
    surface = replace(SURFACE, name="some", rules=replace(SURFACE.rules, limits=own))
    deployment = settings.Limits.model_validate({"surface_limits": json.dumps({"some": named})})
    assert limits_of(surface, deployment) == expected


def test_the_documented_limits() -> None:
    """50,000 items, 256 KB a line, 500 MB."""
    bounds = limits_of(SURFACE, settings.Limits())
    assert (bounds.max_batch_items, bounds.max_line_bytes, bounds.max_file_bytes) == (50_000, 262_144, 500_000_000)
