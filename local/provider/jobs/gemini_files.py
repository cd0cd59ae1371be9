"""Gemini's Files: uploaded in pieces, downloaded by name.

https://ai.google.dev/api/files
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, TypeVar

import orjson

from local.provider.jobs.calls import Call, route
from local.provider.jobs.files import File
from local.provider.jobs.runs import Runs
from local.provider.wire import Refused, Reply, json_body, json_reply, object_reply, reply

Entry = TypeVar("Entry")

_LIFETIME_SECONDS = 48 * 3600
_UPLOAD = "uploading"
_VERSION = re.compile(r"/upload/|/v1(?:beta)?/")


def start_upload(runs: Runs, call: Call) -> Reply:
    """The first of two calls: its answer says where the bytes go."""
    if call.request.header(b"x-goog-upload-command") != "start":
        raise Refused(400, "Only resumable uploads are simulated: X-Goog-Upload-Command has to be 'start'.")
    said = (json_body(call.request).get("file") or {}) if call.request.body else {}
    name = said.get("displayName") or said.get("display_name") or ""
    file = runs.files.add(call.caller, "files/", name, _UPLOAD, b"", runs.clock.now())
    url = f"{_root(call)}/upload/v1beta/files/{file.id.removeprefix('files/')}"
    return json_reply(200, b"{}", [f"x-goog-upload-url: {url}", "x-goog-upload-status: active"])


def go_on_uploading(runs: Runs, call: Call) -> Reply:
    """No key comes with it: the address is the secret."""
    file = runs.files.find(f"files/{call.ids[0]}")
    if file is None or file.purpose != _UPLOAD:
        raise Refused(404, "There is no such upload.")
    if int(call.request.header(b"x-goog-upload-offset") or 0) != len(file.content):
        raise Refused(400, "The offset is not where the upload stands.")
    file.content += call.request.body
    if "finalize" not in call.request.header(b"x-goog-upload-command"):
        return json_reply(200, b"{}", ["x-goog-upload-status: active"])
    file.purpose = "uploaded"
    content = orjson.dumps({"file": file_object(call, file)})
    return json_reply(200, content, ["x-goog-upload-status: final"])


def list_files(runs: Runs, call: Call) -> Reply:
    uploaded = [file for file in runs.files.of(call.caller) if file.purpose != _UPLOAD]
    files, more = page(uploaded, call.request.parameters())
    return object_reply({"files": [file_object(call, file) for file in files]} | more)


def look_at_file(runs: Runs, call: Call) -> Reply:
    return object_reply(file_object(call, runs.files.get(call.caller, f"files/{call.ids[0]}")))


def download(runs: Runs, call: Call) -> Reply:
    file = runs.files.get(call.caller, f"files/{call.ids[0]}")
    return reply(200, file.content, "application/octet-stream", [], good=False)


def delete_file(runs: Runs, call: Call) -> Reply:
    runs.files.delete(call.caller, f"files/{call.ids[0]}")
    return object_reply({})


FILE_ROUTES = [
    route("POST", "/upload/v1beta/files", "upload", start_upload),
    route("POST", "/upload/v1beta/files/{}", "upload", go_on_uploading, needs_key=False),
    route("GET", "/v1beta/files", "list", list_files),
    route("GET", "/v1beta/files/{}", "look", look_at_file),
    route("GET", "/v1beta/files/{}:download", "results", download),
    route("DELETE", "/v1beta/files/{}", "delete_file", delete_file),
]


def file_object(call: Call, file: File) -> dict[str, Any]:
    uri = f"{_root(call)}/v1beta/{file.id}"
    generated = {"downloadUri": f"{uri}:download?alt=media"} if file.purpose == "batch_output" else {}
    return generated | {
        "name": file.id,
        "displayName": file.name,
        "mimeType": "application/jsonl",
        "sizeBytes": str(len(file.content)),
        "createTime": time_of(file.created_at),
        "updateTime": time_of(file.created_at),
        "expirationTime": time_of(file.created_at + _LIFETIME_SECONDS),
        "uri": uri,
        "state": "ACTIVE",
        "source": "GENERATED" if generated else "UPLOADED",
    }


def page(entries: list[Entry], asked: dict[str, str]) -> tuple[list[Entry], dict[str, str]]:
    """One page of a list, and the token of the next one, if there is one: the place to go on at."""
    start, size = int(asked.get("pageToken") or 0), int(asked.get("pageSize") or 50)
    end = start + size
    return entries[start:end], {"nextPageToken": str(end)} if end < len(entries) else {}


def time_of(moment: float) -> str:
    """RFC 3339."""
    return datetime.fromtimestamp(moment, UTC).isoformat().replace("+00:00", "Z")


def _root(call: Call) -> str:
    """What stands before the version in the address that was called."""
    return f"http://{call.request.header(b'host')}{_VERSION.split(call.request.path)[0]}"
