"""The objects that OpenAI answers, every field always there. They are TypedDicts, from which the OpenAPI document is
made.

FastRouter adds `file_id`, `num_rows` and `url` to a file, `batch_id` to a batch, and `status` to an error, whose `code`
is never null. Batchyard adds `usage.cost_usd`, a decimal string, `usage.paid_by`, which says whose money that is, and
`waiting_for`, which says why a batch stands still, and `lanes`, which says how far it is on each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from typing_extensions import TypedDict

from batchyard.core.batches import Batch, Status
from batchyard.core.catalogue import Offer
from batchyard.core.files import File, Upload, UploadPart
from batchyard.core.json_types import JsonObject
from batchyard.core.limits import ShownLimits
from batchyard.surfaces.batch_fields import (
    BatchErrors,
    BatchLane,
    BatchWait,
    RequestCounts,
    TokenUsage,
    batch_errors,
    batch_lanes,
    request_counts,
    token_usage,
    waiting_for,
)
from batchyard.surfaces.errors import ErrorDetail


class FileObject(TypedDict):
    """`num_rows`: lines that are not blank, if they were counted."""

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


class BatchUsage(TokenUsage):
    """`paid_by`: whose provider key the batch runs with, and so whose money it is."""

    paid_by: Literal["operator", "caller"]


class BatchObject(TypedDict):
    """`usage.paid_by`: `caller` if the batch runs with a provider key that came with it. `waiting_for`: why it stands
    still or is slow, `lanes`: how far each of its lanes is; both are null in lists while it is in progress, and empty
    if it is not."""

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
    waiting_for: list[BatchWait] | None
    lanes: list[BatchLane] | None
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


class LimitsObject(TypedDict):
    """Of an input file: items, bytes, bytes of a line, characters of a `custom_id`. `max_line_errors`: how many wrong
    lines a batch reports. `max_upload_part_bytes`: of one part of an upload. `requests_per_minute`: of an API key; 0
    means any number."""

    object: Literal["limits"]
    max_batch_items: int
    max_file_bytes: int
    max_line_bytes: int
    max_custom_id_chars: int
    max_line_errors: int
    max_upload_part_bytes: int
    requests_per_minute: int


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
        "errors": batch_errors(batch),
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
        "waiting_for": waiting_for(batch),
        "lanes": batch_lanes(batch),
        "request_counts": request_counts(batch),
        "usage": {**token_usage(batch), "paid_by": "caller" if batch.caller_pays else "operator"},
        "metadata": batch.text_metadata,
    }


def listed(data: Sequence[Any], has_more: bool) -> JsonObject:
    """A page of objects that have ids."""
    first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": data, "first_id": first, "last_id": last, "has_more": has_more}


def model_object(name: str, offer: Offer) -> ModelObject:
    """`created` and `shutdown_date` say nothing: the catalogue does not know when a model was made or will be gone."""
    return {"id": name, "object": "model", "created": 0, "owned_by": offer.provider, "shutdown_date": None}


def limits_object(limits: ShownLimits) -> LimitsObject:
    return {
        "object": "limits",
        "max_batch_items": limits.bounds.max_batch_items,
        "max_file_bytes": limits.bounds.max_file_bytes,
        "max_line_bytes": limits.bounds.max_line_bytes,
        "max_custom_id_chars": limits.max_custom_id_chars,
        "max_line_errors": limits.max_line_errors,
        "max_upload_part_bytes": limits.max_upload_part_bytes,
        "requests_per_minute": limits.bounds.requests_per_minute,
    }
