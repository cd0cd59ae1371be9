"""Anthropic's Message Batches: no files, no names; counts and results only when all of it has ended.

https://docs.claude.com/en/api/creating-message-batches
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

import orjson

from local.provider.answers.anthropic import check_call, error_body
from local.provider.jobs.calls import Call, route
from local.provider.jobs.job import ENDED, Job, JobItem, JobState, Order, Outcome
from local.provider.jobs.runs import Runs, prompt_tokens
from local.provider.wire import Refused, Reply, json_body, object_reply, reply

_MOST_ITEMS = 100_000
_MOST_BYTES = 256_000_000
_LONGEST_ID = 64
_ID = re.compile(r"[a-zA-Z0-9_-]+")
_MESSAGES = "/v1/messages"


def create(runs: Runs, call: Call) -> Reply:
    """What is wrong with the params of an item shows as its result."""
    check_call(call.request, {})
    if len(call.request.body) > _MOST_BYTES:
        raise Refused(413, "Request exceeds the maximum size")
    requests = json_body(call.request).get("requests")
    if type(requests) is not list or not requests:
        raise Refused(400, "requests: Field required")
    if len(requests) > _MOST_ITEMS:
        raise Refused(400, f"requests: List should have at most {_MOST_ITEMS} items")
    items = [_item(number, entry, call) for number, entry in enumerate(requests)]
    if len({item.custom_id for item in items}) < len(items):
        raise Refused(400, "requests: custom_id has to be unique within a batch")
    order = Order(
        caller=call.caller,
        vendor=call.vendor,
        items=items,
        window_seconds=runs.answering.config.job_window_seconds,
        endpoint=_MESSAGES,
        model=str(items[0].body.get("model")),
        is_inline=True,
        tokens=prompt_tokens(items),
    )
    most = runs.answering.config.enqueued_tokens
    if most and runs.enqueued_tokens(call.caller, order.model) + order.tokens > most:
        raise Refused(429, "This request would exceed your organization's limit of batch tokens in the queue.")
    return object_reply(_batch(runs, call, runs.start(order, "msgbatch_")))


def look(runs: Runs, call: Call) -> Reply:
    return object_reply(_batch(runs, call, runs.get(call.caller, call.vendor, call.ids[0])))


def list_batches(runs: Runs, call: Call) -> Reply:
    asked = call.request.parameters()
    jobs = runs.of(call.caller, call.vendor)
    ids = [job.id for job in jobs]
    limit = int(asked.get("limit", 20))
    if asked.get("before_id") in ids:
        end = ids.index(asked["before_id"])
        start = max(0, end - limit)
        more = start > 0
    else:
        start = ids.index(asked["after_id"]) + 1 if asked.get("after_id") in ids else 0
        end = start + limit
        more = end < len(ids)
    data = [_batch(runs, call, job) for job in jobs[start:end]]
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return object_reply({"data": data, "has_more": more} | ends)


def cancel(runs: Runs, call: Call) -> Reply:
    job = runs.get(call.caller, call.vendor, call.ids[0])
    if job.state(runs.clock.now()) in ENDED:
        raise Refused(400, f"Batch {job.id} has ended and cannot be canceled.")
    runs.cancel(job)
    return object_reply(_batch(runs, call, job))


def delete(runs: Runs, call: Call) -> Reply:
    job = _ended(runs, call)
    job.is_deleted = True
    return object_reply({"id": job.id, "type": "message_batch_deleted"})


def results(runs: Runs, call: Call) -> Reply:
    job = _ended(runs, call)
    ending = job.state(runs.clock.now())
    lines = [
        orjson.dumps({"custom_id": item.custom_id, "result": _result(item.outcome, ending)}) + b"\n"
        for item in sorted(job.order.items, key=lambda item: item.share)
        if item.outcome is None or not item.outcome.is_missing
    ]
    return reply(200, b"".join(lines), "application/x-jsonl", [], good=False)


ROUTES = [
    route("POST", "/v1/messages/batches", "create", create),
    route("GET", "/v1/messages/batches", "list", list_batches),
    route("GET", "/v1/messages/batches/{}", "look", look),
    route("POST", "/v1/messages/batches/{}/cancel", "cancel", cancel),
    route("DELETE", "/v1/messages/batches/{}", "delete_job", delete),
    route("GET", "/v1/messages/batches/{}/results", "results", results),
]


def _item(number: int, entry: Any, call: Call) -> JobItem:
    place = f"requests.{number}"
    custom_id = entry.get("custom_id") if type(entry) is dict else None
    if type(custom_id) is not str or not custom_id:
        raise Refused(400, f"{place}.custom_id: Field required")
    if len(custom_id) > _LONGEST_ID:
        raise Refused(400, f"{place}.custom_id: String should have at most {_LONGEST_ID} characters")
    if not _ID.fullmatch(custom_id):
        raise Refused(400, f"{place}.custom_id: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'")
    params = entry.get("params")
    if type(params) is not dict:
        raise Refused(400, f"{place}.params: Field required")
    if params.get("stream"):
        raise Refused(400, f"{place}.params.stream: Streaming is not supported in batches")
    item = JobItem(custom_id, _MESSAGES, params, orjson.dumps(params))
    try:
        check_call(call.request, params)
    except Refused as refused:
        item.refusal = refused
    return item


def _ended(runs: Runs, call: Call) -> Job:
    job = runs.get(call.caller, call.vendor, call.ids[0])
    if job.state(runs.clock.now()) not in ENDED:
        raise Refused(400, f"Batch {job.id} is still in progress.")
    return job


def _batch(runs: Runs, call: Call, job: Job) -> dict[str, Any]:
    runs.catch_up(job)
    state = job.state(runs.clock.now())
    ended = state in ENDED
    counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
    for item in job.order.items:
        if not ended:
            counts["processing"] += 1
        else:  # of an item that is in no result, too: the counts always sum to the number of requests
            counts[_result(item.outcome, state)["type"]] += 1
    address = call.request.path.partition("/v1/")[0]
    url = f"http://{call.request.header(b'host')}{address}/v1/messages/batches/{job.id}/results"
    return {
        "id": job.id,
        "type": "message_batch",
        "processing_status": "ended" if ended else "canceling" if state == JobState.CANCELLING else "in_progress",
        "request_counts": counts,
        "created_at": _time(job.created_at),
        "expires_at": _time(job.expires_at),
        "ended_at": _time(job.ended_at) if ended else None,
        "cancel_initiated_at": _time(job.cancel_at) if job.cancel_at < math.inf else None,
        "archived_at": None,
        "results_url": url if ended else None,
    }


def _result(outcome: Outcome | None, ending: JobState) -> dict[str, Any]:
    if outcome is not None and outcome.status == 200:
        return {"type": "succeeded", "message": orjson.Fragment(outcome.content)}
    if outcome is not None:
        return {"type": "errored", "error": orjson.Fragment(outcome.content)}
    if ending == JobState.FAILED:
        return {"type": "errored", "error": orjson.Fragment(error_body(Refused(400, "Simulated invalid batch.")))}
    return {"type": "canceled" if ending == JobState.CANCELLED else "expired"}


def _time(moment: float) -> str:
    """RFC 3339."""
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")
