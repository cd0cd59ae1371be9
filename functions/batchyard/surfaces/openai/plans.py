"""The plan of a batch that may be made, as the API answers it. No vendor has such an operation: it is our own.

They are TypedDicts, from which the OpenAPI document is made.
"""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from batchyard.core.forecast import CandidateForecast, Forecast, RouteForecast
from batchyard.core.lanes import Mode
from batchyard.core.planning import Considered
from batchyard.core.routing import Verdict
from batchyard.core.usage import decimal_usd

_REASONS = {
    Verdict.SELECTED: "It is the cheapest lane that will do.",
    Verdict.DEARER: "Another lane that will do costs less.",
    Verdict.LESS_PREFERRED: "The batch's routing mode prefers another lane that will do, whatever it costs.",
    Verdict.IMMEDIATE: "The batch is to be run call by call.",
    Verdict.UNSUPPORTED: "The provider has answered that it has no batch API, or none for this model or plan.",
    Verdict.ENDPOINT: "This lane does not serve the batch's endpoint.",
    Verdict.TOO_FEW: "There are fewer requests than a provider job takes at least.",
    Verdict.TOO_MANY_JOBS: "It would make more provider jobs than are worth having.",
    Verdict.CONCURRENCY: "Several provider jobs that come back at once could not keep the ceiling on calls in flight.",
    Verdict.TOO_LATE: "It usually takes so long that too little time would be left before the deadline.",
    Verdict.TROUBLE: "Its provider is in trouble, and the batch's rules do not wait for that to end.",
    Verdict.PRIVACY: "It does not keep to the batch's privacy tier.",
    Verdict.POLICY: "The batch leaves this mode out, or, if it says nothing, the policy of its account or deployment.",
    Verdict.ROUTING_MODE: "The batch's routing mode does not allow its provider.",
    Verdict.REGION: "Its provider is in none of the batch's regions.",
}


class PlannedLane(TypedDict):
    """A lane of the requests' models. `items`: how many it is to run; if none, the other figures are those of all.
    `expected_finish_at`, `escalate_at`: unix seconds; `escalate_at`: when its
    provider jobs are given up, or flex is, and the rest runs in realtime; null in realtime."""

    provider: str
    model: str
    mode: Literal["realtime", "flex", "native"]
    verdict: Literal[
        "selected",
        "dearer",
        "less_preferred",
        "immediate",
        "unsupported",
        "endpoint",
        "too_few",
        "too_many_jobs",
        "concurrency",
        "too_late",
        "trouble",
        "privacy",
        "policy",
        "routing_mode",
        "region",
        "unpriced",
    ]
    reason: str
    items: int
    expected_cost_usd: str
    expected_finish_at: int | None
    jobs: int
    escalate_at: int | None


class PlannedRoute(TypedDict):
    """Requests that may take the same lanes, and each lane that was considered for them. `provider`, `model`: of the
    one that most of them take."""

    provider: str
    model: str
    items: int
    input_tokens: int
    output_tokens: int
    expected_cost_usd: str
    realtime_cost_usd: str
    expected_finish_at: int
    candidates: list[PlannedLane]


class PlanObject(TypedDict):
    """What a batch that is made now is expected to be like; nothing was made or spent. `sampled_items`: the figures
    are those of so many requests at the beginning of the input file, taken for all of it; null if all were read.
    `expires_at`: the deadline."""

    object: Literal["batch.plan"]
    endpoint: str
    completion_window: str
    input_file_id: str | None
    items: int
    sampled_items: int | None
    expires_at: int
    expected_cost_usd: str
    realtime_cost_usd: str
    expected_finish_at: int
    routes: list[PlannedRoute]
    notes: list[str]


def plan_object(forecast: Forecast) -> PlanObject:
    batch = forecast.request.batch
    return {
        "object": "batch.plan",
        "endpoint": batch.endpoint,
        "completion_window": batch.completion_window,
        "input_file_id": batch.input_file_id or None,
        "items": forecast.items,
        "sampled_items": forecast.sampled_items,
        "expires_at": forecast.expires_at,
        "expected_cost_usd": decimal_usd(forecast.cost_picousd),
        "realtime_cost_usd": decimal_usd(forecast.realtime_picousd),
        "expected_finish_at": forecast.finish_at,
        "routes": [_route(route) for route in forecast.routes],
        "notes": _notes(forecast),
    }


def _route(route: RouteForecast) -> PlannedRoute:
    return {
        "provider": route.lane.provider,
        "model": route.lane.model,
        "items": route.items,
        "input_tokens": route.input_tokens,
        "output_tokens": route.output_tokens,
        "expected_cost_usd": decimal_usd(route.cost_picousd),
        "realtime_cost_usd": decimal_usd(route.realtime_picousd),
        "expected_finish_at": route.finish_at,
        "candidates": [_lane(candidate) for candidate in route.candidates],
    }


def _lane(candidate: CandidateForecast) -> PlannedLane:
    considered = candidate.considered
    return {
        "provider": considered.lane.provider,
        "model": considered.lane.model,
        "mode": considered.lane.mode.value,
        "verdict": considered.verdict.value,
        "reason": _REASONS[considered.verdict],
        "items": considered.items,
        "expected_cost_usd": decimal_usd(candidate.cost_picousd),
        "expected_finish_at": considered.finish_at or None,
        "jobs": considered.jobs,
        "escalate_at": considered.escalate_at or None,
    }


def _notes(forecast: Forecast) -> list[str]:
    """What the figures rest on."""
    notes = []
    if forecast.sampled_items is not None:
        notes.append(
            f"Only the first {forecast.sampled_items} requests of the file were read; the others count as being like "
            "them, and may have errors that were not seen."
        )
    request = forecast.request
    if request.expected is None:
        notes.append("Input tokens are estimated from the requests' length.")
    elif request.expected.input_tokens is None:
        notes.append("Nobody said how many input tokens there are: 'tokens' says so.")
    if request.output_tokens is None:
        notes.append("Nobody knows how much the models will answer: 'output_tokens' says what you expect.")
    if any(_is_unsure(each.considered) for route in forecast.routes for each in route.selected):
        notes.append(
            "Half of a lane's provider jobs, or more, take longer than there is time for. What such a job leaves runs "
            "in realtime, at the full price."
        )
    return notes


def _is_unsure(considered: Considered) -> bool:
    """Whether its jobs will probably be given up."""
    return considered.lane.mode is Mode.NATIVE and considered.finish_at > considered.escalate_at
