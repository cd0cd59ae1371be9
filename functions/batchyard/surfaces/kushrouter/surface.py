"""The KushRouter dialect, put together: bodies in `requests.py`, objects in `replies.py`, lines in `lines.py`, results
in `results.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from batchyard.core.batches import Batch
from batchyard.core.errors import InvalidRequest, NotFound, RateLimited, RequestError, Unauthenticated
from batchyard.core.files import File
from batchyard.core.items import Item, LineError
from batchyard.core.limits import Allowance, Limits
from batchyard.core.requests import BatchRequest, ExportRequest, FileRequest, Packing, PageRequest, ResultWindow
from batchyard.core.results import StoredResult
from batchyard.surfaces.checks import cursor, file_name, idempotency_key, is_id, whole_number
from batchyard.surfaces.http import Reply, Request, json_reply
from batchyard.surfaces.kushrouter import lines, replies, requests
from batchyard.surfaces.kushrouter.docs import DOCS
from batchyard.surfaces.kushrouter.results import write_result
from batchyard.surfaces.surface import Kind, LineContext, OperationDoc, Presigned, ResultsFrame

_PAGE_LIMIT = {"file": (1000, 10_000), "batch": (20, 100)}
"""Default and most objects per page."""
_RESULTS_LIMIT = (100, 50_000)
_LARGEST_NUMBER = 10**9
_METADATA_BYTES = 16_384
_METADATA_LEVELS = 16
_BATCH, _OTHER = "batch", "user_data"


class KushRouterSurface:
    name = "kushrouter"
    docs: Mapping[str, OperationDoc] = DOCS
    error_doc = replies.KushRouterError
    limits = Limits(
        max_batch_items=50_000, max_file_bytes=500_000_000, max_line_bytes=256 * 1024, requests_per_minute=6_000
    )
    deleting_a_file_ends_its_batches = True

    def read_key(self, request: Request) -> str:
        scheme, _, secret = request.headers.get("authorization", "").strip().partition(" ")
        secret = secret if scheme.lower() == "bearer" else ""
        secret = secret.strip() or request.headers.get("x-api-key", "").strip()
        if not secret:
            raise Unauthenticated(
                "No API key. Send it as 'Authorization: Bearer <key>' or 'x-api-key: <key>'.", code="missing_api_key"
            )
        return secret

    def read_id(self, request: Request, kind: Kind) -> str:
        value = request.parameters.get(f"{kind}_id", "")
        if not is_id(kind, value):
            raise NotFound(f"There is no {kind} with the id '{value[:128]}'.", code=f"{kind}_not_found")
        return value

    def read_page(self, request: Request, kind: Kind) -> PageRequest:
        default, most = _PAGE_LIMIT[kind]
        return PageRequest(whole_number(request, "limit", 1, most, default), cursor(request, kind))

    def read_file(self, request: Request) -> tuple[FileRequest, bytes]:
        if request.content_type.lower().startswith("multipart/form-data"):
            return _file_of_form(request)
        body = requests.parsed(requests.KushRouterCreateFile, request.json())
        return _file_request(body.filename, body.purpose), body.content.encode()

    def read_presigned(self, request: Request) -> FileRequest:
        body = requests.parsed(requests.KushRouterPresignFile, request.json())
        return _file_request(body.filename, body.purpose)

    def read_batch(self, request: Request) -> BatchRequest:
        body = requests.parsed(requests.KushRouterCreateBatch, request.json())
        if (body.input_file_id is None) == (body.requests is None):
            told = "not both" if body.requests is not None else "neither was sent"
            raise InvalidRequest(
                f"Send either 'input_file_id' or 'requests': {told}.", param="input_file_id", code="invalid_input"
            )
        if body.input_file_id is not None and not is_id("file", body.input_file_id):
            raise NotFound(
                f"There is no file with the id '{body.input_file_id[:128]}'.",
                param="input_file_id",
                code="file_not_found",
            )
        return BatchRequest(
            surface=self.name,
            endpoint=body.endpoint,
            input_file_id=body.input_file_id or "",
            completion_window=body.completion_window,
            metadata=_metadata(body.metadata),
            concurrency=body.settings.concurrency if body.settings else None,
            idempotency_key=idempotency_key(request),
            lines=None if body.requests is None else _lines(body.requests, LineContext(body.endpoint)),
        )

    def read_window(self, request: Request) -> ResultWindow:
        default, most = _RESULTS_LIMIT
        offset = whole_number(request, "offset", 0, _LARGEST_NUMBER, 0)
        return ResultWindow(offset, whole_number(request, "limit", 1, most, default))

    def read_export(self, request: Request) -> ExportRequest:
        kind = request.query.get("format") or "ndjson"
        if kind not in ("ndjson", "zip"):
            raise InvalidRequest("'format' must be 'ndjson' or 'zip'.", param="format", code="invalid_value")
        gzip = (request.query.get("gzip") or "false").lower()
        if gzip not in ("true", "false", "1", "0"):
            raise InvalidRequest("'gzip' must be 'true' or 'false'.", param="gzip", code="invalid_value")
        packing = Packing.ZIP if kind == "zip" else Packing.GZIP if gzip in ("true", "1") else Packing.PLAIN
        limit = whole_number(request, "limit", 1, _LARGEST_NUMBER, 0) or None
        return ExportRequest(ResultWindow(whole_number(request, "offset", 0, _LARGEST_NUMBER, 0), limit), packing)

    def parse_line(self, raw: bytes, index: int, line: int, context: LineContext) -> Item | LineError:
        return lines.parse_line(raw, index, line, context)

    def write_file(self, file: File, url: str | None = None) -> Reply:
        return json_reply(replies.file_object(file))

    def write_files(self, files: Sequence[File], has_more: bool) -> Reply:
        return json_reply(replies.listed([replies.file_object(file) for file in files], has_more))

    def write_deleted_file(self, file: File) -> Reply:
        deleted: replies.KushRouterDeletedFile = {"id": file.id, "object": "file", "deleted": True}
        return json_reply(deleted)

    def write_presigned(self, presigned: Presigned) -> Reply:
        body: replies.KushRouterPresignedFile = {
            "object": "file.presigned",
            "url": presigned.url,
            "method": "PUT",
            "expires_at": presigned.expires_at,
            "file": replies.file_object(presigned.file),
        }
        return json_reply(body)

    def write_batch(self, batch: Batch) -> Reply:
        return json_reply(replies.batch_object(batch))

    def write_batches(self, batches: Sequence[Batch], has_more: bool) -> Reply:
        return json_reply(replies.listed([replies.batch_object(batch) for batch in batches], has_more))

    def write_result(self, result: StoredResult) -> bytes:
        return write_result(result)

    def frame_results(self, batch: Batch, window: ResultWindow) -> ResultsFrame:
        page = {
            "id": batch.id,
            "status": replies.STATUSES[batch.status],
            "total": batch.total_items,
            "offset": window.offset,
            "limit": window.limit,
            "results": [],
        }
        return ResultsFrame(orjson.dumps(page).removesuffix(b"]}"), b",", b"]}")

    def allowance_headers(self, allowance: Allowance) -> Mapping[str, str]:
        return {
            "x-ratelimit-limit": str(allowance.limit),
            "x-ratelimit-remaining": str(allowance.remaining),
            "x-ratelimit-reset": str(allowance.resets_at),
        }

    def write_error(self, error: RequestError | None) -> Reply:
        if isinstance(error, RateLimited):
            headers = {"retry-after": str(error.retry_after_seconds)}
            return json_reply({"error": "Rate limit exceeded (key)"}, error.status, headers)
        if error is None:
            message = "The server had an error while processing your request. It is safe to send it again."
            fault: replies.KushRouterErrorDetail = {
                "message": message,
                "type": "server_error",
                "param": None,
                "code": "internal_error",
                "status": 500,
            }
            return json_reply({"error": fault}, 500)
        detail: replies.KushRouterErrorDetail = {
            "message": error.message,
            "type": error.type,
            "param": error.param,
            "code": error.code,
            "status": error.status,
        }
        return json_reply({"error": detail}, error.status)


def _file_of_form(request: Request) -> tuple[FileRequest, bytes]:
    from batchyard.surfaces.forms import read_form  # only uploads have a form, every cold start would pay for it

    form = read_form(request.content_type, request.body)
    file = form.files.get("file")
    if file is None:
        raise InvalidRequest(
            "'file' is missing. Send it as a form part with a file name, as `curl -F file=@requests.jsonl` does.",
            param="file",
            code="missing_required_parameter",
        )
    for name in form.fields:
        if name != "purpose":
            raise InvalidRequest(f"There is no parameter '{name[:64]}'.", param=name[:64], code="unknown_parameter")
    return _file_request(file.filename, form.fields.get("purpose")), file.data


def _file_request(name: str, purpose: str | None) -> FileRequest:
    """Files are for batches unless the caller says otherwise, whatever they are called."""
    name = file_name(name, "filename")
    if purpose is not None and purpose not in (_BATCH, _OTHER):
        raise InvalidRequest(f"'purpose' must be '{_BATCH}' or '{_OTHER}'.", param="purpose", code="invalid_value")
    return FileRequest(name, purpose or _BATCH, any_name=True)


def _lines(wanted: list[dict[str, Any]], context: LineContext) -> bytes:
    """Inline requests as the bytes of an input file. What is wrong with one is said at once."""
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
    except orjson.JSONEncodeError as error:  # what stands around a body adds to its depth
        message = "One of 'requests' is nested too deeply. 250 levels are allowed."
        raise InvalidRequest(message, param="requests", code="invalid_json_line") from error


def _metadata(metadata: dict[str, Any] | None) -> dict[str, Any] | None:
    if metadata is None:
        return None
    if not _is_within(_METADATA_LEVELS, metadata):
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


def _is_within(levels: int, value: Any) -> bool:
    """Whether objects and arrays nest at most `levels` deep. Deeper ones could be stored, but not shown in a list."""
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_within(levels - 1, each) for each in inner)


SURFACE = KushRouterSurface()
