"""The OpenAI surface: lines, ids, errors and objects, without AWS."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import orjson
import pytest
from openai.types import Batch as BatchObject
from openai.types import BatchCreateParams

import batchyard
from batchyard.adapters.providers.openai.translator import OpenAITranslator
from batchyard.adapters.providers.translator import ProviderRequest
from batchyard.core.batches import Batch, Status
from batchyard.core.errors import Conflict, InvalidRequest, NotFound, RateLimited, Unauthenticated
from batchyard.core.items import Item, LineError, read_work_lines, work_line
from batchyard.core.lanes import Lane
from batchyard.core.providers import ENDPOINTS, MESSAGES
from batchyard.core.requests import BatchRequest
from batchyard.core.usage import Tally
from batchyard.surfaces import registry
from batchyard.surfaces.http import Request
from batchyard.surfaces.openai.requests import CreateBatch, parsed
from batchyard.surfaces.openai.writing import write_batch
from batchyard.surfaces.operations import Operation
from batchyard.surfaces.route import Asked
from batchyard.surfaces.surface import LineContext

CHAT = "/v1/chat/completions"
CONTEXT = LineContext(CHAT, max_custom_id_chars=64)
SURFACE = registry.surface("openai")
GOOD: dict[str, Any] = {
    "custom_id": "r-1",
    "method": "POST",
    "url": CHAT,
    "body": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]},
}
REMOVE = object()


def parse(raw: bytes, index: int = 4, line: int = 7) -> Item | LineError:
    return SURFACE.parse_line(raw, index, line, CONTEXT)


def changed(**changes: Any) -> bytes:
    """The good line with some fields changed; `body__x` is a field of the body."""
    made = json.loads(json.dumps(GOOD))
    for name, value in changes.items():
        target, key = (made["body"], name.removeprefix("body__")) if name.startswith("body__") else (made, name)
        if value is REMOVE:
            del target[key]
        else:
            target[key] = value
    return json.dumps(made).encode()


def test_a_good_line_is_an_item() -> None:
    """Index, custom_id, model and body arrive; the body is compact JSON that says the same."""
    item = parse(json.dumps(GOOD, indent=1).replace("\n", " ").encode())
    assert item == Item(4, "r-1", "gpt-4o-mini", orjson.dumps(GOOD["body"]), None)


@pytest.mark.parametrize(
    "text",
    [
        "line\u2028separator\u2029",
        "naïve 日本語 🚚",
        'quote " backslash \\ tab \t newline \n',
        "\x00\x1f\x7f",
        "<\u0085>",
    ],
)
def test_text_survives_the_line_and_the_work_file(text: str) -> None:
    """Whatever a prompt holds, escaped or not, reaches the worker unchanged, on one line."""
    for ascii_only in (True, False):
        made = GOOD | {"custom_id": text, "body": GOOD["body"] | {"messages": [text]}}
        item = parse(json.dumps(made, ensure_ascii=ascii_only).encode())
        assert isinstance(item, Item) and item.custom_id == text
        (work,) = read_work_lines(work_line(item))
        assert (work.custom_id, json.loads(work.body)["messages"]) == (text, [text])


@pytest.mark.parametrize("number", [b"18446744073709551616", b"-9223372036854775809", b"0.12345678901234567890"])
def test_long_numbers_are_sent_as_they_came(number: bytes) -> None:
    """To the last digit, under the name that the provider has for the model, too."""
    body = b'{"model":"m","n":%b,"messages":[%b]}' % (number, number)
    item = SURFACE.parse_line(
        b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":%b}' % body, 0, 1, CONTEXT
    )
    assert isinstance(item, Item) and item.body == body
    sent = OpenAITranslator().request("/v1/chat/completions", item.body, Lane("openai", "other"))
    assert isinstance(sent, ProviderRequest) and sent.body == body.replace(b'"m"', b'"other"')


def test_a_line_end_does_no_harm() -> None:
    """CR and LF at the end of a line are white space."""
    assert parse(changed() + b"\r\n") == parse(changed())


@pytest.mark.parametrize(
    ("raw", "code", "param"),
    [
        (b"{", "invalid_json_line", None),
        (b"not json", "invalid_json_line", None),
        (b"{}{}", "invalid_json_line", None),
        (b"\xff", "invalid_json_line", None),
        (b'{"custom_id":"\xed\xa0\x80"}', "invalid_json_line", None),
        (b"\xef\xbb\xbf{}", "invalid_json_line", None),
        (b'{"custom_id": NaN}', "invalid_json_line", None),
        (b"[" * 5000, "invalid_json_line", None),
        (rb'{"custom_id":"half \ud83d"}', "invalid_json_line", "custom_id"),
        (rb'{"body":{"messages":[{},{"content":"\udc00"}]}}', "invalid_json_line", "body.messages[1].content"),
        (rb'{"body":{"user":{"na\ud800me":1}}}', "invalid_json_line", "body.user"),
        (rb'{"na\ud800me":1}', "invalid_json_line", None),
        (rb'"half \ud83d"', "invalid_json_line", None),
        (b'{"body":{"seed":1e400}}', "invalid_json_line", "body.seed"),
        (b'{"body":{"stop":["a",-%b]}}' % (b"9" * 400), "invalid_json_line", "body.stop[1]"),
        (b'{"body":{"seed":1e400}', "invalid_json_line", None),
        (b'{"%b":{"a":1e400}}' % (b"x" * 999), "invalid_json_line", "x" * 200),
        (b"[]", "invalid_json_line", None),
        (b'"text"', "invalid_json_line", None),
        (b"null", "invalid_json_line", None),
        (b"7", "invalid_json_line", None),
        (b"{}", "missing_required_parameter", "custom_id"),
        (changed(custom_id=REMOVE), "missing_required_parameter", "custom_id"),
        (changed(custom_id=None), "missing_required_parameter", "custom_id"),
        (changed(custom_id=1), "invalid_custom_id", "custom_id"),
        (changed(custom_id=True), "invalid_custom_id", "custom_id"),
        (changed(custom_id=["a"]), "invalid_custom_id", "custom_id"),
        (changed(custom_id=""), "invalid_custom_id", "custom_id"),
        (changed(custom_id="x" * 65), "invalid_custom_id", "custom_id"),
        (changed(method=REMOVE), "missing_required_parameter", "method"),
        (changed(method="GET"), "invalid_method", "method"),
        (changed(method="post"), "invalid_method", "method"),
        (changed(method=["POST"]), "invalid_method", "method"),
        (changed(url=REMOVE), "missing_required_parameter", "url"),
        (changed(url="/v1/embeddings"), "url_mismatch", "url"),
        (changed(url=CHAT + "/"), "url_mismatch", "url"),
        (changed(url=5), "invalid_type", "url"),
        (changed(body=REMOVE), "missing_required_parameter", "body"),
        (changed(body=[]), "invalid_type", "body"),
        (changed(body="{}"), "invalid_type", "body"),
        (changed(body__model=REMOVE), "missing_required_parameter", "body.model"),
        (changed(body__model=None), "missing_required_parameter", "body.model"),
        (changed(body__model=4), "invalid_type", "body.model"),
        (changed(body__model=""), "invalid_model", "body.model"),
        (changed(body__model="m" * 257), "invalid_model", "body.model"),
        (changed(body__stream=True), "unsupported_parameter", "body.stream"),
        (changed(body__background=True), "unsupported_parameter", "body.background"),
        (changed(provider=3), "invalid_type", "provider"),
        (changed()[:-2] + b',"x":' + b"[" * 300 + b"]" * 300 + b"}}", "invalid_json_line", "body"),
    ],
)
def test_a_bad_line_says_where_and_why(raw: bytes, code: str, param: str | None) -> None:
    """Each fault has its code, its line and its parameter, and a message for people."""
    error = parse(raw)
    assert isinstance(error, LineError)
    assert (error.code, error.line, error.param) == (code, 7, param)
    assert len(error.message) > 20 and error.message.endswith(".")


def test_a_message_never_repeats_a_prompt() -> None:
    """Line errors are stored and shown; what stands in a body is not part of them."""
    for raw in (changed(body__stream=True, body__messages="secret"), b'{"secret', changed(method="secret")):
        error = parse(raw)
        assert isinstance(error, LineError) and "secret" not in error.message


@pytest.mark.parametrize("stream", [False, None])
def test_a_stream_flag_that_is_off_is_fine(stream: bool | None) -> None:
    """Only a stream that is asked for is refused."""
    assert isinstance(parse(changed(body__stream=stream)), Item)


def test_a_line_may_name_its_provider() -> None:
    """FastRouter's field; other fields that nobody knows are ignored, as OpenAI does."""
    item = parse(changed(provider="anthropic", note="x"))
    assert isinstance(item, Item) and item.provider == "anthropic"


def test_the_longest_custom_id_is_taken() -> None:
    """The limit counts characters, not bytes."""
    assert isinstance(parse(changed(custom_id="é" * 64)), Item)


def test_the_surface_knows_every_endpoint() -> None:
    """What batches can be made for is what providers can serve, but for Anthropic's form."""
    assert CreateBatch.model_fields["endpoint"].annotation.__args__ == (  # type: ignore[union-attr]
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/responses",
        "/v1/moderations",
        "/v1/images/generations",
        "/v1/images/edits",
    )
    assert set(ENDPOINTS) - {MESSAGES} == set(CreateBatch.model_fields["endpoint"].annotation.__args__)  # type: ignore[union-attr]


@pytest.mark.parametrize("endpoint", get_args(get_type_hints(BatchCreateParams)["endpoint"]))
def test_every_endpoint_of_the_sdk_is_taken_or_refused_with_a_reason(endpoint: str) -> None:
    """Whatever `client.batches.create` of the newest SDK takes: it is served, or the error says why it is not."""
    body = {"input_file_id": "file-1", "endpoint": endpoint, "completion_window": "24h"}
    if endpoint in ENDPOINTS:
        assert parsed(CreateBatch, body).endpoint == endpoint
        return
    with pytest.raises(InvalidRequest, match=f"There are no batches for {endpoint}: .+") as refused:
        parsed(CreateBatch, body)
    assert (refused.value.param, refused.value.code) == ("endpoint", "invalid_value")


@pytest.mark.parametrize("header", ["Bearer key", "bearer key", "  Bearer   key  "])
def test_the_key_is_read(header: str) -> None:
    """The scheme in any case, with any white space."""
    assert SURFACE.rules.read_api_key(Request("GET", "/", "r", {"authorization": header})) == "key"


def test_a_missing_key_is_refused_in_openais_words() -> None:
    """401, and how to send one."""
    with pytest.raises(Unauthenticated) as caught:
        SURFACE.rules.read_api_key(Request("GET", "/", "r"))
    reply = SURFACE.rules.write_error(caught.value)
    error = orjson.loads(reply.body)["error"]
    assert (reply.status, error["type"], error["code"]) == (401, "invalid_request_error", "unauthorized")
    assert "Authorization: Bearer" in error["message"]


@pytest.mark.parametrize(
    ("error", "status", "headers"),
    [
        (InvalidRequest("m", param="p", code="c"), 400, {}),
        (NotFound("m", param="p", code="c"), 404, {}),
        (Conflict("m", param="p", code="c"), 409, {"x-should-retry": "false"}),
        (RateLimited("m", retry_after_seconds=7), 429, {"retry-after": "7"}),
        (None, 500, {}),
    ],
)
def test_errors_have_one_shape(error: Any, status: int, headers: dict[str, str]) -> None:
    """OpenAI's envelope, whole, with what SDKs need to decide on a retry, and FastRouter's status and code."""
    reply = SURFACE.rules.write_error(error)
    assert reply.status == status
    assert {**reply.headers} == headers | {"content-type": "application/json"}
    error = orjson.loads(reply.body)["error"]
    assert set(error) == {"message", "type", "param", "code", "status"}
    assert error["status"] == status
    assert error["code"] and type(error["code"]) is str


@pytest.mark.parametrize("status", list(Status))
def test_every_status_is_shown(status: Status) -> None:
    """Each status is OpenAI's own, with the time it was entered under its name; counts always add up."""
    batch = Batch(
        "batch_1", "a", "openai", CHAT, "file-1", "24h", status, 1, 2, tally=Tally(1, 2, 3, 4), status_times={status: 9}
    )
    shown = BatchObject.model_validate(orjson.loads(write_batch(batch).body), strict=True)
    assert shown.status == status
    if status is not Status.VALIDATING:
        assert getattr(shown, f"{status}_at") == 9
    counts = shown.request_counts
    assert counts is not None and (counts.completed, counts.failed) == (1, 9)


def test_equal_requests_have_equal_fingerprints() -> None:
    """The order of metadata and the key itself make no difference; any parameter does."""
    one = BatchRequest("openai", CHAT, "file-1", metadata={"a": "1", "b": "2"}, idempotency_key="k")
    two = BatchRequest("openai", CHAT, "file-1", metadata={"b": "2", "a": "1"})
    assert one.fingerprint == two.fingerprint
    for other in (
        BatchRequest("openai", CHAT, "file-2", metadata=two.metadata),
        BatchRequest("openai", "/v1/embeddings", "file-1", metadata=two.metadata),
        BatchRequest("openai", CHAT, "file-1"),
        BatchRequest("openai", CHAT, "file-1", metadata=two.metadata, concurrency=1),
    ):
        assert other.fingerprint != one.fingerprint


def test_routes_are_one_of_a_kind() -> None:
    """No two routes share a method, a path and what marks them; those that share a path are one function's; every
    operation is described and every surface can be loaded."""
    marks = {(route.method, route.path, route.header_prefix, route.claims) for route in registry.ROUTES}
    assert len(marks) == len(registry.ROUTES)
    for route in registry.ROUTES:
        assert registry.surface(route.surface).operation(route.operation).doc.summary
        headers = ["accept", *([f"{route.header_prefix}x"] if route.header_prefix else [])]
        if route.claims is None:
            assert registry.find(route.method, route.path, Asked(headers)) is route
        plain = registry.find(route.method, route.path)
        assert plain is not None and plain.function == route.function


@pytest.mark.parametrize("name", sorted(registry.DIALECTS))
def test_tables_and_routes_agree(name: str) -> None:
    """A dialect has a route to each of its operations, and no other; its table goes by the name of its routes."""
    surface, routes = registry.surface(name), registry.DIALECTS[name].routes
    assert {surface.name} == {route.surface for route in routes} == {name}
    operations = {field.name for field in fields(surface) if isinstance(getattr(surface, field.name), Operation)}
    assert {route.operation for route in routes} == operations
    assert surface.results is not None or not {"list_results", "export_results"} & operations


def test_the_registry_stays_light() -> None:
    """Synth and the gateway import the routes; that must bring in neither boto3 nor pydantic."""

    code = "import sys, batchyard.surfaces.registry; print({'boto3', 'pydantic', 'orjson'} & set(sys.modules))"
    paths = {"PYTHONPATH": str(Path(batchyard.__file__).parents[1])}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=paths)
    assert found.stdout.strip() == "set()"
