"""OpenAI's requests -> what Batchyard is asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from batchyard.core.errors import InvalidRequest, NotFound, Unauthenticated
from batchyard.core.requests import (
    BatchRequest,
    CompletionRequest,
    ExpectedItems,
    FileRequest,
    PageRequest,
    PlanRequest,
    UploadRequest,
)
from batchyard.core.webhooks import WebhookStyle
from batchyard.surfaces.batch_settings import with_settings
from batchyard.surfaces.checks import (
    Kind,
    bearer_key,
    cursor,
    file_name,
    file_of_form,
    header_key,
    idempotency_key,
    is_id,
    known_id,
    whole_number,
)
from batchyard.surfaces.http import Request
from batchyard.surfaces.openai import requests
from batchyard.surfaces.operations import Completion, NewFile, NewUploadPart

_PAGE_LIMIT = {"file": (10_000, 10_000), "batch": (20, 100), "delivery": (20, 100)}
"""Default and most objects per page."""


def read_api_key(request: Request) -> str:
    key = bearer_key(request) or header_key(request)
    if not key:
        raise Unauthenticated(
            "You didn't provide an API key. You need to provide your API key in an Authorization header using "
            "Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or in the header x-api-key."
        )
    return key


def read_file_id(request: Request) -> str:
    return _read_id(request, "file", "file_id")


def read_batch_id(request: Request) -> str:
    return _read_id(request, "batch", "batch_id")


def read_upload_id(request: Request) -> str:
    return _read_id(request, "upload", "upload_id")


def read_model(request: Request) -> str:
    return _read_id(request, "model", "model")


def read_delivery_id(request: Request) -> str:
    return _read_id(request, "delivery", "delivery_id")


def read_deliveries_page(request: Request) -> PageRequest:
    return _read_page(request, "delivery")


def read_files_page(request: Request) -> PageRequest:
    order = request.query.get("order") or "desc"
    if order not in ("asc", "desc"):
        raise InvalidRequest(
            "Invalid value for 'order'. Supported values are: 'asc' or 'desc'.", param="order", code="invalid_value"
        )
    return _read_page(request, "file", order == "desc", request.query.get("purpose") or None)


def read_batches_page(request: Request) -> PageRequest:
    return _read_page(request, "batch")


def read_file(request: Request) -> NewFile:
    missing = "Missing required parameter: 'file'. Send it as a form part with a file name."
    form, file = file_of_form(request, "file", missing)
    fields = requests.parsed(requests.CreateFile, _nested(form.fields))
    name = file_name(file.filename, "file")
    return NewFile(FileRequest(name, fields.purpose, _seconds(fields.expires_after)), file.data)


def read_presigned(request: Request) -> FileRequest:
    body = requests.parsed(requests.PresignFile, request.json())
    return FileRequest(file_name(body.filename, "filename"), body.purpose, _seconds(body.expires_after))


def read_upload(request: Request) -> UploadRequest:
    body = requests.parsed(requests.CreateUpload, request.json())
    name = file_name(body.filename, "filename")
    return UploadRequest(FileRequest(name, body.purpose, _seconds(body.expires_after)), body.bytes)


def read_upload_part(request: Request) -> NewUploadPart:
    upload_id = read_upload_id(request)
    missing = "Missing required parameter: 'data'. Send the part's bytes as a form part with a file name."
    _, file = file_of_form(request, "data", missing)
    return NewUploadPart(upload_id, file.data)


def read_completion(request: Request) -> Completion:
    upload_id = read_upload_id(request)
    body = requests.parsed(requests.CompleteUpload, request.json())
    return Completion(upload_id, CompletionRequest(tuple(body.part_ids), body.md5))


def read_batch(request: Request) -> BatchRequest:
    return batch_request(request.json(), idempotency_key=idempotency_key(request))


def batch_request(
    parameters: Mapping[str, Any],
    *,
    idempotency_key: str | None = None,
    surface: str = "openai",
    body: type[requests.CreateBatch] = requests.CreateBatch,
) -> BatchRequest:
    """The batch that these parameters of POST /v1/batches ask for, whether they came in a request or lay beside a
    dropped file. Raises RequestError."""
    wanted = requests.parsed(body, parameters)
    if not is_id("file", wanted.input_file_id):
        raise NotFound(
            f"No such File object: {wanted.input_file_id[:128]}", param="input_file_id", code="file_not_found"
        )
    request = BatchRequest(
        surface=surface,
        endpoint=wanted.endpoint,
        input_file_id=wanted.input_file_id,
        completion_window=wanted.completion_window,
        metadata=wanted.metadata,
        output_expires_after_seconds=_seconds(wanted.output_expires_after),
        idempotency_key=idempotency_key,
    )
    return with_settings(request, wanted.settings, WebhookStyle.OPENAI)


def read_plan(request: Request) -> PlanRequest:
    return plan_request(request.json())


def plan_request(parameters: Mapping[str, Any], kind: type[requests.PlanBatch] = requests.PlanBatch) -> PlanRequest:
    """The batch whose plan these parameters of POST /v1/plan ask for. Raises RequestError."""
    body = requests.parsed(kind, parameters)
    if body.input_file_id is not None:
        _nothing_beside_a_file(body)
        if not is_id("file", body.input_file_id):
            raise NotFound(
                f"No such File object: {body.input_file_id[:128]}", param="input_file_id", code="file_not_found"
            )
    batch = BatchRequest(
        surface="openai",
        endpoint=body.endpoint,
        input_file_id=body.input_file_id or "",
        completion_window=body.completion_window,
    )
    batch = with_settings(batch, body.settings, WebhookStyle.OPENAI)
    expected = None if body.input_file_id is not None else _expected(body)
    return PlanRequest(batch, expected, body.output_tokens)


def _nothing_beside_a_file(body: requests.PlanBatch) -> None:
    for name in ("items", "model", "provider", "tokens"):
        if getattr(body, name) is not None:
            raise InvalidRequest(
                f"'{name}' goes with a batch that has no input file yet. The file says it itself.",
                param=name,
                code="invalid_value",
            )


def _expected(body: requests.PlanBatch) -> ExpectedItems:
    if body.items is None or body.model is None:
        missing = "items" if body.items is None else "model"
        raise InvalidRequest(
            "Say what the batch would be made from: 'input_file_id', or 'items' and 'model'.",
            param="input_file_id" if body.items is None and body.model is None else missing,
            code="missing_required_parameter",
        )
    return ExpectedItems(body.items, body.model, body.provider, body.tokens)


def _read_id(request: Request, kind: Kind, parameter: str) -> str:
    value = request.parameters.get(parameter, "")
    known = known_id(kind, value)
    if known is None:
        raise NotFound(f"There is no {kind} with the id '{value[:128]}'.", param=f"{kind}_id")
    return known


def _read_page(request: Request, kind: Kind, descending: bool = True, purpose: str | None = None) -> PageRequest:
    default, most = _PAGE_LIMIT[kind]
    limit = whole_number(request, "limit", 1, most, default)
    return PageRequest(limit, cursor(request, kind), descending, purpose)


def _seconds(expires_after: requests.ExpiresAfter | None) -> int | None:
    return expires_after.seconds if expires_after else None


def _nested(form_fields: Mapping[str, str]) -> dict[str, object]:
    """`expires_after[seconds]` and its like as nested values; numbers as numbers."""
    fields: dict[str, object] = {}
    nested: dict[str, object] = {}
    for name, value in form_fields.items():
        if name.startswith("expires_after[") and name.endswith("]"):
            inner = name.removeprefix("expires_after[").removesuffix("]")
            is_number = inner == "seconds" and re.fullmatch(r"[0-9]{1,18}", value)
            nested[inner] = int(value) if is_number else value
        else:
            fields[name] = value
    if nested:
        fields["expires_after"] = nested
    return fields
