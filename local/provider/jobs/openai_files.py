"""Files as OpenAI has them, and those who copied it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from local.provider.jobs.calls import Call, route
from local.provider.jobs.files import File
from local.provider.jobs.runs import Runs
from local.provider.wire import Refused, Reply, form_parts, object_reply, reply

Entry = TypeVar("Entry")

_BATCH_FILE_SECONDS = 30 * 86_400
_MOST_BYTES = {"openai": 200_000_000, "azure": 200_000_000, "groq": 100_000_000}
"""Of a file for a batch."""


def upload(runs: Runs, call: Call) -> Reply:
    parts = form_parts(call.request)
    if "file" not in parts or "purpose" not in parts:
        missing = "purpose" if "file" in parts else "file"
        raise Refused(400, f"Missing required parameter: '{missing}'.", param=missing)
    file, purpose = parts["file"], parts["purpose"].content.decode()
    if purpose == "batch":
        if not file.filename.endswith(".jsonl"):
            raise Refused(400, "Invalid file format for Batch API. Must be .jsonl")
        if len(file.content) > _MOST_BYTES[call.vendor]:
            raise Refused(400, "File is too large.")
    now = runs.clock.now()
    stored = runs.files.add(call.caller, "file-", file.filename, purpose, file.content, now)
    lifetime = parts.get("expires_after[seconds]")
    if lifetime is not None:
        stored.expires_at = now + int(lifetime.content)
    elif purpose == "batch":
        stored.expires_at = now + _BATCH_FILE_SECONDS
    return object_reply(_file_object(stored))


def list_files(runs: Runs, call: Call) -> Reply:
    asked = call.request.parameters()
    files = [file for file in runs.files.of(call.caller) if asked.get("purpose") in (None, file.purpose)]
    if asked.get("order") == "asc":
        files.reverse()
    return object_reply(page({file.id: file for file in files}, asked, 10_000, _file_object))


def look_at_file(runs: Runs, call: Call) -> Reply:
    return object_reply(_file_object(runs.files.get(call.caller, call.ids[0])))


def content_of_file(runs: Runs, call: Call) -> Reply:
    file = runs.files.get(call.caller, call.ids[0])
    return reply(200, file.content, "application/octet-stream", [], good=False)


def delete_file(runs: Runs, call: Call) -> Reply:
    file = runs.files.delete(call.caller, call.ids[0])
    return object_reply({"id": file.id, "object": "file", "deleted": True})


FILE_ROUTES = [
    route("POST", "/v1/files", "upload", upload),
    route("GET", "/v1/files", "list", list_files),
    route("GET", "/v1/files/{}", "look", look_at_file),
    route("GET", "/v1/files/{}/content", "results", content_of_file),
    route("DELETE", "/v1/files/{}", "delete_file", delete_file),
]


def page(entries: dict[str, Entry], asked: dict[str, str], most: int, shown: Callable[[Entry], Any]) -> dict[str, Any]:
    """OpenAI's form of a list, of what comes after the id `after`. `entries` are by id."""
    ids = list(entries)
    start = ids.index(asked["after"]) + 1 if asked.get("after") in entries else 0
    end = start + int(asked.get("limit", most))
    on_page = ids[start:end]
    return {
        "object": "list",
        "data": [shown(entries[name]) for name in on_page],
        "first_id": on_page[0] if on_page else None,
        "last_id": on_page[-1] if on_page else None,
        "has_more": end < len(ids),
    }


def _file_object(file: File) -> dict[str, Any]:
    return {
        "id": file.id,
        "object": "file",
        "bytes": len(file.content),
        "created_at": int(file.created_at),
        "expires_at": None if file.expires_at is None else int(file.expires_at),
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }
