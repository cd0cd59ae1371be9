"""Provider jobs as Anthropic's Message Batches: requests inline, results as one file, in any order.

A message batch has neither a name nor metadata. It is found by when it was made and how many requests it has; whether
it is ours the ids of its results say.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import IO

import orjson

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
from batchyard.core.json_types import JsonObject
from batchyard.core.retry import FailureReason

_PATH = "/messages/batches"
_PAGE = 1000
_PAGES_AT_MOST = 20
_CLOCKS_DIFFER_SECONDS = 60
_MADE_WITHIN_SECONDS = 3600
"""A submission takes minutes at most."""
_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""https://docs.claude.com/en/api/errors"""
_SERVER_ERROR = 500


class AnthropicJobs:
    """The jobs of a provider of kind anthropic."""

    def __init__(self, http: VendorHttp) -> None:
        self._http = http

    def submit(self, submission: Submission, lines: Iterable[JobLine]) -> str:
        with tempfile.TemporaryFile() as file:
            _write(file, lines)
            size = file.tell()
            file.seek(0)
            try:
                created = self._http.post_stream(_PATH, file, size)
            except JobMissing as error:
                raise JobsUnsupported("there are no message batches") from error
        return _id(created)

    def find(self, submission: Submission) -> list[str]:
        earliest = submission.asked_at - _CLOCKS_DIFFER_SECONDS
        latest = submission.asked_at + _MADE_WITHIN_SECONDS
        found = []
        for batch in self._batches(earliest):
            made_at = _seconds(batch)
            if _id(batch) in submission.strangers:
                continue
            if earliest <= made_at <= latest and _count(batch) == submission.items:
                found.append((made_at, _id(batch)))
        return [batch_id for _, batch_id in sorted(found)][:1]  # the others may be somebody else's

    def look(self, job_id: str) -> JobView:
        batch = self._http.get(f"{_PATH}/{job_id}")
        is_over = batch.get("processing_status") == "ended"
        return JobView(is_over, answered=_count(batch, "succeeded", "errored") if is_over else None)

    def results(self, job_id: str) -> Iterator[bytes]:
        return self._http.lines(f"{_PATH}/{job_id}/results")

    def id_of(self, line: bytes) -> str:
        return str(exact_json.loads_anything(line)["custom_id"])

    def read(self, line: bytes) -> JobResult:
        document = exact_json.loads_all(line)
        custom_id, result = str(document["custom_id"]), document["result"]
        if result["type"] == "succeeded":
            body = exact_json.dumps_anything(result["message"])
            return JobResult(custom_id, reply_of(200, {}, Received(body), 0.0))
        if result["type"] != "errored":  # canceled, expired
            return JobResult(custom_id, None)
        error = result["error"]
        kind = str((error.get("error") or {}).get("type"))
        status = _STATUS.get(kind, _SERVER_ERROR)
        return JobResult(custom_id, reply_of(status, {}, Received(exact_json.dumps_anything(error)), 0.0))

    def cancel(self, job_id: str) -> None:
        self._http.ask(f"{_PATH}/{job_id}/cancel")

    def clean_up(self, job_id: str) -> None:
        try:
            self._http.delete(f"{_PATH}/{job_id}")
        except JobRefused:  # it has not ended: it goes by itself after 29 days
            return

    def close(self) -> None:
        self._http.close()

    def _batches(self, since: int) -> Iterator[JsonObject]:
        query: dict[str, str | int] = {"limit": _PAGE}
        for _ in range(_PAGES_AT_MOST):
            page = self._http.get(_PATH, **query)
            batches = listed(page, "data")
            yield from batches
            if not batches or not page.get("has_more") or _seconds(batches[-1]) < since:
                return
            query["after_id"] = _id(batches[-1])


def _write(file: IO[bytes], lines: Iterable[JobLine]) -> None:
    separator = b'{"requests":['
    for line in lines:
        file.write(separator + b'{"custom_id":' + orjson.dumps(line.id) + b',"params":' + line.body + b"}")
        separator = b","
    file.write(b"]}")


def _id(batch: JsonObject) -> str:
    if not isinstance(batch.get("id"), str):
        raise VendorTrouble(FailureReason.INVALID_RESPONSE, is_unknown=True)
    return str(batch["id"])


def _count(batch: JsonObject, *kinds: str) -> int:
    """How many requests a message batch has; only those of some `kinds`, if there are any."""
    counts = batch.get("request_counts")
    found = counts.items() if isinstance(counts, dict) else ()
    return sum(count for kind, count in found if type(count) is int and (kind in kinds or not kinds))


def _seconds(batch: JsonObject) -> int:
    try:
        return int(datetime.fromisoformat(str(batch.get("created_at"))).timestamp())
    except ValueError:
        return 0
