"""Anthropic's requests -> what Batchyard is asked for."""

from __future__ import annotations

import orjson

from batchyard.core.errors import InvalidRequest, NotFound, Unauthenticated
from batchyard.core.json_types import JsonObject
from batchyard.core.providers import MESSAGES
from batchyard.core.requests import BatchRequest, ExportRequest, Packing, PageRequest, ResultWindow
from batchyard.core.webhooks import WebhookStyle
from batchyard.surfaces.anthropic import requests
from batchyard.surfaces.anthropic.ids import read_id
from batchyard.surfaces.batch_settings import with_settings
from batchyard.surfaces.checks import bearer_key, header_key, idempotency_key, is_id, whole_number
from batchyard.surfaces.http import Request
from batchyard.surfaces.operations import BatchExport

VERSION = "anthropic-version"
BETA = "anthropic-beta"
PROFILE = "anthropic-user-profile-id"
_VERSIONS = ("2026-10-21", "2023-06-01", "2023-01-01")
"""For a batch they are the same: in which version Anthropic itself is called does not depend on the caller."""
_PAGE_LIMIT = (20, 1000)
"""Default and most batches per page."""
_BETAS_OF_TODAY = frozenset({"message-batches-2024-09-24", "prompt-caching-2024-07-31", "pdfs-2024-09-25"})
"""What was a beta once and needs no header any more."""


def read_api_key(request: Request) -> str:
    key = header_key(request) or bearer_key(request)
    if not key:
        raise Unauthenticated("x-api-key header is required")
    return key


def read_batch_id(request: Request) -> str:
    _check_version(request)
    shown = request.parameters.get("message_batch_id", "")
    batch_id = read_id(shown)
    if not is_id("batch", batch_id):
        raise NotFound(f"There is no message batch with the id '{shown[:128]}'.", code="batch_not_found")
    return batch_id


def read_batches_page(request: Request) -> PageRequest:
    _check_version(request)
    default, most = _PAGE_LIMIT
    after, before = _cursor(request, "after_id"), _cursor(request, "before_id")
    if after is not None and before is not None:
        raise InvalidRequest("before_id: Use either after_id or before_id, not both.", param="before_id")
    return PageRequest(whole_number(request, "limit", 1, most, default), after, before=before)


def read_results(request: Request) -> BatchExport:
    return BatchExport(read_batch_id(request), ExportRequest(ResultWindow(), Packing.PLAIN))


def read_batch(request: Request) -> BatchRequest:
    _check_version(request)
    _check_what_is_not_passed_on(request)
    body = requests.parsed(request.json())
    if bool(body.requests) == (body.input_file_id is not None):
        raise InvalidRequest(
            "requests: List should have at least 1 item after validation, not 0"
            if body.input_file_id is None
            else "input_file_id: 'requests' has to be empty if a file holds the requests.",
            param="requests",
            code="invalid_input",
        )
    if body.input_file_id is not None and not is_id("file", body.input_file_id):
        raise NotFound(
            f"There is no file with the id '{body.input_file_id[:128]}'.", param="input_file_id", code="file_not_found"
        )
    batch = BatchRequest(
        surface="anthropic",
        endpoint=MESSAGES,
        input_file_id=body.input_file_id or "",
        idempotency_key=idempotency_key(request),
        lines=_lines(body.requests) if body.input_file_id is None else None,
    )
    return with_settings(batch, body.settings, WebhookStyle.OPENAI)


def _lines(wanted: list[JsonObject]) -> bytes:
    """Requests as the lines of a file. What is in them is checked when the batch is made."""
    try:
        return b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in wanted)
    except orjson.JSONEncodeError as error:
        message = "requests: One of them is nested too deeply. 250 levels are allowed."
        raise InvalidRequest(message, param="requests", code="invalid_json_line") from error


def _cursor(request: Request, name: str) -> str | None:
    shown = request.query.get(name) or None
    if shown is None:
        return None
    batch_id = read_id(shown)
    if not is_id("batch", batch_id):
        raise InvalidRequest(f"{name}: This is not the id of a message batch.", param=name, code="invalid_value")
    return batch_id


def _check_version(request: Request) -> None:
    version = request.headers.get(VERSION, "").strip()
    if not version:
        raise InvalidRequest(f"{VERSION}: header is required", param=VERSION, code="missing_required_parameter")
    if version not in _VERSIONS:
        raise InvalidRequest(
            f'{VERSION}: "{version[:64]}" is not a valid version. Use {_VERSIONS[0]}.',
            param=VERSION,
            code="invalid_value",
        )


def _check_what_is_not_passed_on(request: Request) -> None:
    """Refuses headers that would change what the provider does, because the calls of a batch have none of them."""
    for beta in filter(None, (each.strip() for each in request.headers.get(BETA, "").split(","))):
        if beta not in _BETAS_OF_TODAY:
            raise InvalidRequest(
                f"{BETA}: '{beta[:64]}' is not passed on to providers. Send the batch without it.",
                param=BETA,
                code="unsupported_header",
            )
    if request.headers.get(PROFILE):
        raise InvalidRequest(f"{PROFILE}: This header is not supported.", param=PROFILE, code="unsupported_header")
