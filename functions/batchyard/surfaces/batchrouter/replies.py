"""What BatchRouter answers about batches, results and files: objects with every field always there, and no other.

What its documents show has their fields; what they leave open is ours, in their style. They are TypedDicts, from which
the OpenAPI document is made.
"""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict

from batchyard.core.batches import Batch, Stage, Status
from batchyard.core.files import File
from batchyard.core.ids import respelled
from batchyard.core.items import LineError
from batchyard.core.json_types import JsonObject
from batchyard.core.rules import ServiceTier
from batchyard.surfaces.batch_fields import BatchLane, BatchWait, batch_lanes, waiting_for
from batchyard.surfaces.batchrouter.money import Money, money
from batchyard.surfaces.batchrouter.times import iso, iso_or_none

RoutedStatus = Literal[
    "pending",
    "queued",
    "routing",
    "dispatched",
    "processing",
    "completing",
    "completed",
    "failed",
    "cancelled",
    "expired",
]

windows = {ServiceTier.STANDARD: "24h", ServiceTier.FLEX: "48h", ServiceTier.PRIORITY: "24h"}
"""The completion window of each service tier."""

_ENDED: dict[Status, RoutedStatus] = {
    Status.COMPLETED: "completed",
    Status.FAILED: "failed",
    Status.CANCELLED: "cancelled",
    Status.EXPIRED: "expired",
}
_ISSUES = {
    "duplicate_custom_id": (
        "duplicate_customer_item_id",
        "Another item has the same customer_item_id. It must be unique in its batch.",
        "customer_item_id",
    ),
}
"""What is said about a line elsewhere -> code, message and field here."""


class CreatedBatch(TypedDict):
    id: str
    status: Literal["pending"]
    item_count: int
    created_at: str
    sla_deadline: str


class BatchCreation(TypedDict):
    batch: CreatedBatch


class Issue(TypedDict):
    """One thing that is wrong. `path`: in the request's body; `line`: of the input file, counted from 1."""

    code: str
    message: str
    path: str | None
    line: int | None


class RoutedBatch(TypedDict):
    """`item_count`: 0 while nobody has counted the items of its file. `cost`: of the items that are done.
    `waiting_for`: why it stands still or is slow, `lanes`: how far each lane is; both are null in lists while it is in
    progress."""

    id: str
    status: RoutedStatus
    item_count: int
    succeeded_count: int
    failed_count: int
    created_at: str
    sla_deadline: str
    ended_at: str | None
    sla_tier: Literal["standard", "flex", "priority"]
    routing_mode: Literal["cheapest", "sla_aware", "public_only", "edge_only", "hybrid", "privacy_constrained"]
    privacy_tier: Literal["standard", "confidential", "restricted"]
    quote_id: str | None
    input_file_id: str
    output_file_id: str | None
    error_file_id: str | None
    cost: Money
    max_price: Money | None
    errors: list[Issue]
    waiting_for: list[BatchWait] | None
    lanes: list[BatchLane] | None
    metadata: JsonObject | None


class RoutedBatchList(TypedDict):
    """`next_cursor`: where the next page starts; null on the last one."""

    batches: list[RoutedBatch]
    next_cursor: str | None


class ItemError(TypedDict):
    code: str
    message: str


class ItemResponse(TypedDict):
    status_code: int
    body: JsonObject


class ResultRow(TypedDict):
    """`response`: the provider's answer, also if it is an error; null if there is none."""

    customer_item_id: str
    index: int
    status: Literal["succeeded", "failed", "cancelled", "expired"]
    response: ItemResponse | None
    error: ItemError | None


class ResultPage(TypedDict):
    batch_id: str
    status: RoutedStatus
    item_count: int
    next_cursor: str | None
    results: list[ResultRow]


class Artifact(TypedDict):
    """`url`: has every result, a row on a line, and needs no API key. It works until `expires_at`."""

    batch_id: str
    url: str
    content_type: Literal["application/x-ndjson"]
    expires_at: str


class RoutedFile(TypedDict):
    """`id` and `file_id` are the same."""

    id: str
    file_id: str
    filename: str
    bytes: int
    created_at: str
    expires_at: str | None


class RoutedErrorDetail(TypedDict):
    """`details.preflight`: all that is wrong with a batch; `details.param`: the field or header that is."""

    code: str
    message: str
    details: dict[str, Any]


class RoutedError(TypedDict):
    error: RoutedErrorDetail


def batch_id(batch: Batch) -> str:
    return respelled(batch.id, "bat_")


def file_id(id: str) -> str:
    return respelled(id, "file_")


def status_of(batch: Batch) -> RoutedStatus:
    """What is drained after a cancel is being completed."""
    if batch.status in _ENDED:
        return _ENDED[batch.status]
    if batch.status is Status.VALIDATING:
        return "pending" if batch.stage is None else "queued" if batch.stage is Stage.QUEUED else "routing"
    if batch.status is Status.IN_PROGRESS:
        return "processing" if batch.is_begun or batch.tally.items else "dispatched"
    return "completing"


def created(batch: Batch) -> BatchCreation:
    return {
        "batch": {
            "id": batch_id(batch),
            "status": "pending",
            "item_count": batch.expected_items or 0,
            "created_at": iso(batch.created_at),
            "sla_deadline": iso(batch.expires_at),
        }
    }


def batch_object(batch: Batch) -> RoutedBatch:
    rules, tally = batch.rules, batch.tally
    limit = batch.max_price_picousd
    return {
        "id": batch_id(batch),
        "status": status_of(batch),
        "item_count": batch.total_items or batch.expected_items or 0,
        "succeeded_count": tally.succeeded,
        "failed_count": tally.failed + tally.cancelled + tally.expired,
        "created_at": iso(batch.created_at),
        "sla_deadline": iso(batch.expires_at),
        "ended_at": iso_or_none(batch.status_times.get(str(batch.status)) if batch.status.is_terminal else None),
        "sla_tier": rules.tier.value,
        "routing_mode": rules.mode.value,
        "privacy_tier": rules.privacy.value,
        "quote_id": batch.quote_id,
        "input_file_id": file_id(batch.input_file_id),
        "output_file_id": file_id(batch.output_file_id) if batch.output_file_id else None,
        "error_file_id": file_id(batch.error_file_id) if batch.error_file_id else None,
        "cost": money(tally.cost_picousd),
        "max_price": None if limit is None else money(limit),
        "errors": [issue(error) for error in batch.errors],
        "waiting_for": waiting_for(batch),
        "lanes": batch_lanes(batch),
        "metadata": batch.metadata,
    }


def issue(error: LineError) -> Issue:
    code, message, path = _ISSUES.get(error.code, (error.code, error.message, error.param))
    if code != error.code and error.param is not None and error.param.startswith("items["):
        path = f"{error.param.partition('.')[0]}.{path}"
    return {"code": code, "message": message, "path": path, "line": error.line}


def file_object(file: File) -> RoutedFile:
    return {
        "id": file_id(file.id),
        "file_id": file_id(file.id),
        "filename": file.filename,
        "bytes": file.bytes,
        "created_at": iso(file.created_at),
        "expires_at": iso_or_none(file.expires_at),
    }
