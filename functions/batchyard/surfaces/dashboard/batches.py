"""Batches as the dashboard's page reads them: in its list, by themselves, over time. TypedDicts, from which the OpenAPI
document is made.

Times are unix seconds, money is a decimal text in US dollars. Names and contents are JSON texts here and nothing else:
the page decides how to show them.
"""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from batchyard.core.batch_views import BatchesPage, BatchView, LifeEvent, Throughput, ended_at
from batchyard.core.batches import Batch, Status
from batchyard.core.ids import respelled
from batchyard.core.json_types import JsonObject
from batchyard.core.lanes import LaneProgress
from batchyard.core.usage import decimal_usd
from batchyard.surfaces.anthropic.ids import shown_id
from batchyard.surfaces.batch_fields import BatchError, BatchWait, waiting_for
from batchyard.surfaces.dashboard.lanes import LaneName, Mode, lane_name

BatchStatus = Literal[
    "validating", "in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled"
]


class LaneBar(TypedDict):
    """How far a batch is on one lane."""

    provider: str
    model: str
    mode: Mode
    stage: Literal["waiting", "running", "done"]
    items: int
    done: int
    moved_from: Mode | None
    reason: str | None


class ItemCounts(TypedDict):
    """`done`: all that have a result, whatever it is."""

    total: int
    succeeded: int
    failed: int
    cancelled: int
    expired: int
    done: int


class TokenCounts(TypedDict):
    input: int
    cached: int
    output: int
    reasoning: int


class BatchCard(TypedDict):
    """A batch in the dashboard's list. `shown_id`: as its own dialect spells its id."""

    id: str
    shown_id: str
    surface: str
    endpoint: str
    model: str | None
    status: BatchStatus
    is_terminal: bool
    stage: Literal["queued", "routing"] | None
    created_at: int
    in_progress_at: int | None
    finalizing_at: int | None
    cancelling_at: int | None
    ended_at: int | None
    expires_at: int
    expected_end_at: int | None
    counts: ItemCounts
    items_per_second: float | None
    retries: dict[str, int]
    tokens: TokenCounts
    cost_usd: str
    realtime_usd: str
    estimate_usd: str | None
    max_price_usd: str | None
    is_callers_bill: bool
    price_reached: bool
    waiting_for: list[BatchWait]
    lanes: list[LaneBar]
    input_file_id: str
    output_file_id: str | None
    error_file_id: str | None
    results_hidden: bool
    errors_count: int


class TimelineEvent(TypedDict):
    at: int
    kind: Literal[
        "created",
        "validated",
        "job_submitted",
        "first_call",
        "first_results",
        "job_ended",
        "failed_over",
        "waiting",
        "cancelling",
        "finalizing",
        "ended",
        "deadline",
    ]
    lane: LaneName | None
    reason: str | None
    detail: str | None


class BatchPage(BatchCard):
    """A batch by itself. Its throughput has the rest of its timeline."""

    errors: list[BatchError]
    metadata: JsonObject | None
    timeline: list[TimelineEvent]


class BatchCards(TypedDict):
    """`searched`: how many batches were looked at for this page, which may be short if they are filtered."""

    batches: list[BatchCard]
    next_cursor: str | None
    searched: int


class ThroughputPoint(TypedDict):
    at: int
    done: int
    failed: int


class ThroughputChart(TypedDict):
    """`timeline`: when results were stored, which is told from the same rows."""

    bucket_seconds: int
    points: list[ThroughputPoint]
    timeline: list[TimelineEvent]


def batch_cards(page: BatchesPage) -> BatchCards:
    cards = [batch_card(view) for view in page.views]
    return {"batches": cards, "next_cursor": page.next_cursor, "searched": page.searched}


def batch_card(view: BatchView) -> BatchCard:
    batch, at, tally = view.batch, view.batch.status_times.get, view.batch.tally
    return {
        "id": batch.id,
        "shown_id": _own_spelling(batch),
        "surface": batch.surface,
        "endpoint": batch.endpoint,
        "model": batch.model,
        "status": batch.status.value,
        "is_terminal": batch.status.is_terminal,
        "stage": batch.stage.value if batch.stage and batch.status is Status.VALIDATING else None,
        "created_at": batch.created_at,
        "in_progress_at": at(Status.IN_PROGRESS),
        "finalizing_at": at(Status.FINALIZING),
        "cancelling_at": at(Status.CANCELLING),
        "ended_at": ended_at(batch),
        "expires_at": batch.expires_at,
        "expected_end_at": view.expected_end_at,
        "counts": {
            "total": batch.total_items or batch.expected_items or 0,
            "succeeded": tally.succeeded,
            "failed": tally.failed,
            "cancelled": tally.cancelled,
            "expired": tally.expired,
            "done": tally.items,
        },
        "items_per_second": None if view.items_per_second is None else round(view.items_per_second, 3),
        "retries": tally.retries,
        "tokens": {
            "input": tally.input_tokens,
            "cached": tally.cached_tokens,
            "output": tally.output_tokens,
            "reasoning": tally.reasoning_tokens,
        },
        "cost_usd": decimal_usd(tally.cost_picousd),
        "realtime_usd": decimal_usd(tally.realtime_picousd),
        "estimate_usd": decimal_usd(batch.estimate_picousd) if batch.estimate_picousd else None,
        "max_price_usd": None if batch.max_price_picousd is None else decimal_usd(batch.max_price_picousd),
        "is_callers_bill": batch.caller_pays,
        "price_reached": batch.price_reached,
        "waiting_for": waiting_for(batch) or [],
        "lanes": [_lane_bar(each) for each in view.lanes],
        "input_file_id": batch.input_file_id,
        "output_file_id": batch.output_file_id,
        "error_file_id": batch.error_file_id,
        "results_hidden": batch.results_hidden,
        "errors_count": len(batch.errors),
    }


def batch_page(view: BatchView) -> BatchPage:
    errors: list[BatchError] = [
        {"code": error.code, "message": error.message, "param": error.param, "line": error.line}
        for error in view.batch.errors
    ]
    return {
        **batch_card(view),
        "errors": errors,
        "metadata": view.batch.metadata,
        "timeline": [_timeline_event(each) for each in view.timeline],
    }


def throughput_chart(throughput: Throughput) -> ThroughputChart:
    points: list[ThroughputPoint] = [
        {"at": throughput.start + number * throughput.bucket_seconds, "done": done, "failed": failed}
        for number, (done, failed) in enumerate(zip(throughput.done, throughput.failed, strict=True))
    ]
    timeline = [_timeline_event(each) for each in throughput.timeline]
    return {"bucket_seconds": throughput.bucket_seconds, "points": points, "timeline": timeline}


def _lane_bar(progress: LaneProgress) -> LaneBar:
    return {
        "provider": progress.lane.provider,
        "model": progress.lane.model,
        "mode": progress.lane.mode.value,
        "stage": progress.stage.value,
        "items": progress.items,
        "done": progress.done_items,
        "moved_from": progress.moved_from.value if progress.moved_from else None,
        "reason": progress.reason,
    }


def _timeline_event(event: LifeEvent) -> TimelineEvent:
    return {
        "at": event.at,
        "kind": event.moment.value,
        "lane": lane_name(event.lane),
        "reason": event.reason,
        "detail": event.detail,
    }


def _own_spelling(batch: Batch) -> str:
    if batch.surface == "anthropic":
        return shown_id(batch.id)
    return respelled(batch.id, "bat_") if batch.surface == "batchrouter" else batch.id
