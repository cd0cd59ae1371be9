"""Fields of a batch that several dialects show alike: its errors, waits, counts and tokens. They are TypedDicts, from
which the OpenAPI document is made."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from batchyard.core.batches import Batch, Status
from batchyard.core.usage import decimal_usd


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


class TokenUsage(TypedDict):
    """`realtime_cost_usd`: what the same would have cost without batch discounts."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int
    cost_usd: str
    realtime_cost_usd: str


class BatchWait(TypedDict):
    """Why requests of one provider and model stand still or are slow, since when as far as that is known, and what
    follows. `blocked`: the operator has to act; `trouble`: the provider fails; `queued`: others are before them;
    `throttled`: the provider's limits decide."""

    provider: str
    model: str
    state: Literal["blocked", "trouble", "queued", "throttled"]
    since: int | None
    message: str


class BatchLane(TypedDict):
    """Requests of one provider, model and mode. `done_percent`: about. `moved_from`: the mode of the lane that they
    were planned for, if another one runs them now. `reason`: why they were moved, or else why they wait, if known."""

    provider: str
    model: str
    mode: Literal["realtime", "flex", "native"]
    items: int
    done_percent: int
    state: Literal["waiting", "running", "done"]
    moved_from: Literal["realtime", "flex", "native"] | None
    reason: str | None


def batch_lanes(batch: Batch) -> list[BatchLane] | None:
    """None if the batch is in progress and nobody has looked."""
    if batch.lanes is None:
        return None if batch.status is Status.IN_PROGRESS else []
    return [
        {
            "provider": each.lane.provider,
            "model": each.lane.model,
            "mode": each.lane.mode.value,
            "items": each.items,
            "done_percent": each.done_percent,
            "state": each.stage.value,
            "moved_from": each.moved_from.value if each.moved_from else None,
            "reason": each.reason,
        }
        for each in batch.lanes
    ]


def waiting_for(batch: Batch) -> list[BatchWait] | None:
    """None if the batch is in progress and nobody has looked."""
    if batch.waiting_for is None:
        return None if batch.status is Status.IN_PROGRESS else []
    return [
        {
            "provider": wait.provider,
            "model": wait.model,
            "state": wait.state.value,
            "since": wait.since,
            "message": wait.message,
        }
        for wait in batch.waiting_for
    ]


def batch_errors(batch: Batch) -> BatchErrors | None:
    if not batch.errors:
        return None
    data: list[BatchError] = [
        {"code": error.code, "message": error.message, "param": error.param, "line": error.line}
        for error in batch.errors
    ]
    return {"object": "list", "data": data}


def request_counts(batch: Batch) -> RequestCounts:
    tally = batch.tally
    failed = tally.failed + tally.cancelled + tally.expired
    return {"total": batch.total_items, "completed": tally.succeeded, "failed": failed}


def token_usage(batch: Batch) -> TokenUsage:
    usage = batch.tally.usage
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
        "cost_usd": decimal_usd(batch.tally.cost_picousd),
        "realtime_cost_usd": decimal_usd(batch.tally.realtime_picousd),
    }
