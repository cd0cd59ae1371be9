"""Together's batches and files: states in capitals, one answer that is wrapped, lists that are not, uploads in three
calls.

https://docs.together.ai/docs/inference/batch/overview; the SDK's `lib/resources/files.py`
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from local.provider.jobs.calls import Call, route
from local.provider.jobs.files import File
from local.provider.jobs.job import ENDED, Job, JobItem, JobState, LineError, Order
from local.provider.jobs.lines import item_of, read_lines
from local.provider.jobs.result_files import together_line, write_results
from local.provider.jobs.runs import Runs, prompt_tokens
from local.provider.wire import Refused, Reply, form_parts, json_body, object_reply, reply

_MOST_ITEMS = 50_000
_MOST_BYTES = 100_000_000
_LONGEST_ID = 64
_ENDPOINTS = ("/v1/chat/completions", "/v1/completions")
_PURPOSE = "batch-api"
_STATES = {
    JobState.VALIDATING: "VALIDATING",
    JobState.IN_PROGRESS: "IN_PROGRESS",
    JobState.FINALIZING: "IN_PROGRESS",
    JobState.COMPLETED: "COMPLETED",
    JobState.FAILED: "FAILED",
    JobState.EXPIRED: "EXPIRED",
    JobState.CANCELLING: "CANCELLED",
    JobState.CANCELLED: "CANCELLED",
}


def announce_file(runs: Runs, call: Call) -> Reply:
    """The first of three calls: its answer says where the bytes go."""
    parts = form_parts(call.request)
    if "file_name" not in parts or "purpose" not in parts:
        raise Refused(400, "file_name and purpose are required")
    name, purpose = (parts[field].content.decode() for field in ("file_name", "purpose"))
    file = runs.files.add(call.caller, "file-", name, purpose, b"", runs.clock.now())
    url = f"http://{call.request.header(b'host')}{call.request.path}/{file.id}/bytes"
    return reply(302, b"", "text/plain", [f"location: {url}", f"x-together-file-id: {file.id}"], good=False)


def take_bytes(runs: Runs, call: Call) -> Reply:
    """No key comes with them: the address is the secret."""
    file = runs.files.find(call.ids[0])
    if file is None or len(call.request.body) > _MOST_BYTES:
        raise Refused(400, "There is no such upload, or it is too large.")
    file.content = call.request.body
    return reply(200, b"", "text/plain", [], good=False)


def upload(runs: Runs, call: Call) -> Reply:
    """The older way, in one call."""
    parts = form_parts(call.request)
    if "file" not in parts or "purpose" not in parts:
        raise Refused(400, "file and purpose are required")
    name = parts["file_name"].content.decode() if "file_name" in parts else parts["file"].filename
    purpose, content = parts["purpose"].content.decode(), parts["file"].content
    return object_reply(_file_object(runs.files.add(call.caller, "file-", name, purpose, content, runs.clock.now())))


def list_files(runs: Runs, call: Call) -> Reply:
    return object_reply({"data": [_file_object(file) for file in runs.files.of(call.caller)]})


def look_at_file(runs: Runs, call: Call) -> Reply:
    return object_reply(_file_object(runs.files.get(call.caller, call.ids[0])))


def content_of_file(runs: Runs, call: Call) -> Reply:
    file = runs.files.get(call.caller, call.ids[0])
    return reply(200, file.content, "application/octet-stream", [], good=False)


def delete_file(runs: Runs, call: Call) -> Reply:
    return object_reply({"id": runs.files.delete(call.caller, call.ids[0]).id, "deleted": True})


def create(runs: Runs, call: Call) -> Reply:
    body = json_body(call.request)
    endpoint = body.get("endpoint")
    if endpoint not in _ENDPOINTS:
        raise Refused(400, f"Invalid endpoint: {endpoint}", param="endpoint")
    file = runs.files.get(call.caller, body.get("input_file_id", ""))
    if file.purpose != _PURPOSE:
        raise Refused(400, f"The input file has to have the purpose '{_PURPOSE}'.", param="input_file_id")
    lines = read_lines(file.content, _MOST_ITEMS, lambda line: _parse_line(line, endpoint))
    order = Order(
        caller=call.caller,
        vendor=call.vendor,
        items=lines.items,
        window_seconds=runs.answering.config.job_window_seconds,
        endpoint=endpoint,
        model=body.get("model_id") or lines.model,
        input_file=file.id,
        errors=lines.errors,
        tokens=prompt_tokens(lines.items),
    )
    most = runs.answering.config.enqueued_tokens
    if most and runs.enqueued_tokens(call.caller, order.model) + order.tokens > most:
        raise Refused(429, f"The limit of {most} enqueued tokens is reached.")
    return object_reply({"job": _job_object(runs, runs.start(order, "batch-"))})


def look(runs: Runs, call: Call) -> Reply:
    return object_reply(_job_object(runs, runs.get(call.caller, call.vendor, call.ids[0])))


def list_batches(runs: Runs, call: Call) -> Reply:
    return object_reply([_job_object(runs, job) for job in runs.of(call.caller, call.vendor)])


def cancel(runs: Runs, call: Call) -> Reply:
    job = runs.get(call.caller, call.vendor, call.ids[0])
    if job.state(runs.clock.now()) in ENDED:
        raise Refused(400, "The batch has ended.")
    runs.cancel(job)
    return object_reply(_job_object(runs, job))


ROUTES = [
    route("POST", "/v1/files", "upload", announce_file),
    route("PUT", "/v1/files/{}/bytes", "upload", take_bytes, needs_key=False),
    route("POST", "/v1/files/{}/preprocess", "upload", look_at_file),
    route("POST", "/v1/files/upload", "upload", upload),
    route("GET", "/v1/files", "list", list_files),
    route("GET", "/v1/files/{}", "look", look_at_file),
    route("GET", "/v1/files/{}/content", "results", content_of_file),
    route("DELETE", "/v1/files/{}", "delete_file", delete_file),
    route("POST", "/v1/batches", "create", create),
    route("GET", "/v1/batches", "list", list_batches),
    route("GET", "/v1/batches/{}", "look", look),
    route("POST", "/v1/batches/{}/cancel", "cancel", cancel),
]


def _parse_line(line: dict[str, Any], endpoint: str) -> JobItem | LineError:
    item = item_of(line.get("custom_id"), endpoint, line.get("body"))
    if isinstance(item, JobItem) and len(item.custom_id) > _LONGEST_ID:
        return LineError("invalid_custom_id", f"custom_id: at most {_LONGEST_ID} characters")
    return item


def _job_object(runs: Runs, job: Job) -> dict[str, Any]:
    """A cancelled job says so at once; its files come when what was under way has ended."""
    runs.catch_up(job)
    now = runs.clock.now()
    state = job.state(now)
    if state in ENDED:
        write_results(runs, job, "file-", _PURPOSE, together_line)
    done = sum(1 for item in job.order.items if item.outcome is not None)
    return {
        "id": job.id,
        "user_id": "user_simulated",
        "input_file_id": job.order.input_file,
        "file_size_bytes": sum(len(item.raw) for item in job.order.items),
        "status": _STATES[state],
        "job_deadline": _time(job.expires_at),
        "created_at": _time(job.created_at),
        "completed_at": _time(job.ended_at) if state in ENDED else None,
        "endpoint": job.order.endpoint,
        "progress": round(100 * done / max(1, len(job.order.items)), 1),
        "model_id": job.order.model,
        "output_file_id": job.files.get("output"),
        "error_file_id": job.files.get("error"),
        "error": "; ".join(error.message for error in job.errors) or None if state == JobState.FAILED else None,
    }


def _file_object(file: File) -> dict[str, Any]:
    return {
        "id": file.id,
        "object": "file",
        "created_at": int(file.created_at),
        "filename": file.name,
        "bytes": len(file.content),
        "purpose": file.purpose,
        "FileType": "jsonl",
        "processing_status": "COMPLETED",
    }


def _time(moment: float) -> str:
    """RFC 3339."""
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")
