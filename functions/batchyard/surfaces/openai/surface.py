"""The OpenAI dialect, put together: bodies in `requests.py`, objects in `replies.py`, lines in `lines.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from batchyard.core.batches import Batch
from batchyard.core.catalogue import Offer
from batchyard.core.errors import InvalidRequest, NotFound, RateLimited, RequestError, Unauthenticated
from batchyard.core.files import File, Upload, UploadPart
from batchyard.core.items import Item, LineError
from batchyard.core.limits import Allowance, Limits
from batchyard.core.requests import BatchRequest, CompletionRequest, FileRequest, PageRequest, UploadRequest
from batchyard.surfaces.checks import cursor, file_name, idempotency_key, is_id, whole_number
from batchyard.surfaces.http import Reply, Request, json_reply
from batchyard.surfaces.openai import lines, replies, requests
from batchyard.surfaces.openai.docs import DOCS
from batchyard.surfaces.surface import Kind, LineContext, OperationDoc, Presigned

if TYPE_CHECKING:
    from batchyard.surfaces.forms import Form

_PAGE_LIMIT = {"file": (10_000, 10_000), "batch": (20, 100)}
"""Default and most objects per page."""
_CODES = {
    401: "unauthorized",
    404: "not_found",
    409: "conflict",
    413: "request_too_large",
    415: "unsupported_media_type",
    429: "rate_limit_exceeded",
}
"""The code of an error that has none of its own."""


class OpenAISurface:
    name = "openai"
    docs: Mapping[str, OperationDoc] = DOCS
    error_doc = replies.ErrorObject
    batch_body: type[requests.CreateBatch] = requests.CreateBatch
    limits = Limits()
    deleting_a_file_ends_its_batches = False

    def read_key(self, request: Request) -> str:
        scheme, _, secret = request.headers.get("authorization", "").strip().partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise Unauthenticated(
                "You didn't provide an API key. You need to provide your API key in an Authorization header using "
                "Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
            )
        return secret.strip()

    def read_id(self, request: Request, kind: Kind) -> str:
        value = request.parameters.get("model" if kind == "model" else f"{kind}_id", "")
        if not is_id(kind, value):
            raise NotFound(f"There is no {kind} with the id '{value[:128]}'.", param=f"{kind}_id")
        return value

    def read_page(self, request: Request, kind: Kind) -> PageRequest:
        default, most = _PAGE_LIMIT[kind]
        purpose = request.query.get("purpose") if kind == "file" else None
        order = request.query.get("order") or "desc" if kind == "file" else "desc"
        if order not in ("asc", "desc"):
            raise InvalidRequest(
                "Invalid value for 'order'. Supported values are: 'asc' or 'desc'.", param="order", code="invalid_value"
            )
        limit = whole_number(request, "limit", 1, most, default)
        return PageRequest(limit, cursor(request, kind), order == "desc", purpose or None)

    def read_file(self, request: Request) -> tuple[FileRequest, bytes]:
        form = _form(request)
        file = form.files.get("file")
        if file is None:
            raise InvalidRequest(
                "Missing required parameter: 'file'. Send it as a form part with a file name.",
                param="file",
                code="missing_required_parameter",
            )
        fields = requests.parsed(requests.CreateFile, _form_fields(form))
        return FileRequest(file_name(file.filename, "file"), fields.purpose, _seconds(fields.expires_after)), file.data

    def read_presigned(self, request: Request) -> FileRequest:
        body = requests.parsed(requests.PresignFile, request.json())
        return FileRequest(file_name(body.filename, "filename"), body.purpose, _seconds(body.expires_after))

    def read_upload(self, request: Request) -> UploadRequest:
        body = requests.parsed(requests.CreateUpload, request.json())
        name = file_name(body.filename, "filename")
        return UploadRequest(FileRequest(name, body.purpose, _seconds(body.expires_after)), body.bytes, body.mime_type)

    def read_part(self, request: Request) -> bytes:
        file = _form(request).files.get("data")
        if file is None:
            raise InvalidRequest(
                "Missing required parameter: 'data'. Send the part's bytes as a form part with a file name.",
                param="data",
                code="missing_required_parameter",
            )
        return file.data

    def read_completion(self, request: Request) -> CompletionRequest:
        body = requests.parsed(requests.CompleteUpload, request.json())
        return CompletionRequest(tuple(body.part_ids), body.md5)

    def read_batch(self, request: Request) -> BatchRequest:
        body = requests.parsed(self.batch_body, request.json())
        if not is_id("file", body.input_file_id):
            raise NotFound(
                f"No such File object: {body.input_file_id[:128]}", param="input_file_id", code="file_not_found"
            )
        return BatchRequest(
            surface=self.name,
            endpoint=body.endpoint,
            input_file_id=body.input_file_id,
            completion_window=body.completion_window,
            metadata=body.metadata,
            output_expires_after_seconds=_seconds(body.output_expires_after),
            concurrency=body.settings.concurrency if body.settings else None,
            idempotency_key=idempotency_key(request),
        )

    def parse_line(self, raw: bytes, index: int, line: int, context: LineContext) -> Item | LineError:
        return lines.parse_line(raw, index, line, context)

    def write_file(self, file: File, url: str | None = None) -> Reply:
        shown = replies.file_object(file)
        return json_reply(shown if url is None else replies.UploadedFile(**shown, url=url))

    def write_files(self, files: Sequence[File], has_more: bool) -> Reply:
        return json_reply(replies.listed([replies.file_object(file) for file in files], has_more))

    def write_deleted_file(self, file: File) -> Reply:
        deleted: replies.DeletedFile = {"id": file.id, "object": "file", "deleted": True}
        return json_reply(deleted)

    def write_presigned(self, presigned: Presigned) -> Reply:
        body: replies.PresignedFile = {
            "object": "file.presigned",
            "url": presigned.url,
            "method": "PUT",
            "headers": dict(presigned.headers),
            "expires_at": presigned.expires_at,
            "file": replies.file_object(presigned.file),
        }
        return json_reply(body)

    def write_upload(self, upload: Upload, now: int, file: File | None = None) -> Reply:
        return json_reply(replies.upload_object(upload, now, file))

    def write_part(self, part: UploadPart) -> Reply:
        return json_reply(replies.part_object(part))

    def write_batch(self, batch: Batch) -> Reply:
        return json_reply(replies.batch_object(batch))

    def write_batches(self, batches: Sequence[Batch], has_more: bool) -> Reply:
        return json_reply(replies.listed([replies.batch_object(batch) for batch in batches], has_more))

    def allowance_headers(self, allowance: Allowance) -> Mapping[str, str]:
        return {
            "x-ratelimit-limit-requests": str(allowance.limit),
            "x-ratelimit-remaining-requests": str(allowance.remaining),
        }

    def write_models(self, offers: Sequence[Offer]) -> Reply:
        models = [replies.model_object(offer.model, offer.provider) for offer in offers]
        body: replies.ModelList = {"object": "list", "data": models}
        return json_reply(body)

    def write_model(self, name: str, offer: Offer) -> Reply:
        return json_reply(replies.model_object(name, offer.provider))

    def write_error(self, error: RequestError | None) -> Reply:
        if error is None:
            fault: replies.ErrorDetail = {
                "message": "The server had an error while processing your request. Send it again; if it fails again, "
                "tell your operator the x-request-id of this reply.",
                "type": "server_error",
                "param": None,
                "code": "internal_error",
                "status": 500,
            }
            return json_reply({"error": fault}, 500)
        kind = "invalid_request_error" if isinstance(error, Unauthenticated) else error.type
        body: replies.ErrorDetail = {
            "message": error.message,
            "type": kind,
            "param": error.param,
            "code": error.code or _CODES.get(error.status, "invalid_request"),
            "status": error.status,
        }
        return json_reply({"error": body}, error.status, _error_headers(error))


def _error_headers(error: RequestError) -> dict[str, str]:
    """OpenAI's SDKs send a 409 again unless they are told not to; ours would only conflict again."""
    if isinstance(error, RateLimited):
        return {"retry-after": str(error.retry_after_seconds)}
    return {"x-should-retry": "false"} if error.status == 409 else {}


def _seconds(expires_after: requests.ExpiresAfter | None) -> int | None:
    return expires_after.seconds if expires_after else None


def _form(request: Request) -> Form:
    """The body as a form. Imported here, because only uploads have one and every cold start would pay for it."""
    from batchyard.surfaces.forms import read_form

    return read_form(request.content_type, request.body)


def _form_fields(form: Form) -> dict[str, object]:
    """`expires_after[seconds]` and its like as nested values; numbers as numbers."""
    fields: dict[str, object] = {}
    nested: dict[str, object] = {}
    for name, value in form.fields.items():
        if name.startswith("expires_after[") and name.endswith("]"):
            inner = name.removeprefix("expires_after[").removesuffix("]")
            is_number = inner == "seconds" and re.fullmatch(r"[0-9]{1,18}", value)
            nested[inner] = int(value) if is_number else value
        else:
            fields[name] = value
    if nested:
        fields["expires_after"] = nested
    return fields


SURFACE = OpenAISurface()
