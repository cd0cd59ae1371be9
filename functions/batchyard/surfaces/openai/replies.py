"""The objects that OpenAI answers, every field always there. TypedDicts, so that the OpenAPI document says the same.

FastRouter's beside OpenAI's: `file_id`, `num_rows` and `url` of a file, `batch_id` of a batch, `status` of an error,
whose `code` is never null. Ours: `usage.cost_usd`, a decimal string, and whose money that is, `usage.paid_by`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from typing_extensions import TypedDict

from batchyard.core.batches import Batch, Status
from batchyard.core.files import File, Upload, UploadPart
from batchyard.core.usage import decimal_usd


class FileObject(TypedDict):
    """`num_rows`: lines that are not blank, where they were counted."""

    id: str
    file_id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    status: Literal["uploaded", "processed", "error"]
    status_details: str | None
    num_rows: int | None


class UploadedFile(FileObject):
    """`url`: where the bytes can be read without an API key for a while."""

    url: str


class FileList(TypedDict):
    object: Literal["list"]
    data: list[FileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedFile(TypedDict):
    id: str
    object: Literal["file"]
    deleted: Literal[True]


class PresignedFile(TypedDict):
    """Send the file's bytes to `url` by `method` with exactly `headers`, before `expires_at`."""

    object: Literal["file.presigned"]
    url: str
    method: Literal["PUT"]
    headers: dict[str, str]
    expires_at: int
    file: FileObject


class UploadObject(TypedDict):
    id: str
    object: Literal["upload"]
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    status: Literal["pending", "completed", "cancelled", "expired"]
    file: FileObject | None


class PartObject(TypedDict):
    id: str
    object: Literal["upload.part"]
    created_at: int
    upload_id: str


class BatchError(TypedDict):
    code: str
    message: str
    param: str | None
    line: int | None


class BatchErrors(TypedDict):
    object: Literal["list"]
    data: list[BatchError]


class RequestCounts(TypedDict):
    """`failed` also counts what was cancelled or expired."""

    total: int
    completed: int
    failed: int


class InputDetails(TypedDict):
    cached_tokens: int


class OutputDetails(TypedDict):
    reasoning_tokens: int


class BatchUsage(TypedDict):
    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int
    cost_usd: str
    paid_by: Literal["operator", "caller"]


class BatchObject(TypedDict):
    """`usage.paid_by`: `caller` where the batch runs with a provider key that came with it."""

    id: str
    batch_id: str
    object: Literal["batch"]
    endpoint: str
    model: str | None
    errors: BatchErrors | None
    input_file_id: str
    completion_window: str
    status: Literal[
        "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
    ]
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    usage: BatchUsage
    metadata: dict[str, str] | None


class BatchList(TypedDict):
    object: Literal["list"]
    data: list[BatchObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class ModelObject(TypedDict):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    shutdown_date: str | None


class ModelList(TypedDict):
    object: Literal["list"]
    data: list[ModelObject]


class ErrorDetail(TypedDict):
    message: str
    type: str
    param: str | None
    code: str
    status: int


class ErrorObject(TypedDict):
    error: ErrorDetail


def file_object(file: File) -> FileObject:
    return {
        "id": file.id,
        "file_id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": file.created_at,
        "expires_at": file.expires_at,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": file.status.value,
        "status_details": file.status_details,
        "num_rows": file.lines,
    }


def upload_object(upload: Upload, now: int, file: File | None) -> UploadObject:
    return {
        "id": upload.id,
        "object": "upload",
        "bytes": upload.bytes,
        "created_at": upload.created_at,
        "expires_at": upload.expires_at,
        "filename": upload.filename,
        "purpose": upload.purpose,
        "status": upload.status_at(now).value,
        "file": file_object(file) if file else None,
    }


def part_object(part: UploadPart) -> PartObject:
    return {"id": part.id, "object": "upload.part", "created_at": part.created_at, "upload_id": part.upload_id}


def batch_object(batch: Batch) -> BatchObject:
    at = batch.status_times.get
    return {
        "id": batch.id,
        "batch_id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model,
        "errors": _errors(batch),
        "input_file_id": batch.input_file_id,
        "completion_window": batch.completion_window,
        "status": batch.status.value,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        "created_at": batch.created_at,
        "in_progress_at": at(Status.IN_PROGRESS),
        "expires_at": batch.expires_at,
        "finalizing_at": at(Status.FINALIZING),
        "completed_at": at(Status.COMPLETED),
        "failed_at": at(Status.FAILED),
        "expired_at": at(Status.EXPIRED),
        "cancelling_at": at(Status.CANCELLING),
        "cancelled_at": at(Status.CANCELLED),
        "request_counts": _counts(batch),
        "usage": _usage(batch),
        "metadata": batch.text_metadata,
    }


def listed(data: Sequence[Any], has_more: bool) -> dict[str, Any]:
    """A page of objects that have ids."""
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": has_more}


def model_object(model: str, provider: str) -> ModelObject:
    """When other people's models were made, and when they will be gone, is not known."""
    return {"id": model, "object": "model", "created": 0, "owned_by": provider, "shutdown_date": None}


def _errors(batch: Batch) -> BatchErrors | None:
    if not batch.errors:
        return None
    data: list[BatchError] = [
        {"code": error.code, "message": error.message, "param": error.param, "line": error.line}
        for error in batch.errors
    ]
    return {"object": "list", "data": data}


def _counts(batch: Batch) -> RequestCounts:
    tally = batch.tally
    return {
        "total": batch.total_items,
        "completed": tally.succeeded,
        "failed": tally.failed + tally.cancelled + tally.expired,
    }


def _usage(batch: Batch) -> BatchUsage:
    usage = batch.tally.usage
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
        "cost_usd": decimal_usd(batch.tally.cost_picousd),
        "paid_by": "caller" if batch.caller_pays else "operator",
    }
