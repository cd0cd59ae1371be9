"""Provider jobs as Gemini's batches: an input file, a batch made of it, a file of results.

A batch and its input file carry the submission's name. Results have the keys of their lines; a batch that has expired
has none. Files that nobody deletes go by themselves after two days.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import IO

import orjson

from batchyard.adapters.providers.gemini.replies import usage_of
from batchyard.adapters.providers.openai_replies import Received, reply_of
from batchyard.adapters.providers.provider_jobs import (
    JobLine,
    JobMissing,
    JobRefused,
    JobResult,
    JobsUnsupported,
    JobView,
    Submission,
    VendorTrouble,
)
from batchyard.adapters.providers.vendor_http import VendorHttp, listed
from batchyard.core import exact_json
from batchyard.core.calls import Answer
from batchyard.core.json_types import JsonObject
from batchyard.core.retry import FailureReason

_METHODS = {"generateContent": "batchGenerateContent", "embedContent": "asyncBatchEmbedContent"}
"""What an item asks for -> what a job of such items asks for. Several embeddings at once are no line of a job: such
items are left to realtime."""
_PAGE = 100
_PAGES_AT_MOST = 50
_CLOCKS_DIFFER_SECONDS = 900
_OVER = frozenset({"SUCCEEDED", "PARTIALLY_SUCCEEDED", "CANCELLED", "EXPIRED"})
_ENDED_WELL = frozenset({"SUCCEEDED", "PARTIALLY_SUCCEEDED"})
_STATUSES = {
    1: (499, "CANCELLED"),
    2: (500, "UNKNOWN"),
    3: (400, "INVALID_ARGUMENT"),
    4: (504, "DEADLINE_EXCEEDED"),
    5: (404, "NOT_FOUND"),
    7: (403, "PERMISSION_DENIED"),
    8: (429, "RESOURCE_EXHAUSTED"),
    9: (400, "FAILED_PRECONDITION"),
    10: (409, "ABORTED"),
    11: (400, "OUT_OF_RANGE"),
    13: (500, "INTERNAL"),
    14: (503, "UNAVAILABLE"),
    16: (401, "UNAUTHENTICATED"),
}
"""Codes of google.rpc.Status, which the errors of jobs have, as HTTP has them."""
_UNKNOWN = (500, "UNKNOWN")
_NOT_RUN = 499
_MAY_PASS = frozenset({4, 8, 10, 13, 14})


class GeminiJobs:
    """The jobs of a provider of kind gemini. A job's id is its resource name, `batches/…`."""

    def __init__(self, http: VendorHttp) -> None:
        self._http = http

    def submit(self, submission: Submission, lines: Iterable[JobLine]) -> str:
        with tempfile.TemporaryFile() as file:
            path = _write(file, lines)
            size = file.tell()
            file.seek(0)
            file_name = self._upload(submission, file, size)
        batch = {"displayName": submission.name, "inputConfig": {"fileName": file_name}}
        try:
            created = self._http.post(path, {"batch": batch})
        except JobMissing as error:
            raise JobsUnsupported("there are no batches") from error
        return _text(created, "name")

    def find(self, submission: Submission) -> list[str]:
        earliest = submission.asked_at - _CLOCKS_DIFFER_SECONDS
        found = []
        for job in self._entries("/batches", "operations"):
            made_at = _seconds(job)
            if made_at < earliest:  # the newest come first
                break
            if _metadata(job).get("displayName") == submission.name:
                found.append((made_at, _text(job, "name")))
        return [job_id for _, job_id in sorted(found)]

    def look(self, job_id: str) -> JobView:
        job = self._http.get(f"/{job_id}")
        state = str(_metadata(job).get("state")).rpartition("STATE_")[2]
        if state in _OVER:
            return JobView(True, answered=_answered(job) if state in _ENDED_WELL else None)
        if state != "FAILED" and not job.get("done"):
            return JobView(False)
        error = job.get("error")
        code = error.get("code") if isinstance(error, dict) else None
        if type(code) is not int:
            return JobView(True, "failed")
        return JobView(True, _status_of(code)[1].lower(), code in _MAY_PASS)

    def results(self, job_id: str) -> Iterator[bytes]:
        name = _results_file(self._http.get(f"/{job_id}"))
        if name is not None:
            yield from self._http.lines(f"/{name}:download?alt=media")

    def id_of(self, line: bytes) -> str:
        return str(exact_json.loads_anything(line)["key"])

    def read(self, line: bytes) -> JobResult:
        document = exact_json.loads_all(line)
        key, response, error = str(document["key"]), document.get("response"), document.get("error")
        if isinstance(response, dict):
            reply = reply_of(200, {}, Received(exact_json.dumps_anything(response)), 0.0)
            return JobResult(key, replace(reply, usage=usage_of(response)) if isinstance(reply, Answer) else reply)
        code = error.get("code") if isinstance(error, dict) else None
        if not isinstance(error, dict) or type(code) is not int:
            return JobResult(key, None)
        status, name = _status_of(code)
        if status == _NOT_RUN:
            return JobResult(key, None)
        body = exact_json.dumps_anything({"error": {"status": name} | error})
        return JobResult(key, reply_of(status, {}, Received(body), 0.0))

    def cancel(self, job_id: str) -> None:
        self._http.ask(f"/{job_id}:cancel")

    def clean_up(self, job_id: str) -> None:
        try:
            job = self._http.get(f"/{job_id}")
        except JobMissing:
            return
        wanted = str(_metadata(job).get("displayName"))
        names = [_text(file, "name") for file in self._entries("/files", "files") if file.get("displayName") == wanted]
        results = _results_file(job)
        for name in names + ([results] if results is not None else []):
            self._http.delete(f"/{name}")
        try:
            self._http.delete(f"/{job_id}")
        except JobRefused:  # it has not ended
            return

    def close(self) -> None:
        self._http.close()

    def _upload(self, submission: Submission, file: IO[bytes], size: int) -> str:
        """The name of an input file. Nobody pays for a file of no job, so one too many does not matter."""
        about = {"file": {"displayName": submission.name}}
        try:
            uploaded = self._http.post_resumable("/files", about, file, size)
        except JobMissing as error:
            raise JobsUnsupported("there are no files") from error
        except VendorTrouble as error:
            raise error.without_effect() from error
        described = uploaded.get("file")
        return _text(described if isinstance(described, dict) else {}, "name")

    def _entries(self, path: str, name: str) -> Iterator[JsonObject]:
        """All entries of a list."""
        query: dict[str, str | int] = {"pageSize": _PAGE}
        for _ in range(_PAGES_AT_MOST):
            page = self._http.get(path, **query)
            yield from listed(page, name)
            if not page.get("nextPageToken"):
                return
            query["pageToken"] = str(page["nextPageToken"])


def _write(file: IO[bytes], lines: Iterable[JobLine]) -> str:
    """Writes the input file. Where the job is made, which the path of its lines says. Raises JobRefused if the file is
    empty."""
    path = ""
    for line in lines:
        model, _, method = line.path.rpartition(":")
        if method in _METHODS:
            path = f"{model}:{_METHODS[method]}"
            file.write(b'{"key":' + orjson.dumps(line.id) + b',"request":' + line.body + b"}\n")
    if not path:
        raise JobRefused("no_item_for_a_job")
    return path


def _metadata(job: JsonObject) -> JsonObject:
    metadata = job.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _answered(job: JsonObject) -> int | None:
    """Numbers are written as texts, and those that are 0 left out."""
    stats = _metadata(job).get("batchStats")
    texts = [stats.get(f"{kind}RequestCount") for kind in ("successful", "failed")] if isinstance(stats, dict) else []
    return sum(int(text) for text in texts if isinstance(text, str) and text.isdecimal()) or None


def _results_file(job: JsonObject) -> str | None:
    for place in (job.get("response"), _metadata(job).get("output")):
        name = place.get("responsesFile") if isinstance(place, dict) else None
        if isinstance(name, str):
            return name
    return None


def _status_of(code: int) -> tuple[int, str]:
    """HTTP's status and Google's name for it. Some errors have HTTP's code already."""
    by_http = {status: (status, name) for status, name in _STATUSES.values()}
    return _STATUSES.get(code) or by_http.get(code) or ((code, "UNKNOWN") if 400 <= code < 600 else _UNKNOWN)


def _seconds(job: JsonObject) -> int:
    """When the job was made, in unix seconds; now, as far as this is concerned, if it does not say."""
    try:
        return int(datetime.fromisoformat(str(_metadata(job).get("createTime"))).timestamp())
    except ValueError:
        return 1 << 40


def _text(document: JsonObject, name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise VendorTrouble(FailureReason.INVALID_RESPONSE, is_unknown=True)
    return value
