"""The dialects in which vendors are called: which paths they have, what their errors look like."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from local.provider.answers import openai
from local.provider.answers.content import Body, Endpoint
from local.provider.prompt_cache import Prefix, automatic_prefixes
from local.provider.wire import Refused

VENDORS = ("openai", "azure", "groq", "mistral", "together", "anthropic", "gemini")
"""A provider of one of these names is that vendor; any other one is OpenAI, unless the settings say."""

_GEMINI = re.compile(r"(.*?)(/v1beta/)(.*)")
_AZURE = re.compile(r"(.*?)/openai(/)(?:deployments/[^/]+/)?(.*)")
"""Azure's older paths, which name a deployment and no version."""


class Address(NamedTuple):
    """Where a request goes. `path` begins with the version of the API, `/v1/...`."""

    provider: str
    vendor: str
    path: str


@dataclass(frozen=True, slots=True)
class Dialect:
    """`find` gives the endpoint of a path, None if it is none of this dialect's. `complete` adds to a body what the
    path says."""

    find: Callable[[str], Endpoint | None]
    error_body: Callable[[Refused], bytes]
    prefixes: Callable[[Body], list[Prefix]]
    sells_flex: bool = False
    complete: Callable[[Body, str], Body] | None = None


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
    upload = "/upload" if words[-1] == "upload" else ""
    return Address(provider, vendor, upload + found + rest)


def _vendor_of_path(version: str, rest: str) -> str:
    if version.startswith("/v1beta"):
        return "gemini"
    if rest.partition("/")[0] == "messages":
        return "anthropic"
    return "mistral" if rest.startswith("batch/") else "openai"


def _openai_error(refused: Refused) -> bytes:
    kind = refused.kind or _OPENAI_KINDS.get(refused.status)
    kind = kind or ("server_error" if refused.status >= 500 else "invalid_request_error")
    error = {"message": refused.message, "type": kind, "param": refused.param, "code": refused.code}
    return orjson.dumps({"error": error})


_OPENAI_KINDS = {429: "requests"}

OPENAI = Dialect(openai.ENDPOINTS.get, _openai_error, automatic_prefixes, sells_flex=True)

DIALECTS: dict[str, Dialect] = {}
"""Vendor -> its dialect, unless that is OpenAI's."""


def dialect_of(vendor: str) -> Dialect:
    return DIALECTS.get(vendor, OPENAI)
