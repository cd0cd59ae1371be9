"""The files that a job leaves behind: one of good answers, one of the rest, each only if there is a line for it."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from local.provider.jobs.job import Job, JobItem, JobState, Outcome
from local.provider.jobs.runs import Runs

Line = Callable[[JobItem, JobState], bytes | None]
"""(item, how its job ended) -> its line; None if the vendor writes none."""


def write_results(runs: Runs, job: Job, prefix: str, purpose: str, line_of: Line) -> None:
    """Fills `job.files`, once, with the ids of "output" and "error". Lines come in the order in which items ended."""
    if job.files or job.errors:
        return
    ending = job.state(runs.clock.now())
    lines: dict[str, list[bytes]] = {"output": [], "error": []}
    for item in sorted(job.order.items, key=lambda item: item.share):
        if item.outcome is None or not item.outcome.is_missing:
            line = line_of(item, ending)
            if line is not None:
                lines["output" if is_good(item.outcome) else "error"].append(line)
    for name, written in lines.items():
        if written:
            content = b"".join(line + b"\n" for line in written)
            filename = f"{job.id}_{name}.jsonl"
            stored = runs.files.add(job.order.caller, prefix, filename, purpose, content, job.ended_at)
            job.files[name] = stored.id


def is_good(outcome: Outcome | None) -> bool:
    return outcome is not None and outcome.status == 200


def openai_line(item: JobItem, ending: JobState) -> bytes:
    """An item that was not run has a line that says why."""
    response = error = None
    if item.outcome is not None:
        response = _response(item.outcome)
    elif ending == JobState.CANCELLED:
        error = {"code": "batch_cancelled", "message": "This request was not executed: its batch was cancelled."}
    else:
        error = {
            "code": "batch_expired",
            "message": "This request could not be executed before the completion window expired.",
        }
    return orjson.dumps({"id": _name(item), "custom_id": item.custom_id, "response": response, "error": error})


def mistral_line(item: JobItem, ending: JobState) -> bytes | None:
    """As OpenAI's; an item that was not run has none."""
    if item.outcome is None:
        return None
    response = _response(item.outcome)
    return orjson.dumps({"id": _name(item), "custom_id": item.custom_id, "response": response, "error": None})


def together_line(item: JobItem, ending: JobState) -> bytes | None:
    """An item that failed has only its error; one that was not run has no line."""
    if item.outcome is None:
        return None
    if is_good(item.outcome):
        return orjson.dumps({"custom_id": item.custom_id, "response": _response(item.outcome)})
    error = orjson.loads(item.outcome.content)["error"]
    said = {"message": error["message"], "code": error["code"] or str(item.outcome.status)}
    return orjson.dumps({"custom_id": item.custom_id, "error": said})


def _response(outcome: Outcome) -> dict[str, object]:
    name = f"req_{outcome.request.hex()}"
    return {"status_code": outcome.status, "request_id": name, "body": orjson.Fragment(outcome.content)}


def _name(item: JobItem) -> str:
    return f"batch_req_{item.custom_id.encode().hex()[:24]}"
