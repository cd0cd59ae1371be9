"""The Portkey surface: which requests are its own, and what their headers mean."""

from __future__ import annotations

import json
from typing import Any

import pytest

from batchyard.core.batches import Batch, Status
from batchyard.core.errors import InvalidRequest, Unauthenticated
from batchyard.core.items import Item, LineError
from batchyard.core.requests import BatchRequest, PageRequest
from batchyard.surfaces import registry
from batchyard.surfaces.http import Request
from batchyard.surfaces.portkey.surface import read_batch
from batchyard.surfaces.route import Asked
from batchyard.surfaces.surface import LineContext

SURFACE = registry.surface("portkey")
BODY = {
    "input_file_id": "file-01m7vzgc0060rk4csm6mv3ee1s",
    "endpoint": "/v1/chat/completions",
    "completion_window": "24h",
}
HEADERS = {"x-portkey-api-key": "by_live_ours", "x-portkey-provider": "openai", "authorization": "Bearer sk-theirs"}


def read(headers: dict[str, str] | None = None, **changes: Any) -> BatchRequest:
    body = json.dumps(BODY | changes).encode()
    return read_batch(Request("POST", "/v1/batches", "r", HEADERS | (headers or {}), body=body))


def test_a_portkey_header_chooses_the_surface() -> None:
    """Any of Portkey's headers, on every path of the OpenAI surface but the public one; nothing else does."""
    for route in registry.ROUTES:
        if route.surface != "openai" or route.public:
            continue
        for name in ("x-portkey-api-key", "x-portkey-provider", "x-portkey-virtual-key"):
            found = registry.find(route.method, route.path, Asked(["accept", name]))
            assert found is not None
            assert (found.surface, found.operation, found.function) == ("portkey", route.operation, route.function)
        assert registry.find(route.method, route.path, Asked(["accept", "x-api-key", "portkey"])) is route
    marked = registry.find("GET", "/api/v1/batches", Asked(["x-portkey-provider"]))
    assert marked is registry.find("GET", "/api/v1/batches")


def test_our_key_is_in_portkeys_header() -> None:
    """The Authorization header is the provider's, unless the provider's key is kept here."""
    assert SURFACE.rules.read_api_key(Request("GET", "/", "r", HEADERS)) == "by_live_ours"
    nobody = HEADERS | {"x-portkey-api-key": " "}
    with pytest.raises(Unauthenticated):
        SURFACE.rules.read_api_key(Request("GET", "/", "r", nobody))
    for kept in ({"x-portkey-provider": "@openai"}, {"x-portkey-virtual-key": "openai"}):
        ours = nobody | kept | {"authorization": "Bearer by_live_ours"}
        assert SURFACE.rules.read_api_key(Request("GET", "/", "r", ours)) == "by_live_ours"


@pytest.mark.parametrize(
    ("headers", "provider", "key"),
    [
        ({}, "openai", "sk-theirs"),
        ({"x-portkey-provider": " OpenAI "}, "openai", "sk-theirs"),
        ({"x-portkey-provider": "mistral-ai"}, "mistral", "sk-theirs"),
        ({"x-portkey-provider": "together-ai"}, "together", "sk-theirs"),
        ({"authorization": "bearer  sk-theirs "}, "openai", "sk-theirs"),
        ({"x-portkey-provider": "@openai"}, "openai", None),
        ({"x-portkey-provider": "", "x-portkey-virtual-key": "groq"}, "groq", None),
        ({"x-portkey-provider": "groq", "x-portkey-virtual-key": "@groq"}, "groq", None),
        ({"x-portkey-provider": "@openai", "authorization": ""}, "openai", None),
    ],
)
def test_headers_name_provider_and_key(headers: dict[str, str], provider: str, key: str | None) -> None:
    """A provider is the caller's own, unless it is written with @ or as a virtual key: those are kept here."""
    request = read(headers)
    assert (request.surface, request.provider, request.caller_key) == ("portkey", provider, key)


@pytest.mark.parametrize("window", ["24h", "immediate"])
@pytest.mark.parametrize("endpoint", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"])
def test_what_is_documented_is_taken(window: str, endpoint: str) -> None:
    """Two windows, three endpoints."""
    request = read(completion_window=window, endpoint=endpoint)
    assert (request.completion_window, request.endpoint) == (window, endpoint)


@pytest.mark.parametrize(
    "change", [{"endpoint": "/v1/responses"}, {"completion_window": "1h"}, {"portkey_options": {}}]
)
def test_what_is_not_documented_is_refused(change: dict[str, Any]) -> None:
    """With the parameter's name."""
    with pytest.raises(InvalidRequest) as caught:
        read(**change)
    assert caught.value.param == next(iter(change))


def test_openais_settings_are_taken() -> None:
    """A ceiling on calls, and that identical requests are sent once."""
    request = read(settings={"concurrency": 4, "identical_once": True})
    assert (request.concurrency, request.identical_once) == (4, True)
    assert read().identical_once is False


def test_pages_of_batches() -> None:
    """20 unless asked otherwise, 1 to 100."""

    def limit(**query: str) -> int:
        page: PageRequest = SURFACE.operation("list_batches").read(Request("GET", "/v1/batches", "r", query=query))
        return page.limit

    assert [limit(), limit(limit="1"), limit(limit="100")] == [20, 1, 100]
    for wrong in ("0", "101", "-1", "ten"):
        with pytest.raises(InvalidRequest):
            limit(limit=wrong)


def test_a_key_is_in_no_fingerprint_and_no_text() -> None:
    """Requests that differ by the key only are the same; no log line that shows a request shows the key."""
    one, other = read(), read({"authorization": "Bearer sk-rotated"})
    assert one.caller_key != other.caller_key
    assert one.fingerprint == other.fingerprint
    assert one.fingerprint != read({"x-portkey-provider": "groq"}).fingerprint
    assert "sk-theirs" not in repr(one)


def test_lines_and_replies_are_openais() -> None:
    """A line is read, and a batch and an error are shown, as on the OpenAI surface."""
    openai = registry.surface("openai")
    context = LineContext("/v1/chat/completions")
    good = {"custom_id": "a", "method": "POST", "url": context.endpoint, "body": {"model": "gpt-4o-mini"}}
    for line in (good, good | {"method": "GET"}):
        raw = json.dumps(line).encode()
        parsed = SURFACE.parse_line(raw, 0, 1, context)
        assert parsed == openai.parse_line(raw, 0, 1, context)
        assert isinstance(parsed, Item if line is good else LineError)
    batch = Batch("batch_x", "a", "portkey", context.endpoint, "file-x", "immediate", Status.VALIDATING, 1, 2)
    write = SURFACE.operation("create_batch").write
    assert write(batch) == openai.operation("create_batch").write(batch)
    assert json.loads(write(batch).body)["usage"]["paid_by"] == "operator"
