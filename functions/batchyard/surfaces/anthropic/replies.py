"""The objects that Anthropic answers, every field always there. They are TypedDicts, from which the OpenAPI document is
made.

Batchyard adds four fields to a batch: `waiting_for`, `lanes`, `usage` and `errors`. And its counts say how far a batch
is while it is in progress, when Anthropic's are 0 but for `processing`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from typing_extensions import TypedDict

from batchyard.core.batches import Batch, Ending, Status
from batchyard.surfaces.anthropic.ids import shown_id
from batchyard.surfaces.batch_fields import (
    BatchErrors,
    BatchLane,
    BatchWait,
    TokenUsage,
    batch_errors,
    batch_lanes,
    token_usage,
    waiting_for,
)


class MessageBatchCounts(TypedDict):
    """They add up to the number of requests."""

    processing: int
    succeeded: int
    errored: int
    canceled: int
    expired: int


class MessageBatch(TypedDict):
    """Times are RFC 3339. `errors`: why it ended without running anything."""

    id: str
    type: Literal["message_batch"]
    processing_status: Literal["in_progress", "canceling", "ended"]
    request_counts: MessageBatchCounts
    created_at: str
    expires_at: str
    ended_at: str | None
    cancel_initiated_at: str | None
    archived_at: str | None
    results_url: str | None
    waiting_for: list[BatchWait] | None
    lanes: list[BatchLane] | None
    usage: TokenUsage
    errors: BatchErrors | None


class MessageBatchList(TypedDict):
    data: list[MessageBatch]
    has_more: bool
    first_id: str | None
    last_id: str | None


class DeletedMessageBatch(TypedDict):
    id: str
    type: Literal["message_batch_deleted"]


class AnthropicErrorDetail(TypedDict):
    type: str
    message: str


class AnthropicError(TypedDict):
    type: Literal["error"]
    error: AnthropicErrorDetail
    request_id: str


def batch_object(batch: Batch) -> MessageBatch:
    at = batch.status_times.get
    shown = shown_id(batch.id)
    results_url = f"{batch.api_url}/v1/messages/batches/{shown}/results"
    has_results = batch.status.is_terminal and not batch.results_hidden
    return {
        "id": shown,
        "type": "message_batch",
        "processing_status": _processing_status(batch.status),
        "request_counts": request_counts(batch),
        "created_at": timestamp(batch.created_at),
        "expires_at": timestamp(batch.expires_at),
        "ended_at": _time(at(batch.status)) if batch.status.is_terminal else None,
        "cancel_initiated_at": _time(at(Status.CANCELLING)),
        "archived_at": None,
        "results_url": results_url if has_results else None,
        "waiting_for": waiting_for(batch),
        "lanes": batch_lanes(batch),
        "usage": token_usage(batch),
        "errors": batch_errors(batch),
    }


def request_counts(batch: Batch) -> MessageBatchCounts:
    """What has no result yet is processing; once the batch has ended it is what the ending made of it."""
    tally = batch.tally
    counts: MessageBatchCounts = {
        "processing": 0,
        "succeeded": tally.succeeded,
        "errored": tally.failed,
        "canceled": tally.cancelled,
        "expired": tally.expired,
    }
    items = batch.total_items or batch.expected_items or 0
    rest = max(0, items - tally.succeeded - tally.failed - tally.cancelled - tally.expired)
    counts[_REST[batch.ending]] += rest
    return counts


_REST: dict[Ending | None, Literal["processing", "errored", "canceled", "expired"]] = {
    None: "processing",
    Ending.COMPLETED: "errored",
    Ending.FAILED: "errored",
    Ending.CANCELLED: "canceled",
    Ending.EXPIRED: "expired",
}


def _processing_status(status: Status) -> Literal["in_progress", "canceling", "ended"]:
    if status.is_terminal:
        return "ended"
    return "canceling" if status is Status.CANCELLING else "in_progress"


def timestamp(unix_second: int) -> str:
    """RFC 3339."""
    return datetime.fromtimestamp(unix_second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _time(unix_second: int | None) -> str | None:
    return None if unix_second is None else timestamp(unix_second)
