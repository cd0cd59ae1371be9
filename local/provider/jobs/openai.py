"""Batches as OpenAI has them, and those who copied it: Azure and Groq.

openai/openai-openapi; https://platform.openai.com/docs/guides/batch
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from local.provider.answers.openai import ENDPOINTS
from local.provider.jobs.calls import Call, route
from local.provider.jobs.job import ENDED, Job, JobItem, JobState, LineError, Order, Outcome
from local.provider.jobs.lines import item_of, read_lines
from local.provider.jobs.openai_files import FILE_ROUTES, page
from local.provider.jobs.result_files import openai_line, write_results
from local.provider.jobs.runs import Runs, prompt_tokens
from local.provider.wire import Refused, Reply, json_body, object_reply

_DAY_SECONDS = 86_400
_WINDOW = re.compile(r"(\d+)([hd])")
_MOST_ITEMS = 50_000
_MOST_METADATA = 16


@dataclass(frozen=True, slots=True)
class _Variant:
    longest_window_seconds: int = _DAY_SECONDS
    endpoints: tuple[str, ...] = tuple(ENDPOINTS)


_VARIANTS = {
    "openai": _Variant(),
    "azure": _Variant(),
    "groq": _Variant(7 * _DAY_SECONDS, ("/v1/chat/completions",)),
}


def create(runs: Runs, call: Call) -> Reply:
    """What is wrong with the lines shows later, when the batch has been validated."""
    body = json_body(call.request)
    for name in ("input_file_id", "endpoint", "completion_window"):
        if not isinstance(body.get(name), str):
            raise Refused(400, f"Missing required parameter: '{name}'.", param=name)
    variant = _VARIANTS[call.vendor]
    endpoint, metadata = body["endpoint"], body.get("metadata") or {}
    if endpoint not in variant.endpoints:
        raise Refused(400, f"Invalid value: '{endpoint}'.", param="endpoint", code="invalid_value")
    if len(metadata) > _MOST_METADATA or any(len(key) > 64 or len(text) > 512 for key, text in metadata.items()):
        raise Refused(400, "Metadata takes 16 pairs, keys of 64 and values of 512 characters.", param="metadata")
    file = runs.files.get(call.caller, body["input_file_id"])
    if file.purpose != "batch":
        raise Refused(400, "The input file has to have the purpose 'batch'.", param="input_file_id")
    lines = read_lines(file.content, _MOST_ITEMS, lambda line: _parse_line(line, endpoint))
    order = Order(
        caller=call.caller,
        vendor=call.vendor,
        items=lines.items,
        window_seconds=_window_seconds(body["completion_window"], variant, runs.answering.config.job_window_seconds),
        window=body["completion_window"],
        endpoint=endpoint,
        model=lines.model,
        metadata=metadata,
        input_file=file.id,
        errors=[*lines.errors, *_other_models(lines.items, lines.model)],
        tokens=prompt_tokens(lines.items),
    )
    most = runs.answering.config.enqueued_tokens
    if most and runs.enqueued_tokens(call.caller, lines.model) + order.tokens > most:
        order.errors.append(LineError("token_limit_exceeded", _TOO_MANY_TOKENS.format(model=lines.model, most=most)))
    return object_reply(_batch_object(runs, runs.start(order, "batch_")))


def look(runs: Runs, call: Call) -> Reply:
    return object_reply(_batch_object(runs, runs.get(call.caller, call.vendor, call.ids[0])))


def list_batches(runs: Runs, call: Call) -> Reply:
    jobs = {job.id: job for job in runs.of(call.caller, call.vendor)}
    return object_reply(page(jobs, call.request.parameters(), 20, lambda job: _batch_object(runs, job)))


def cancel(runs: Runs, call: Call) -> Reply:
    job = runs.get(call.caller, call.vendor, call.ids[0])
    state = job.state(runs.clock.now())
    if state in ENDED:
        raise Refused(409, f"Cannot cancel a batch with status '{state}'.")
    runs.cancel(job)
    return object_reply(_batch_object(runs, job))


ROUTES = [
    *FILE_ROUTES,
    route("POST", "/v1/batches", "create", create),
    route("GET", "/v1/batches", "list", list_batches),
    route("GET", "/v1/batches/{}", "look", look),
    route("POST", "/v1/batches/{}/cancel", "cancel", cancel),
]


def _batch_object(runs: Runs, job: Job) -> dict[str, Any]:
    runs.catch_up(job)
    now = runs.clock.now()
    state = job.state(now)
    if state in ENDED:
        write_results(runs, job, "file-", "batch_output", openai_line)
    outcomes = [item.outcome for item in job.order.items if item.outcome is not None]
    validated, is_open = job.was_validated(now), state not in (JobState.VALIDATING, JobState.FAILED)
    return {
        "id": job.id,
        "object": "batch",
        "endpoint": job.order.endpoint,
        "model": job.order.model or None,
        "errors": _errors(job) if state == JobState.FAILED else None,
        "input_file_id": job.order.input_file,
        "completion_window": job.order.window,
        "status": state.value,
        "output_file_id": job.files.get("output"),
        "error_file_id": job.files.get("error"),
        "created_at": int(job.created_at),
        "in_progress_at": int(job.validated_at) if validated and is_open else None,
        "expires_at": int(job.expires_at),
        "finalizing_at": _at(job.finalizing_at, now) if is_open and job.cancel_at == math.inf else None,
        "completed_at": int(job.ended_at) if state == JobState.COMPLETED else None,
        "failed_at": int(job.ended_at) if state == JobState.FAILED else None,
        "expired_at": int(job.ended_at) if state == JobState.EXPIRED else None,
        "cancelling_at": _at(job.cancel_at, now),
        "cancelled_at": int(job.ended_at) if state == JobState.CANCELLED else None,
        "request_counts": {
            "total": len(job.order.items) if validated else 0,
            "completed": sum(1 for outcome in outcomes if outcome.status == 200),
            "failed": sum(1 for outcome in outcomes if outcome.status != 200),
        },
        "usage": _usage(outcomes),
        "metadata": job.order.metadata or None,
    }


def _parse_line(line: dict[str, Any], endpoint: str) -> JobItem | LineError:
    if line.get("method") != "POST":
        return LineError("invalid_method", "The method of each request has to be POST.", param="method")
    if line.get("url") != endpoint:
        return LineError("url_mismatch", f"The url has to be the batch's endpoint, '{endpoint}'.", param="url")
    return item_of(line.get("custom_id"), endpoint, line.get("body"))


def _other_models(items: list[JobItem], model: str) -> list[LineError]:
    if all(item.body.get("model") == model for item in items):
        return []
    return [LineError("model_mismatch", f"All requests of a batch have to be for one model; the first is '{model}'.")]


def _window_seconds(window: str, variant: _Variant, day_seconds: float) -> float:
    """`day_seconds` is what the simulator takes for 24 hours."""
    match = _WINDOW.fullmatch(window)
    seconds = int(match.group(1)) * (3600 if match.group(2) == "h" else _DAY_SECONDS) if match else 0
    if not _DAY_SECONDS <= seconds <= variant.longest_window_seconds:
        raise Refused(400, f"Invalid value: '{window}'.", param="completion_window", code="invalid_value")
    return seconds / _DAY_SECONDS * day_seconds


def _errors(job: Job) -> dict[str, Any]:
    data = [
        {"code": error.code, "message": error.message, "param": error.param, "line": error.line} for error in job.errors
    ]
    return {"object": "list", "data": data}


def _usage(outcomes: list[Outcome]) -> dict[str, Any]:
    prompt, cached, _, output = (sum(outcome.tokens[place] for outcome in outcomes) for place in range(4))
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": prompt + output,
    }


def _at(moment: float, now: float) -> int | None:
    return int(moment) if moment <= now else None


_TOO_MANY_TOKENS = (
    "Enqueued token limit reached for {model}. Limit: {most:,} enqueued tokens. Please try again once some in_progress "
    "batches have been completed."
)
