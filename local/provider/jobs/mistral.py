"""Mistral's batch jobs, and its files: one model for all of a job, items without method and URL.

https://docs.mistral.ai/capabilities/batch; the SDK's `models/batchjob.py`
"""

from __future__ import annotations

from typing import Any, TypeVar

import orjson

from local.provider.answers.openai import ENDPOINTS
from local.provider.jobs.calls import Call, route
from local.provider.jobs.files import File
from local.provider.jobs.job import ENDED, Job, JobItem, JobState, LineError, Order
from local.provider.jobs.lines import Lines, item_of, read_lines
from local.provider.jobs.result_files import is_good, mistral_line, write_results
from local.provider.jobs.runs import Runs, prompt_tokens
from local.provider.wire import Refused, Reply, form_parts, json_body, object_reply, reply

Entry = TypeVar("Entry")

_MOST_ITEMS = 1_000_000
_MOST_INLINE_ITEMS = 10_000
_DAY_HOURS, _MOST_HOURS = 24, 168
_STATES = {
    JobState.VALIDATING: "QUEUED",
    JobState.IN_PROGRESS: "RUNNING",
    JobState.FINALIZING: "RUNNING",
    JobState.COMPLETED: "SUCCESS",
    JobState.FAILED: "FAILED",
    JobState.EXPIRED: "TIMEOUT_EXCEEDED",
    JobState.CANCELLING: "CANCELLATION_REQUESTED",
    JobState.CANCELLED: "CANCELLED",
}
_SAMPLE_TYPES = {"output": "batch_result", "error": "batch_error"}


def upload(runs: Runs, call: Call) -> Reply:
    parts = form_parts(call.request)
    if "file" not in parts:
        raise Refused(422, "file: Field required")
    purpose = parts["purpose"].content.decode() if "purpose" in parts else "fine-tune"
    file = parts["file"]
    stored = runs.files.add(call.caller, "", file.filename, purpose, file.content, runs.clock.now())
    return object_reply(_file_object(stored))


def list_files(runs: Runs, call: Call) -> Reply:
    files = runs.files.of(call.caller)
    data = [_file_object(file) for file in _page(files, call)]
    return object_reply({"object": "list", "data": data, "total": len(files)})


def look_at_file(runs: Runs, call: Call) -> Reply:
    return object_reply(_file_object(runs.files.get(call.caller, call.ids[0])) | {"deleted": False})


def content_of_file(runs: Runs, call: Call) -> Reply:
    file = runs.files.get(call.caller, call.ids[0])
    return reply(200, file.content, "application/octet-stream", [], good=False)


def delete_file(runs: Runs, call: Call) -> Reply:
    file = runs.files.delete(call.caller, call.ids[0])
    return object_reply({"id": file.id, "object": "file", "deleted": True})


def create(runs: Runs, call: Call) -> Reply:
    body = json_body(call.request)
    endpoint, model, names = body.get("endpoint"), body.get("model"), body.get("input_files")
    if endpoint not in ENDPOINTS:
        raise Refused(422, "endpoint: Input should be an endpoint")
    if bool(names) == bool(body.get("requests")):
        raise Refused(422, "Either input_files or requests has to be given")
    lines = _read(runs, call, body, endpoint)
    for item in lines.items:
        if model:
            item.body = item.body | {"model": model}
    hours = body.get("timeout_hours", _DAY_HOURS)
    if not 0 < hours <= _MOST_HOURS:
        raise Refused(422, f"timeout_hours: Input should be at most {_MOST_HOURS}")
    order = Order(
        caller=call.caller,
        vendor=call.vendor,
        items=lines.items,
        window_seconds=runs.answering.config.job_window_seconds * hours / _DAY_HOURS,
        endpoint=endpoint,
        model=model or lines.model,
        metadata=body.get("metadata") or {},
        input_file=names[0] if names else "",
        is_inline=not names,
        errors=lines.errors,
        tokens=prompt_tokens(lines.items),
    )
    most = runs.answering.config.enqueued_tokens
    if most and runs.enqueued_tokens(call.caller, order.model) + order.tokens > most:
        raise Refused(429, "Too many tokens are in unfinished batch jobs.")
    return object_reply(_job_object(runs, runs.start(order, "")))


def look(runs: Runs, call: Call) -> Reply:
    job = runs.get(call.caller, call.vendor, call.ids[0])
    found = _job_object(runs, job)
    if call.request.parameters().get("inline") == "true" and job.state(runs.clock.now()) in ENDED:
        state = job.state(runs.clock.now())
        outputs = [mistral_line(item, state) for item in job.order.items if is_good(item.outcome)]
        found["outputs"] = [orjson.loads(line) for line in outputs if line is not None]
    return object_reply(found)


def list_jobs(runs: Runs, call: Call) -> Reply:
    jobs = runs.of(call.caller, call.vendor)
    data = [_job_object(runs, job) for job in _page(jobs, call)]
    return object_reply({"object": "list", "data": data, "total": len(jobs)})


def cancel(runs: Runs, call: Call) -> Reply:
    job = runs.get(call.caller, call.vendor, call.ids[0])
    if job.state(runs.clock.now()) not in ENDED:
        runs.cancel(job)
    return object_reply(_job_object(runs, job))


def delete(runs: Runs, call: Call) -> Reply:
    job = runs.get(call.caller, call.vendor, call.ids[0])
    if job.state(runs.clock.now()) not in ENDED:
        raise Refused(409, "The job is still running.")
    job.is_deleted = True
    return object_reply({"id": job.id, "object": "batch", "deleted": True})


ROUTES = [
    route("POST", "/v1/files", "upload", upload),
    route("GET", "/v1/files", "list", list_files),
    route("GET", "/v1/files/{}", "look", look_at_file),
    route("GET", "/v1/files/{}/content", "results", content_of_file),
    route("DELETE", "/v1/files/{}", "delete_file", delete_file),
    route("POST", "/v1/batch/jobs", "create", create),
    route("GET", "/v1/batch/jobs", "list", list_jobs),
    route("GET", "/v1/batch/jobs/{}", "look", look),
    route("POST", "/v1/batch/jobs/{}/cancel", "cancel", cancel),
    route("DELETE", "/v1/batch/jobs/{}", "delete_job", delete),
]


def _read(runs: Runs, call: Call, body: dict[str, Any], endpoint: str) -> Lines:
    requests = body.get("requests") or []
    if len(requests) > _MOST_INLINE_ITEMS:
        raise Refused(422, f"requests: List should have at most {_MOST_INLINE_ITEMS} items")
    contents = [runs.files.get(call.caller, name).content for name in body.get("input_files") or []]
    contents += [orjson.dumps(entry) for entry in requests]
    numbers = iter(range(_MOST_ITEMS + 1))
    return read_lines(b"\n".join(contents), _MOST_ITEMS, lambda line: _parse_line(line, endpoint, next(numbers)))


def _parse_line(line: dict[str, Any], endpoint: str, number: int) -> JobItem | LineError:
    """An id may be left out; then it is the line's number."""
    return item_of(line.get("custom_id") or str(number), endpoint, line.get("body"))


def _job_object(runs: Runs, job: Job) -> dict[str, Any]:
    runs.catch_up(job)
    now = runs.clock.now()
    state = job.state(now)
    if state in ENDED:
        write_results(runs, job, "", "batch", mistral_line)
    outcomes = [item.outcome for item in job.order.items if item.outcome is not None]
    good = sum(1 for outcome in outcomes if is_good(outcome))
    return {
        "id": job.id,
        "object": "batch",
        "input_files": [job.order.input_file] if job.order.input_file else [],
        "metadata": job.order.metadata or None,
        "endpoint": job.order.endpoint,
        "model": job.order.model,
        "agent_id": None,
        "output_file": job.files.get("output"),
        "error_file": job.files.get("error"),
        "errors": [{"message": error.message, "count": 1} for error in job.errors] if state in ENDED else [],
        "outputs": None,
        "status": _STATES[state],
        "created_at": int(job.created_at),
        "total_requests": len(job.order.items),
        "completed_requests": len(outcomes),
        "succeeded_requests": good,
        "failed_requests": len(outcomes) - good,
        "started_at": int(job.validated_at) if job.was_validated(now) else None,
        "completed_at": int(job.ended_at) if state in ENDED else None,
    }


def _file_object(file: File) -> dict[str, Any]:
    kind = next((kind for name, kind in _SAMPLE_TYPES.items() if file.name.endswith(f"_{name}.jsonl")), "batch_request")
    return {
        "id": file.id,
        "object": "file",
        "bytes": len(file.content),
        "created_at": int(file.created_at),
        "filename": file.name,
        "purpose": file.purpose,
        "sample_type": kind,
        "num_lines": file.content.count(b"\n"),
        "mimetype": "application/jsonl",
        "source": "upload" if kind == "batch_request" else "mistral",
        "signature": None,
    }


def _page(entries: list[Entry], call: Call) -> list[Entry]:
    asked = call.request.parameters()
    size = int(asked.get("page_size", 100))
    start = int(asked.get("page", 0)) * size
    return entries[start : start + size]
