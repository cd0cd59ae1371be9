"""The objects that KushRouter answers, every field always there, and no other.

Batches have OpenAI's fields with KushRouter's statuses; lists and files have the fields in KushRouter's documentation,
and batches have Batchyard's `waiting_for` and `lanes`. They are TypedDicts, from which the OpenAPI document is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from batchyard.core.batches import Batch, Status
from batchyard.core.files import File
from batchyard.core.json_types import JsonObject
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

BatchStatus = Literal["queued", "processing", "completed", "cancelled", "expired", "failed"]

STATUSES: dict[Status, BatchStatus] = {
    Status.VALIDATING: "queued",
    Status.IN_PROGRESS: "processing",
    Status.FINALIZING: "processing",
    Status.CANCELLING: "processing",
    Status.COMPLETED: "completed",
    Status.CANCELLED: "cancelled",
    Status.EXPIRED: "expired",
    Status.FAILED: "failed",
}
"""A batch that is being cancelled still takes in answers, so its results are not final yet."""


class KushRouterFile(TypedDict):
    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    filename: str
    purpose: str


class KushRouterFileList(TypedDict):
    object: Literal["list"]
    data: list[KushRouterFile]
    has_more: bool


class KushRouterDeletedFile(TypedDict):
    id: str
    object: Literal["file"]
    deleted: Literal[True]


class KushRouterPresignedFile(TypedDict):
    """Send the file's bytes to `url` by `method`, before `expires_at`."""

    object: Literal["file.presigned"]
    url: str
    method: Literal["PUT"]
    expires_at: int
    file: KushRouterFile


class KushRouterBatch(TypedDict):
    """`waiting_for`: why it stands still or is slow, `lanes`: how far each lane is; both are null in lists while it is
    in progress."""

    id: str
    object: Literal["batch"]
    endpoint: str
    model: str | None
    errors: BatchErrors | None
    input_file_id: str
    completion_window: str
    status: BatchStatus
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
    usage: TokenUsage
    metadata: JsonObject | None


class KushRouterBatchList(TypedDict):
    object: Literal["list"]
    data: list[KushRouterBatch]
    has_more: bool


class KushRouterItemError(TypedDict):
    message: str
    code: str
    status: int


class KushRouterResult(TypedDict):
    """`result` is null if the item failed; `error` is there only then."""

    index: int
    status: Literal["succeeded", "failed"]
    result: JsonObject | None
    usage: NotRequired[JsonObject]
    error: NotRequired[KushRouterItemError]
    custom_id: NotRequired[str]


class KushRouterResults(TypedDict):
    """The results of the `limit` items from `offset`, as far as there are any. `total`: how many items the batch
    has."""

    id: str
    status: BatchStatus
    total: int
    offset: int
    limit: int
    results: list[KushRouterResult]


class KushRouterError(TypedDict):
    """`error` is a text if the status is 429."""

    error: ErrorDetail | str


def file_object(file: File) -> KushRouterFile:
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": file.created_at,
        "filename": file.filename,
        "purpose": file.purpose,
    }


def batch_object(batch: Batch) -> KushRouterBatch:
    at = batch.status_times.get
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model,
        "errors": batch_errors(batch),
        "input_file_id": batch.input_file_id,
        "completion_window": batch.completion_window,
        "status": STATUSES[batch.status],
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
        "usage": token_usage(batch),
        "metadata": batch.metadata,
    }


def listed(data: Sequence[Any], has_more: bool) -> JsonObject:
    return {"object": "list", "data": data, "has_more": has_more}
