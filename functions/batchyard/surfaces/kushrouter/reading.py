"""KushRouter's requests -> what Batchyard is asked for."""

from __future__ import annotations

import orjson

from batchyard.core.errors import InvalidRequest, NotFound, Unauthenticated
from batchyard.core.items import Item
from batchyard.core.json_types import JsonObject
from batchyard.core.requests import BatchRequest, ExportRequest, FileRequest, Packing, PageRequest, ResultWindow
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
    nests_within,
    whole_number,
)
from batchyard.surfaces.http import Request
from batchyard.surfaces.kushrouter import lines, requests
from batchyard.surfaces.operations import BatchExport, NewFile, ResultsRequest
from batchyard.surfaces.surface import LineContext

_PAGE_LIMIT = {"file": (1000, 10_000), "batch": (20, 100)}
"""Default and most objects per page."""
_RESULTS_LIMIT = (100, 50_000)
_LARGEST_NUMBER = 10**9
_METADATA_BYTES = 16_384
_METADATA_LEVELS = 16
_BATCH, _OTHER = "batch", "user_data"


def read_api_key(request: Request) -> str:
    key = bearer_key(request) or header_key(request)
    if not key:
        raise Unauthenticated(
            "No API key. Send it as 'Authorization: Bearer <key>' or 'x-api-key: <key>'.", code="missing_api_key"
        )
    return key


def read_file_id(request: Request) -> str:
    return _read_id(request, "file")


def read_batch_id(request: Request) -> str:
    return _read_id(request, "batch")


def read_files_page(request: Request) -> PageRequest:
    return _read_page(request, "file")


def read_batches_page(request: Request) -> PageRequest:
    return _read_page(request, "batch")


def read_file(request: Request) -> NewFile:
    if request.content_type.lower().startswith("multipart/form-data"):
        return _file_of_form(request)
    body = requests.parsed(requests.KushRouterCreateFile, request.json())
    return NewFile(_file_request(body.filename, body.purpose), body.content.encode())


def read_presigned(request: Request) -> FileRequest:
    body = requests.parsed(requests.KushRouterPresignFile, request.json())
    return _file_request(body.filename, body.purpose)


def read_batch(request: Request) -> BatchRequest:
    body = requests.parsed(requests.KushRouterCreateBatch, request.json())
    if (body.input_file_id is None) == (body.requests is None):
        what_was_sent = "not both" if body.requests is not None else "neither was sent"
        raise InvalidRequest(
            f"Send either 'input_file_id' or 'requests': {what_was_sent}.", param="input_file_id", code="invalid_input"
        )
    if body.input_file_id is not None and not is_id("file", body.input_file_id):
        raise NotFound(
            f"There is no file with the id '{body.input_file_id[:128]}'.", param="input_file_id", code="file_not_found"
        )
    batch = BatchRequest(
        surface="kushrouter",
        endpoint=body.endpoint,
        input_file_id=body.input_file_id or "",
        completion_window=body.completion_window,
        metadata=_metadata(body.metadata),
        idempotency_key=idempotency_key(request),
        lines=None if body.requests is None else _lines(body.requests, LineContext(body.endpoint)),
    )
    return with_settings(batch, body.settings, WebhookStyle.KUSHROUTER)


def read_results(request: Request) -> ResultsRequest:
    default, most = _RESULTS_LIMIT
    offset = whole_number(request, "offset", 0, _LARGEST_NUMBER, 0)
    window = ResultWindow(offset, whole_number(request, "limit", 1, most, default))
    return ResultsRequest(read_batch_id(request), window)


def read_export(request: Request) -> BatchExport:
    kind = request.query.get("format") or "ndjson"
    if kind not in ("ndjson", "zip"):
        raise InvalidRequest("'format' must be 'ndjson' or 'zip'.", param="format", code="invalid_value")
    gzip = (request.query.get("gzip") or "false").lower()
    if gzip not in ("true", "false", "1", "0"):
        raise InvalidRequest("'gzip' must be 'true' or 'false'.", param="gzip", code="invalid_value")
    packing = Packing.ZIP if kind == "zip" else Packing.GZIP if gzip in ("true", "1") else Packing.PLAIN
    limit = whole_number(request, "limit", 1, _LARGEST_NUMBER, 0) or None
    window = ResultWindow(whole_number(request, "offset", 0, _LARGEST_NUMBER, 0), limit)
    return BatchExport(read_batch_id(request), ExportRequest(window, packing))


def _read_id(request: Request, kind: Kind) -> str:
    value = request.parameters.get(f"{kind}_id", "")
    if not is_id(kind, value):
        raise NotFound(f"There is no {kind} with the id '{value[:128]}'.", code=f"{kind}_not_found")
    return value


def _read_page(request: Request, kind: Kind) -> PageRequest:
    default, most = _PAGE_LIMIT[kind]
    return PageRequest(whole_number(request, "limit", 1, most, default), cursor(request, kind))


def _file_of_form(request: Request) -> NewFile:
    missing = "'file' is missing. Send it as a form part with a file name, as `curl -F file=@requests.jsonl` does."
    form, file = file_of_form(request, "file", missing)
    for name in form.fields:
        if name != "purpose":
            raise InvalidRequest(f"There is no parameter '{name[:64]}'.", param=name[:64], code="unknown_parameter")
    return NewFile(_file_request(file.filename, form.fields.get("purpose")), file.data)


def _file_request(name: str, purpose: str | None) -> FileRequest:
    """Files are for batches unless the caller says otherwise, whatever they are called."""
    name = file_name(name, "filename")
    if purpose is not None and purpose not in (_BATCH, _OTHER):
        raise InvalidRequest(f"'purpose' must be '{_BATCH}' or '{_OTHER}'.", param="purpose", code="invalid_value")
    return FileRequest(name, purpose or _BATCH, any_name=True)


def _lines(wanted: list[JsonObject], context: LineContext) -> bytes:
    """Inline requests as the bytes of an input file. Raises InvalidRequest if one is wrong."""
    if not wanted:
        raise InvalidRequest("'requests' is empty. A batch needs at least one.", param="requests", code="empty_batch")
    for index, each in enumerate(wanted):
        item = lines.read_item(each, index, context)
        if not isinstance(item, Item):
            code, message, param = item
            where = f"requests[{index}]" + (f".{param}" if param else "")
            raise InvalidRequest(f"{where}: {message}", param=where, code=code)
    try:
        return b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in wanted)
    except orjson.JSONEncodeError as error:  # a body may nest too deeply once it is inside a line
        message = "One of 'requests' is nested too deeply. 250 levels are allowed."
        raise InvalidRequest(message, param="requests", code="invalid_json_line") from error


def _metadata(metadata: JsonObject | None) -> JsonObject | None:
    if metadata is None:
        return None
    if not nests_within(_METADATA_LEVELS, metadata):
        raise InvalidRequest(
            f"'metadata' is nested too deeply. {_METADATA_LEVELS} levels are allowed.",
            param="metadata",
            code="invalid_value",
        )
    if len(orjson.dumps(metadata)) > _METADATA_BYTES or "" in metadata:
        raise InvalidRequest(
            f"'metadata' takes up to {_METADATA_BYTES} bytes of JSON, and no empty name.",
            param="metadata",
            code="invalid_value",
        )
    return metadata
