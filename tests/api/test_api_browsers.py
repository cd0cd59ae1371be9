"""HEAD wherever GET is, pages of other origins if the deployment names them, and bytes without a name."""

from __future__ import annotations

import io

import httpx
import pytest

from batchyard import settings
from tests.api.api import Cloud, Customer, lines

ORIGIN = "https://app.example.com"


def preflight(customer: Customer, path: str, origin: str = ORIGIN) -> httpx.Response:
    """What a browser asks before it sends a key to another origin."""
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    return customer.http.request("OPTIONS", path, headers={"origin": origin, "authorization": "", **asked})


def allow(monkeypatch: pytest.MonkeyPatch, origins: str) -> None:
    monkeypatch.setenv("CORS_ORIGINS", origins)
    settings.load.cache_clear()


@pytest.mark.parametrize(
    "path", ["/v1/files", "/v1/batches", "/v1/models", "/api/v1/files", "/openapi.json", "/v1/batches/batch_x"]
)
def test_head_is_get_without_a_body(alice: Customer, path: str) -> None:
    """The same status and type, also for errors."""
    got, asked = alice.http.get(path), alice.http.head(path)
    assert (asked.status_code, asked.headers["content-type"]) == (got.status_code, got.headers["content-type"])
    assert asked.content == b"" and got.content != b""


def test_a_page_of_a_named_origin_may_call(alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The preflight needs no key and allows what the browser asks for; replies and errors may be read by the page."""
    allow(monkeypatch, f'["{ORIGIN}"]')
    asked = preflight(alice, "/v1/batches")
    assert (asked.status_code, asked.content) == (204, b"")
    assert asked.headers["access-control-allow-origin"] == ORIGIN
    assert asked.headers["access-control-allow-headers"] == "authorization,content-type"
    assert {"GET", "POST", "DELETE"} <= set(asked.headers["access-control-allow-methods"].split(", "))
    for path, status in (("/v1/batches", 200), ("/v1/batches/batch_x", 404)):
        reply = alice.http.get(path, headers={"origin": ORIGIN})
        assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (status, ORIGIN)
        assert reply.headers["vary"] == "origin"
        assert "x-request-id" in reply.headers["access-control-expose-headers"]


def test_other_origins_may_not(alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor any, if the deployment names none; programs, which send no origin, see no difference."""
    for origins, origin in (("[]", ORIGIN), (f'["{ORIGIN}"]', ORIGIN + ".evil.example"), (f'["{ORIGIN}"]', "null")):
        allow(monkeypatch, origins)
        for reply in (preflight(alice, "/v1/batches", origin), alice.http.get("/v1/files", headers={"origin": origin})):
            assert not [name for name in reply.headers if name.startswith("access-control")]
    allow(monkeypatch, '["*"]')
    assert (
        alice.http.get("/v1/files", headers={"origin": "https://x.test"}).headers["access-control-allow-origin"] == "*"
    )
    assert "access-control-allow-origin" not in alice.http.get("/v1/files").headers


def test_no_header_is_made_of_what_is_none(alice: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only names of headers are allowed back."""
    allow(monkeypatch, '["*"]')
    asked = {"origin": ORIGIN, "access-control-request-headers": "a, b; c"}
    assert "access-control-allow-headers" not in alice.http.request("OPTIONS", "/v1/files", headers=asked).headers


def test_bytes_without_a_name_are_a_file(cloud: Cloud, alice: Customer) -> None:
    """`files.create(file=b"…")` and a stream in memory: SDKs call them `upload`. A batch can be made from them."""
    for content in (lines(2), io.BytesIO(lines(3))):
        file = alice.openai.files.create(file=content, purpose="batch")
        assert file.filename == "upload"
        batch = alice.openai.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        assert batch.status == "validating"
