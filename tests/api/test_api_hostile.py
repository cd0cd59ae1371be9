"""Whatever is sent, the API answers in its envelope: 4xx for the caller's faults, and nothing leaks into a log."""

from __future__ import annotations

import base64
import copy
import gzip
import io
import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchyard.handlers import http, resources
from batchyard.surfaces.registry import ROUTES
from tests.api.api import Cloud, Customer, lines
from tests.api.gateway import body, call, event

JSON_ROUTES = ["/v1/files/presigned", "/v1/uploads", "/v1/batches", f"/v1/uploads/upload_{'0' * 26}/complete"]
FORM_ROUTES = ["/v1/files", f"/v1/uploads/upload_{'0' * 26}/parts"]
VERSION = {"anthropic-version": "2023-06-01"}
BOUNDARY = "multipart/form-data; boundary=xyz"


def form(*parts: bytes, end: bytes = b"--xyz--\r\n") -> bytes:
    return b"".join(b"--xyz\r\n" + part + b"\r\n" for part in parts) + end


PURPOSE = b'Content-Disposition: form-data; name="purpose"\r\n\r\nbatch'
FILE = b'Content-Disposition: form-data; name="file"; filename="r.jsonl"\r\n\r\n{}\n'


def assert_envelope(reply: Any, *statuses: int) -> dict[str, Any]:
    assert reply.status_code in statuses, f"{reply.status_code} {reply.text[:300]}"
    error: dict[str, Any] = reply.json()["error"]
    assert set(error) in ({"message", "type", "param", "code", "status"}, {"message", "code", "details"})
    assert error["message"]
    assert reply.headers["x-request-id"].startswith("req_")
    return error


@pytest.mark.parametrize("path", JSON_ROUTES)
def test_bodies_that_are_no_request(alice: Customer, path: str) -> None:
    """Broken, deep, non-UTF-8, empty or non-object JSON is a 400 on every route that takes JSON."""
    bodies = [
        b"{",
        b"[" * 100_000,
        b'{"a":' * 5000,
        b"\xff\xfe",
        b"null",
        b"[]",
        b'"x"',
        b"1" * 10_000,
        b"",
        b"{}",
        b"NaN",
    ]
    for sent in bodies:
        reply = alice.http.post(path, content=sent, headers={"content-type": "application/json"})
        assert_envelope(reply, 400)


@pytest.mark.parametrize("path", JSON_ROUTES)
def test_content_types_that_are_not_json(alice: Customer, path: str) -> None:
    """A JSON route says 415 to forms and text, and does not guess."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", BOUNDARY, "application/jsonx", "\x00", "json"):
        assert_envelope(alice.http.post(path, content=b"{}", headers={"content-type": kind}), 415)
    for kind in ("application/json", "application/json; charset=utf-8", "Application/JSON", "application/hal+json"):
        assert_envelope(alice.http.post(path, content=b"{}", headers={"content-type": kind}), 400)


@pytest.mark.parametrize("path", FORM_ROUTES)
@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        (BOUNDARY, form(PURPOSE, FILE, end=b"")),
        (BOUNDARY, form(PURPOSE, FILE)[:-40]),
        (BOUNDARY, form(PURPOSE, FILE)[:30]),
        ("multipart/form-data; boundary=other", form(PURPOSE, FILE)),
        ("multipart/form-data", form(PURPOSE, FILE)),
        ("multipart/form-data; boundary=" + "x" * 5000, form(PURPOSE, FILE)),
        ("multipart/form-data; boundary=\x00\x01", form(PURPOSE, FILE)),
        (BOUNDARY, b""),
        (BOUNDARY, b"--xyz--\r\n"),
        (BOUNDARY, form(b"\r\nno headers")),
        (BOUNDARY, form(b"Content-Disposition: form-data\r\n\r\nno name")),
        (BOUNDARY, form(b"A: b\r\n" * 100 + b"\r\nmany headers")),
        (BOUNDARY, form(b"A: " + b"b" * 10_000 + b"\r\n\r\nlong header")),
        (BOUNDARY, form(*[PURPOSE] * 100, FILE)),
        (BOUNDARY, form(PURPOSE, FILE, end=b"--xyz")),
        (BOUNDARY, form(PURPOSE, FILE, end=b"--xyz\r\n")),
        (BOUNDARY, form(PURPOSE, b'Content-Disposition: form-data; name="file"\r\n\r\nno file name')),
        (BOUNDARY, form(PURPOSE, b'Content-Disposition: form-data; name="note"\r\n\r\n' + b"x" * 100_000)),
        (BOUNDARY, form(b'Content-Disposition: form-data; name="purpose"\r\n\r\n\xff\xfe', FILE)),
    ],
)
def test_forms_that_are_broken(alice: Customer, path: str, kind: str, sent: bytes) -> None:
    """Cut off, wrong or missing boundaries, parts without names, too many of anything: 400, on both form routes."""
    assert_envelope(alice.http.post(path, content=sent, headers={"content-type": kind}), 400)


@pytest.mark.parametrize("path", FORM_ROUTES)
def test_content_types_that_are_no_form(alice: Customer, path: str) -> None:
    """A form route says 415 to everything else."""
    for kind in ("application/json", "text/plain", "multipart/mixed; boundary=xyz", ""):
        assert_envelope(alice.http.post(path, content=form(PURPOSE, FILE), headers={"content-type": kind}), 415)


@pytest.mark.parametrize("path", ["/v1/files", "/api/v1/files", "/api/openai/v1/files"])
def test_a_form_without_a_file_name_says_what_to_do(alice: Customer, path: str) -> None:
    """`curl -F file=<requests.jsonl` sends a field instead of a file, and the message says so; it does not say that
    `file` is missing."""
    sent = form(PURPOSE, FILE.replace(b'; filename="r.jsonl"', b""))
    reply = alice.http.post(path, content=sent, headers={"content-type": BOUNDARY})
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "missing_required_parameter")
    assert "file name" in reply.json()["error"]["message"]


def test_a_good_form_is_taken(alice: Customer) -> None:
    """The forms above fail for their fault alone: without it the same form is a file."""
    reply = alice.http.post("/v1/files", content=form(PURPOSE, FILE), headers={"content-type": BOUNDARY})
    assert (reply.status_code, reply.json()["filename"]) == (200, "r.jsonl")


def test_a_compressed_body_is_refused(alice: Customer) -> None:
    """No body is ever unpacked, so no small one becomes a large one."""
    bomb = gzip.compress(b"0" * 10_000_000)
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    assert_envelope(alice.http.post("/v1/batches", content=bomb, headers=headers), 415)


IDS = [
    "x",
    "file-",
    "../../etc",
    "%2e%2e%2f",
    "%00",
    "a" * 3000,
    "файл",
    "file-" + "0" * 27,
    "FILE-" + "0" * 26,
    "*",
    "%F0%9F",
]


@pytest.mark.parametrize("shape", sorted({r.path for r in ROUTES if "_id}" in r.path}))
def test_ids_that_are_none(alice: Customer, shape: str) -> None:
    """Whatever stands in the place of an id, it names nothing: 404."""
    methods = [route.method for route in ROUTES if route.path == shape]
    for method in methods:
        for text in IDS:
            reply = alice.http.request(method, re.sub(r"{\w+_id}", text, shape), headers=VERSION)
            if reply.json().get("type") == "error":  # Anthropic's envelope
                assert (reply.status_code, reply.json()["error"]["type"]) == (404, "not_found_error")
            else:
                assert_envelope(reply, 404)


def test_models_that_are_none(alice: Customer) -> None:
    """Names with slashes, spaces, nothing printable: 404."""
    for name in ("no-such-model", "a/b/c", "%20", "%00", "x" * 5000, "%F0%9F%9A%9A", "..%2F.."):
        assert_envelope(alice.http.get(f"/v1/models/{name}"), 404)


def test_an_event_with_nothing_in_it(cloud: Cloud) -> None:
    """API Gateway sends null for headers, query and path parameters if there are none."""
    for name in ("list_files", "create_batch", "retrieve_file"):
        bare = event(f"api/{name}") | {
            "headers": None,
            "multiValueHeaders": None,
            "queryStringParameters": None,
            "pathParameters": None,
            "body": None,
            "isBase64Encoded": False,
        }
        answer = call("batches" if "batch" in name else "files", bare)
        assert answer["statusCode"] == 401 and body(answer)["error"]["message"]


def test_a_body_that_is_no_base64(alice: Customer) -> None:
    """Should a body be no base64 though the event says so, that is a 400."""
    broken = event("api/create_batch") | {"body": "{AAAA"}
    broken["headers"]["Authorization"] = f"Bearer {alice.key}"
    answer = call("batches", broken)
    assert answer["statusCode"] == 400 and "decoded" in body(answer)["error"]["message"]


AUTHORIZATIONS = [
    "",
    "Bearer",
    "Bearer ",
    "Basic abc",
    "Bearer x",
    "bearer\tx",
    "Bearer " + "k" * 100_000,
    "Bearer ключ",
]


@pytest.mark.parametrize("authorization", AUTHORIZATIONS)
def test_keys_that_are_none(cloud: Cloud, authorization: str) -> None:
    """No key, a wrong scheme, rubbish: 401 in the envelope, whatever it is."""
    sent = event("api/list_files")
    sent["headers"]["Authorization"] = authorization
    answer = call("files", sent)
    assert answer["statusCode"] == 401
    assert body(answer)["error"]["type"] == "invalid_request_error"


TEXT = st.text(max_size=40)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["input_file_id", "endpoint", "completion_window", "metadata", "output_expires_after", "settings", "filename",
          "purpose", "expires_after", "bytes", "mime_type", "part_ids", "md5"]  # fmt: skip
BODIES = st.dictionaries(st.sampled_from(FIELDS), ANY_JSON | st.sampled_from(["batch", "/v1/embeddings", "24h"]))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    route=st.sampled_from(ROUTES),
    sent=BODIES.map(json.dumps).map(str.encode) | st.binary(max_size=200),
    kind=st.sampled_from(["application/json", BOUNDARY, ""]) | TEXT,
    query=st.dictionaries(st.sampled_from(["limit", "after", "order", "purpose"]), TEXT),
    identity=TEXT | st.sampled_from(["file-" + "0" * 26, "batch_" + "0" * 26, "upload_" + "0" * 26]),
)
def test_nothing_that_is_sent_is_a_fault_of_ours(
    alice: Customer, route: Any, sent: bytes, kind: str, query: dict[str, str], identity: str
) -> None:
    """Arbitrary bodies, types, queries and ids on every route: never a 5xx, always JSON (or the redirect to the
    dashboard's page), always a request id."""
    ids = ("file_id", "batch_id", "upload_id", "api_key_id", "delivery_id", "model", "index", "file")
    made = copy.deepcopy(event("api/list_batches"))
    made |= {
        "resource": route.path,
        "path": route.path,
        "httpMethod": route.method,
        "headers": {"Authorization": f"Bearer {alice.key}", "Content-Type": kind, "Idempotency-Key": identity},
        "queryStringParameters": query or None,
        "pathParameters": dict.fromkeys(ids, identity),
        "body": base64.b64encode(sent).decode(),
        "isBase64Encoded": True,
    }
    answer = call(route.function, made)
    assert answer["statusCode"] < 500, answer["body"]
    assert answer["headers"]["x-request-id"]
    assert answer["statusCode"] == 302 or body(answer)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What the API logs from here on."""
    stream = io.StringIO()
    monkeypatch.setattr(http.logger.registered_handler, "stream", stream)
    return stream


def test_a_fault_of_ours_says_nothing(
    alice: Customer, monkeypatch: pytest.MonkeyPatch, log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unexpected exception is a 500 with a request id; its text, which may quote a prompt, is in neither reply nor
    log, while the log says where it came from."""

    def breaks() -> None:
        raise ValueError("the customer's prompt")

    monkeypatch.setattr(resources, "files", breaks)
    reply = alice.http.get("/v1/files")
    error = assert_envelope(reply, 500)
    assert error["type"] == "server_error"
    logged = log.getvalue() + capsys.readouterr().out
    assert "prompt" not in reply.text + logged
    assert "ValueError" in logged and "test_api_hostile.py" in logged and reply.headers["x-request-id"] in logged


def test_logs_hold_neither_keys_nor_prompts(
    alice: Customer, log: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    """A whole exchange, good and bad requests, leaves no secret and no content in the log."""
    data = lines(2).replace(b"question", b"my-private-question")
    file = alice.openai.files.create(file=("r.jsonl", io.BytesIO(data)), purpose="batch")
    batch = {"input_file_id": file.id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    alice.http.post("/v1/batches", json=batch | {"metadata": {"note": "my-private-note"}})
    alice.http.post("/v1/batches", json=batch | {"metadata": {"note": 7, "x": "my-private-note"}})
    alice.http.post("/v1/batches", content=b'{"my-private-json', headers={"content-type": "application/json"})
    alice.http.get(f"/v1/files/{file.id}/content")
    logged = log.getvalue() + capsys.readouterr().out
    assert "answered" in logged
    assert "my-private" not in logged and alice.key not in logged
