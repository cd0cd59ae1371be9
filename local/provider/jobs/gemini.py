"""Gemini's batches: of a file or of the call itself, results in the input's order, none of a batch that has expired.

https://ai.google.dev/gemini-api/docs/batch-api
"""

from __future__ import annotations

from typing import Any

import orjson

from local.provider.answers.gemini import error_of, path_of
from local.provider.jobs.calls import Call, route
from local.provider.jobs.gemini_files import FILE_ROUTES, page, time_of
from local.provider.jobs.job import ENDED, Job, JobItem, JobState, LineError, Order, Outcome
from local.provider.jobs.lines import item_of, read_lines
from local.provider.jobs.runs import Runs, prompt_tokens
from local.provider.wire import Refused, Reply, json_body, object_reply

_MOST_ITEMS = 200_000
_MOST_INLINE_BYTES = 20_000_000
_WINDOW_DAYS = 2
_STATES = {
    JobState.VALIDATING: "PENDING",
    JobState.IN_PROGRESS: "RUNNING",
    JobState.FINALIZING: "RUNNING",
    JobState.COMPLETED: "SUCCEEDED",
    JobState.FAILED: "FAILED",
    JobState.EXPIRED: "EXPIRED",
    JobState.CANCELLING: "RUNNING",
    JobState.CANCELLED: "CANCELLED",
}
_METADATA_TYPE = "type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch"


def create(runs: Runs, call: Call) -> Reply:
    return _create(runs, call, "generateContent")


def create_embeddings(runs: Runs, call: Call) -> Reply:
    return _create(runs, call, "embedContent")


def look(runs: Runs, call: Call) -> Reply:
    return object_reply(_operation(runs, _job(runs, call)))


def list_batches(runs: Runs, call: Call) -> Reply:
    jobs, more = page(runs.of(call.caller, call.vendor), call.request.parameters())
    return object_reply({"operations": [_operation(runs, job) for job in jobs]} | more)


def cancel(runs: Runs, call: Call) -> Reply:
    job = _job(runs, call)
    if job.state(runs.clock.now()) not in ENDED:
        runs.cancel(job)
    return object_reply({})


def delete(runs: Runs, call: Call) -> Reply:
    _job(runs, call).is_deleted = True
    return object_reply({})


ROUTES = [
    *FILE_ROUTES,
    route("POST", "/v1beta/models/{}:batchGenerateContent", "create", create),
    route("POST", "/v1beta/models/{}:asyncBatchEmbedContent", "create", create_embeddings),
    route("GET", "/v1beta/batches", "list", list_batches),
    route("GET", "/v1beta/batches/{}", "look", look),
    route("POST", "/v1beta/batches/{}:cancel", "cancel", cancel),
    route("DELETE", "/v1beta/batches/{}", "delete_job", delete),
]


def _create(runs: Runs, call: Call, operation: str) -> Reply:
    batch = json_body(call.request).get("batch") or {}
    source = batch.get("inputConfig") or batch.get("input_config") or {}
    model, path = call.ids[0], path_of(call.ids[0], operation)
    file_name = source.get("fileName") or source.get("file_name")
    errors: list[LineError] = []
    if file_name:
        content = runs.files.get(call.caller, file_name).content
        lines = read_lines(content, _MOST_ITEMS, lambda line: _parse_line(line, path, model))
        items, errors = lines.items, lines.errors
    else:
        if len(call.request.body) > _MOST_INLINE_BYTES:
            raise Refused(400, "Request payload size exceeds the limit: 20971520 bytes.")
        requests = (source.get("requests") or {}).get("requests")
        if not requests:
            raise Refused(400, "* BatchGenerateContentRequest.batch.input_config: required")
        items = [_inline_item(number, entry, path, model) for number, entry in enumerate(requests)]
    order = Order(
        caller=call.caller,
        vendor=call.vendor,
        items=items,
        window_seconds=runs.answering.config.job_window_seconds * _WINDOW_DAYS,
        endpoint=path,
        model=model,
        name=batch.get("displayName") or batch.get("display_name") or "",
        input_file=file_name or "",
        is_inline=not file_name,
        errors=errors,
        tokens=prompt_tokens(items),
    )
    most = runs.answering.config.enqueued_tokens
    if most and runs.enqueued_tokens(call.caller, model) + order.tokens > most:
        raise Refused(429, "You exceeded your current quota: batch enqueued tokens.")
    return object_reply(_operation(runs, runs.start(order, "batches/")))


def _parse_line(line: dict[str, Any], path: str, model: str) -> JobItem | LineError:
    request = line.get("request")
    item = item_of(line.get("key"), path, request)
    if isinstance(item, JobItem):
        item.body = item.body | {"model": model}
    return item


def _inline_item(number: int, entry: Any, path: str, model: str) -> JobItem:
    request = entry.get("request") if type(entry) is dict else None
    if type(request) is not dict:
        raise Refused(400, f"* requests[{number}].request: required")
    metadata = entry.get("metadata") or {}
    return JobItem(str(number), path, request | {"model": model}, orjson.dumps(request), metadata=metadata)


def _job(runs: Runs, call: Call) -> Job:
    return runs.get(call.caller, call.vendor, f"batches/{call.ids[0]}")


def _operation(runs: Runs, job: Job) -> dict[str, Any]:
    runs.catch_up(job)
    now = runs.clock.now()
    state = job.state(now)
    ended = state in ENDED
    outcomes = [item.outcome for item in job.order.items if item.outcome is not None]
    counts = {
        "requestCount": len(job.order.items),
        "pendingRequestCount": len(job.order.items) - len(outcomes),
        "successfulRequestCount": sum(1 for outcome in outcomes if outcome.status == 200),
        "failedRequestCount": sum(1 for outcome in outcomes if outcome.status != 200),
    }
    metadata = {
        "@type": _METADATA_TYPE,
        "name": job.id,
        "model": f"models/{job.order.model}",
        "displayName": job.order.name,
        "state": f"BATCH_STATE_{_STATES[state]}",
        "createTime": time_of(job.created_at),
        "updateTime": time_of(min(now, job.ended_at)),
        "batchStats": {name: str(count) for name, count in counts.items() if count},
    }
    if ended:
        metadata["endTime"] = time_of(job.ended_at)
    operation: dict[str, Any] = {"name": job.id, "metadata": metadata}
    if state in (JobState.COMPLETED, JobState.CANCELLED):
        metadata["output"] = _output(runs, job)
        operation |= {"done": True, "response": metadata["output"]}
    elif ended:
        said = "; ".join(error.message for error in job.errors) or "The batch expired."
        operation |= {"done": True, "error": {"code": 9, "message": said}}
    return operation


def _output(runs: Runs, job: Job) -> dict[str, Any]:
    done = [item for item in job.order.items if item.outcome is None or not item.outcome.is_missing]
    if job.order.is_inline:
        found = [_result(item.outcome) | ({"metadata": item.metadata} if item.metadata else {}) for item in done]
        return {"inlinedResponses": {"inlinedResponses": found}}
    if "output" not in job.files:
        lines = [
            orjson.dumps({"key": item.custom_id} | _result(item.outcome)) + b"\n"
            for item in done
            if item.outcome is not None or job.state(runs.clock.now()) == JobState.COMPLETED
        ]
        stored = runs.files.add(
            job.order.caller, "files/batch-", f"{job.id}.jsonl", "batch_output", b"".join(lines), job.ended_at
        )
        job.files["output"] = stored.id
    return {"responsesFile": job.files["output"]}


def _result(outcome: Outcome | None) -> dict[str, Any]:
    if outcome is None:
        return {"error": error_of(Refused(499, "The request was not executed."))}
    if outcome.status == 200:
        return {"response": orjson.Fragment(outcome.content)}
    return {"error": orjson.loads(outcome.content)["error"]}
