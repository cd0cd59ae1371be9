"""The dialects in which vendors are called: which paths they have, what their errors look like."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import orjson

from local.provider.answers import anthropic, gemini, openai, openai_variants
from local.provider.answers.content import Body, Endpoint
from local.provider.prompt_cache import Prefix, automatic_prefixes, marked_prefixes
from local.provider.wire import Refused, Request

VENDORS = ("openai", "azure", "groq", "mistral", "together", "anthropic", "gemini")
"""A provider of one of these names is that vendor; any other one is OpenAI, unless the settings say."""

_GEMINI = re.compile(r"(.*?)(/v1beta/)(.*)")
_AZURE = re.compile(r"(.*?)/openai(/)(?:deployments/[^/]+/)?(.*)")
"""Azure's older paths, which name a deployment and no version."""

_COMPATIBLE = ("chat/completions", "embeddings")
_COMPATIBLE_VENDORS = {"anthropic": "openai", "gemini": "openai"}
"""These have some of OpenAI's paths beside their own, and speak as it does there."""


class Address(NamedTuple):
    """Where a request goes. `path` begins with the version of the API, `/v1/...`."""

    provider: str
    vendor: str
    path: str


class Bucket(NamedTuple):
    """What is left of a limit: how many requests of how many, and when (seconds from now, seconds since 1970) it is
    whole again. `per_second`: how fast it fills."""

    size: int
    left: int
    full_after_seconds: float
    full_at: float
    per_second: float


def openai_rate_headers(bucket: Bucket) -> list[str]:
    return [
        f"x-ratelimit-limit-requests: {bucket.size}",
        f"x-ratelimit-remaining-requests: {bucket.left}",
        f"x-ratelimit-reset-requests: {bucket.full_after_seconds:.3f}s",
    ]


def anthropic_rate_headers(bucket: Bucket) -> list[str]:
    """Its limits are per minute, its times RFC 3339, in whole seconds."""
    full_at = datetime.fromtimestamp(-(-bucket.full_at // 1), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    limit = max(bucket.size, round(60 * bucket.per_second))
    return [
        f"anthropic-ratelimit-requests-limit: {limit}",
        f"anthropic-ratelimit-requests-remaining: {limit - bucket.size + bucket.left if bucket.left else 0}",
        f"anthropic-ratelimit-requests-reset: {full_at}",
    ]


def no_rate_headers(bucket: Bucket) -> list[str]:
    """Google says nothing."""
    return []


@dataclass(frozen=True, slots=True)
class Dialect:
    """`find` gives the endpoint of a path, None if it is none of this dialect's. `complete` adds to a body what the
    path says."""

    find: Callable[[str], Endpoint | None]
    error_body: Callable[[Refused], bytes]
    prefixes: Callable[[Body], list[Prefix]]
    sells_flex: bool = False
    complete: Callable[[Body, Request], Body] | None = None
    check_call: Callable[[Request, Body], None] | None = None
    """Raises Refused for a call whose headers are wrong, or do not go with its body."""
    request_id: bytes | None = None
    """The header with the name of the request, if that is not OpenAI's."""
    rate_headers: Callable[[Bucket], list[str]] = openai_rate_headers


def address_of(path: str, vendors: dict[str, str]) -> Address:
    """`/<provider>/v1/...`; the provider of a path without one is "default". `vendors`: provider -> vendor, if its name
    does not say it."""
    prefix, found, rest = path.partition("/v1/")
    if not found:
        match = _GEMINI.fullmatch(path) or _AZURE.fullmatch(path)
        if match is None:
            return Address("default", "openai", path)
        prefix, found, rest = match.groups()
        found = "/v1/" if found == "/" else found
    words = prefix.strip("/").split("/")
    if words[0] == "upload":
        words = ["", "upload"]
    provider = words[0] or "default"
    vendor = vendors.get(provider) or (provider if provider in VENDORS else _vendor_of_path(found, rest))
    if vendor != "openai" and rest.removeprefix("openai/") in _COMPATIBLE:
        return Address(provider, _COMPATIBLE_VENDORS.get(vendor, vendor), "/v1/" + rest.removeprefix("openai/"))
    if vendor == "gemini":
        found = "/v1beta/"  # Google has the same under both versions.
    upload = "/upload" if words[-1] == "upload" else ""
    return Address(provider, vendor, upload + found + rest)


def _vendor_of_path(version: str, rest: str) -> str:
    if version == "/v1beta/" or (rest.startswith("models/") and ":" in rest):
        return "gemini"
    if rest.partition("/")[0] == "messages":
        return "anthropic"
    return "mistral" if rest.startswith("batch/") else "openai"


def _openai_error(refused: Refused) -> bytes:
    error = {"message": refused.message, "type": _openai_kind(refused), "param": refused.param, "code": refused.code}
    return orjson.dumps({"error": error})


def _mistral_error(refused: Refused) -> bytes:
    """Flat, with codes that are numbers."""
    kind = "rate_limited" if refused.status == 429 else _openai_kind(refused)
    code = _MISTRAL_CODES.get(refused.status, "1500")
    error = {"object": "error", "message": refused.message, "type": kind, "param": refused.param, "code": code}
    return orjson.dumps(error)


def _openai_kind(refused: Refused) -> str:
    kind = refused.kind or _OPENAI_KINDS.get(refused.status)
    return kind or ("server_error" if refused.status >= 500 else "invalid_request_error")


_MISTRAL_CODES = {401: "1000", 429: "1300", 503: "3000"}
_OPENAI_KINDS = {429: "requests"}

OPENAI = Dialect(openai.ENDPOINTS.get, _openai_error, automatic_prefixes, sells_flex=True)

ANTHROPIC = Dialect(
    anthropic.ENDPOINTS.get,
    anthropic.error_body,
    marked_prefixes,
    check_call=anthropic.check_call,
    request_id=b"request-id:",
    rate_headers=anthropic_rate_headers,
)

GEMINI = Dialect(
    gemini.find,
    gemini.error_body,
    automatic_prefixes,
    sells_flex=True,
    complete=gemini.complete,
    rate_headers=no_rate_headers,
)

GROQ = Dialect(openai_variants.GROQ.get, _openai_error, automatic_prefixes, sells_flex=True)
MISTRAL = Dialect(openai_variants.MISTRAL.get, _mistral_error, automatic_prefixes)
TOGETHER = Dialect(openai_variants.TOGETHER.get, _openai_error, automatic_prefixes)

DIALECTS = {"anthropic": ANTHROPIC, "gemini": GEMINI, "groq": GROQ, "mistral": MISTRAL, "together": TOGETHER}
"""Vendor -> its dialect, unless that is OpenAI's."""


def dialect_of(vendor: str) -> Dialect:
    return DIALECTS.get(vendor, OPENAI)
