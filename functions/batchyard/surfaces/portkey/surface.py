"""Portkey's dialect: OpenAI's, told apart by its headers. A request has to have:

    x-portkey-api-key: <Batchyard key>     it says who is calling
    x-portkey-provider: openai             to create a batch, which goes to that provider with all its lines ...
    Authorization: Bearer <provider key>   ... and runs with this key, on the caller's own bill

`x-portkey-provider: @openai` and `x-portkey-virtual-key: openai` mean a provider whose key is kept here: the batch runs
with the deployment's key. SDKs send an Authorization header in any case; it is then read only if there is no
`x-portkey-api-key`, and holds the Batchyard key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from batchyard.core.errors import InvalidRequest, Unauthenticated
from batchyard.core.requests import BatchRequest, PlanRequest
from batchyard.surfaces.checks import bearer_key, idempotency_key
from batchyard.surfaces.http import Request
from batchyard.surfaces.openai import reading, requests
from batchyard.surfaces.openai.surface import CREATE_BATCH_DOC, PLAN_BATCH_DOC
from batchyard.surfaces.openai.surface import SURFACE as OPENAI
from batchyard.surfaces.openai.writing import write_batch, write_plan
from batchyard.surfaces.operations import Operation

_NAME = "portkey"
_API_KEY = "x-portkey-api-key"
_PROVIDER = "x-portkey-provider"
_VIRTUAL_KEY = "x-portkey-virtual-key"
_NOT_TAKEN = ("x-portkey-config", "x-portkey-custom-host")
"""Headers by which a caller would choose the address that a call, and with it the caller's key, is sent to."""
_NAMES = {"mistral-ai": "mistral", "together-ai": "together"}
"""Portkey's name of a provider -> ours, if they differ."""
_PROVIDER_KEY = re.compile(r"[\x21-\x7e]{1,4096}")
"""KMS encrypts up to 4,096 bytes."""


class CreatePortkeyBatch(requests.CreateBatch):
    """`immediate`: started at once and run call by call, never through a provider's own batch API."""

    endpoint: Literal["/v1/chat/completions", "/v1/completions", "/v1/embeddings"]
    completion_window: Literal["24h", "immediate"]  # type: ignore[assignment]


class PlanPortkeyBatch(requests.PlanBatch):
    completion_window: Literal["24h", "immediate"] = "24h"  # type: ignore[assignment]


def read_api_key(request: Request) -> str:
    key = request.headers.get(_API_KEY, "").strip()
    if not key:
        if _is_kept(request.headers):
            return reading.read_api_key(request)
        raise Unauthenticated(
            f"You didn't provide a Batchyard API key. Send it in the header '{_API_KEY}'; the Authorization header "
            "is for the key of your provider.",
            param=_API_KEY,
        )
    return key


def read_batch(request: Request) -> BatchRequest:
    for header in _NOT_TAKEN:
        if header in request.headers:
            raise InvalidRequest(f"'{header}' is not supported.", param=header, code="unsupported_header")
    provider, key = _provider(request)
    wanted = reading.batch_request(
        request.json(), idempotency_key=idempotency_key(request), surface=_NAME, body=CreatePortkeyBatch
    )
    return replace(wanted, provider=provider, caller_key=key)


def read_plan(request: Request) -> PlanRequest:
    """As OpenAI's, for the provider that the headers name."""
    wanted = reading.plan_request(request.json(), PlanPortkeyBatch)
    provider, key = _provider(request)
    return replace(wanted, batch=replace(wanted.batch, surface=_NAME, provider=provider, caller_key=key))


def _provider(request: Request) -> tuple[str, str | None]:
    """The provider that is asked for, and the caller's own key with it; None: the deployment's key."""
    headers = request.headers
    named = headers.get(_PROVIDER, "").strip().lower()
    kept = headers.get(_VIRTUAL_KEY, "").strip().lower().removeprefix("@")
    if kept and named.removeprefix("@") not in ("", kept):
        raise InvalidRequest(
            f"'{_PROVIDER}' and '{_VIRTUAL_KEY}' name different providers.", param=_VIRTUAL_KEY, code="invalid_value"
        )
    if not (named or kept):
        raise InvalidRequest(
            f"Missing required header: '{_PROVIDER}'. It names the provider that the batch goes to.",
            param=_PROVIDER,
            code="missing_required_parameter",
        )
    name = kept or named.removeprefix("@")
    return _NAMES.get(name, name), None if _is_kept(headers) else _provider_key(request)


def _is_kept(headers: Mapping[str, str]) -> bool:
    """Whether the deployment's key is to be used."""
    return bool(headers.get(_VIRTUAL_KEY, "").strip()) or headers.get(_PROVIDER, "").strip().startswith("@")


def _provider_key(request: Request) -> str:
    secret = bearer_key(request)
    if not secret:
        raise Unauthenticated(
            "You didn't provide your provider's API key. Send it as 'Authorization: Bearer PROVIDER_KEY', or write "
            f"'{_PROVIDER}: @name' to use the key that is kept here.",
            param="authorization",
            code="missing_provider_key",
        )
    if secret == request.headers.get(_API_KEY, "").strip():
        raise InvalidRequest(
            "The Authorization header holds your Batchyard key, which no provider gets. Put the provider's key there.",
            param="authorization",
            code="invalid_provider_key",
        )
    if not _PROVIDER_KEY.fullmatch(secret):
        raise InvalidRequest(
            "A provider key has 1 to 4,096 printable ASCII characters.",
            param="authorization",
            code="invalid_provider_key",
        )
    return secret


SURFACE = replace(
    OPENAI,
    name=_NAME,
    rules=replace(OPENAI.rules, read_api_key=read_api_key),
    describe_api=None,
    plan_batch=Operation(read_plan, write_plan, replace(PLAN_BATCH_DOC, request=PlanPortkeyBatch)),
    create_batch=Operation(read_batch, write_batch, replace(CREATE_BATCH_DOC, request=CreatePortkeyBatch)),
)
