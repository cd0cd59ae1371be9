"""What a webhook's event says, in each style.

OpenAI's is theirs to the letter: it names the batch, and the client asks for the rest. BatchRouter's follows what their
pages have shown (`type`, `data` with counts and cost), with times as their API writes them. KushRouter documents the
event's name only; the rest is ours.
"""

from __future__ import annotations

import datetime
from typing import Literal

import orjson
from typing_extensions import TypedDict

from batchyard.core.batches import Batch
from batchyard.core.ids import respelled
from batchyard.core.usage import decimal_usd
from batchyard.core.webhooks import WebhookStyle
from batchyard.surfaces.batch_fields import RequestCounts, request_counts


class OpenAIEventData(TypedDict):
    id: str


class OpenAIEvent(TypedDict):
    id: str
    object: Literal["event"]
    type: str
    created_at: int
    data: OpenAIEventData


class BatchRouterEventData(TypedDict):
    batch_id: str
    status: str
    items_total: int
    items_completed: int
    items_failed: int
    cost_usd: str
    created_at: str


class BatchRouterEvent(TypedDict):
    id: str
    type: str
    created_at: str
    data: BatchRouterEventData


class KushRouterEventData(TypedDict):
    id: str
    object: Literal["batch"]
    status: str
    created_at: int
    request_counts: RequestCounts


class KushRouterEvent(TypedDict):
    id: str
    event: str
    created_at: int
    data: KushRouterEventData


def write_event(batch: Batch, style: WebhookStyle, event_id: str) -> bytes:
    """The body of the event that `batch`, which is terminal, has ended. The same for the same batch at any time."""
    match style:
        case WebhookStyle.OPENAI:
            return orjson.dumps(_openai(batch, event_id))
        case WebhookStyle.BATCHROUTER:
            return orjson.dumps(_batchrouter(batch, event_id))
        case WebhookStyle.KUSHROUTER:
            return orjson.dumps(_kushrouter(batch, event_id))


def _openai(batch: Batch, event_id: str) -> OpenAIEvent:
    return {
        "id": event_id,
        "object": "event",
        "type": _name(batch),
        "created_at": _ended_at(batch),
        "data": {"id": batch.id},
    }


def _batchrouter(batch: Batch, event_id: str) -> BatchRouterEvent:
    counts = request_counts(batch)
    return {
        "id": event_id,
        "type": _name(batch),
        "created_at": _iso(_ended_at(batch)),
        "data": {
            "batch_id": respelled(batch.id, "bat_"),
            "status": str(batch.status),
            "items_total": counts["total"],
            "items_completed": counts["completed"],
            "items_failed": counts["failed"],
            "cost_usd": decimal_usd(batch.tally.cost_picousd),
            "created_at": _iso(batch.created_at),
        },
    }


def _kushrouter(batch: Batch, event_id: str) -> KushRouterEvent:
    return {
        "id": event_id,
        "event": _name(batch),
        "created_at": _ended_at(batch),
        "data": {
            "id": batch.id,
            "object": "batch",
            "status": str(batch.status),
            "created_at": batch.created_at,
            "request_counts": request_counts(batch),
        },
    }


def _name(batch: Batch) -> str:
    return f"batch.{batch.status}"


def _ended_at(batch: Batch) -> int:
    return batch.status_times[batch.status]


def _iso(second: int) -> str:
    return datetime.datetime.fromtimestamp(second, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
