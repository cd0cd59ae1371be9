"""Provider jobs in OpenAI's shape: an input file, a batch made of it, an output and an error file.

Azure and Groq speak it as OpenAI does. Together wraps the reply to a creation, lists without paging, and writes states
in capitals; it keeps no metadata, so a job is found by the name of its input file, which all of them keep. Mistral has
paths and words of its own, and a job's model stands beside its lines, not in them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

import orjson

from batchyard.adapters.providers.openai_replies import Received, reply_of
from batchyard.adapters.providers.provider_jobs import (
    JobLine,
    JobMissing,
    JobResult,
    JobsUnsupported,
    JobView,
    Submission,
    VendorTrouble,
)
from batchyard.adapters.providers.vendor_http import VendorHttp, listed
from batchyard.core import exact_json
from batchyard.core.json_types import JsonObject
from batchyard.core.refusals import ErrorDetails, says_no_jobs
from batchyard.core.retry import FailureReason

_PAGE = 100
_PAGES_AT_MOST = 50
_CLOCKS_DIFFER_SECONDS = 900
_MAY_PASS = frozenset(
    {"token_limit_exceeded", "batch_limit_exceeded", "rate_limit_exceeded", "too_many_batches", "server_error"}
)
"""What vendors write in a failed job's errors if it is not the job's fault."""
_FORGOTTEN = {"expires_after[anchor]": "created_at", "expires_after[seconds]": str(14 * 86_400)}
"""An input file whose job was never made, because its submitter died, goes by itself."""
_OVER = frozenset({"completed", "failed", "expired", "cancelled", "success", "timeout_exceeded"})
"""In small letters, of all variants."""
_ENDED_WELL = frozenset({"completed", "success"})


@dataclass(frozen=True, slots=True)
class Shape:
    """How a variant differs. `jobs`, `upload`: where jobs and their files are made; `file_fields`: what an input file
    is uploaded with; `wrapper`: the member that holds the job in the reply to a creation."""

    jobs: str = "/batches"
    upload: str = "/files"
    file_fields: Mapping[str, str] = field(default_factory=lambda: {"purpose": "batch"})
    wrapper: str | None = None
    has_metadata: bool = True
    is_mistral: bool = False


SHAPES = {
    "openai": Shape(file_fields={"purpose": "batch"} | _FORGOTTEN),
    "azure": Shape(),
    "groq": Shape(),
    "together": Shape(upload="/files/upload", file_fields={"purpose": "batch-api"}, wrapper="job", has_metadata=False),
    "mistral": Shape(jobs="/batch/jobs", is_mistral=True),
}


class OpenAIJobs:
    """The jobs of a provider of kind openai. `window`: the completion window that is asked for, like `24h`."""

    def __init__(self, http: VendorHttp, variant: str, window_hours: int) -> None:
        self._http = http
        self._shape = SHAPES[variant]
        self._window_hours = window_hours

    def submit(self, submission: Submission, lines: Iterable[JobLine]) -> str:
        with tempfile.TemporaryFile() as file:
            path = self._write(file, lines)
            file.seek(0)
            file_id = self._upload(submission, file)
        try:
            created = self._http.post(self._shape.jobs, self._request(submission, file_id, path))
        except JobMissing as error:
            raise JobsUnsupported("there are no batches") from error
        job = created.get(self._shape.wrapper, created) if self._shape.wrapper else created
        return _text(job, "id")

    def find(self, submission: Submission) -> list[str]:
        input_file = None if self._shape.has_metadata else self._file_of(submission)
        if not self._shape.has_metadata and input_file is None:
            return []
        found = []
        for job in self._jobs(submission.asked_at - _CLOCKS_DIFFER_SECONDS):
            metadata = job.get("metadata")
            is_named = isinstance(metadata, dict) and metadata.get("batchyard") == submission.name
            if is_named or (input_file is not None and job.get("input_file_id") == input_file):
                found.append((_seconds(job), _text(job, "id")))
        return [job_id for _, job_id in sorted(found)]

    def look(self, job_id: str) -> JobView:
        job = self._job(job_id)
        status = str(job.get("status", "")).lower()
        if status != "failed":
            return JobView(status in _OVER, answered=_answered(job) if status in _ENDED_WELL else None)
        error = _error(job)
        code = error.code or "failed"
        return JobView(True, code, code in _MAY_PASS, says_no_jobs(error))

    def results(self, job_id: str) -> Iterator[bytes]:
        job = self._job(job_id)
        for name in ("output_file_id", "error_file_id", "output_file", "error_file"):
            if job.get(name):
                yield from self._http.lines(f"/files/{job[name]}/content")

    def id_of(self, line: bytes) -> str:
        return str(exact_json.loads_anything(line)["custom_id"])

    def read(self, line: bytes) -> JobResult:
        document = exact_json.loads_all(line)
        response = document.get("response")
        if not isinstance(response, dict) or not response.get("status_code"):
            return JobResult(str(document["custom_id"]), None)
        body = exact_json.dumps_anything(response.get("body"))
        headers = {"x-request-id": str(response["request_id"])} if response.get("request_id") else {}
        return JobResult(
            str(document["custom_id"]), reply_of(int(response["status_code"]), headers, Received(body), 0.0)
        )

    def cancel(self, job_id: str) -> None:
        self._http.ask(f"{self._shape.jobs}/{job_id}/cancel")

    def clean_up(self, job_id: str) -> None:
        """The files. Jobs themselves cannot be deleted."""
        try:
            job = self._job(job_id)
        except JobMissing:
            return
        files = [job.get(name) for name in ("input_file_id", "output_file_id", "error_file_id", "output_file")]
        for file_id in [*files, job.get("error_file"), *(job.get("input_files") or ())]:
            if file_id:
                self._http.delete(f"/files/{file_id}")

    def close(self) -> None:
        self._http.close()

    def _upload(self, submission: Submission, file: IO[bytes]) -> str:
        """The id of an input file. Nobody pays for a file of no job, so it does not matter if one too many is made."""
        name = _file_name(submission)
        fields = dict(self._shape.file_fields) | ({} if self._shape.has_metadata else {"file_name": name})
        try:
            return _text(self._http.post_file(self._shape.upload, fields, name, file), "id")
        except JobMissing as error:
            raise JobsUnsupported("there are no files") from error
        except VendorTrouble as error:
            raise error.without_effect() from error

    def _write(self, file: IO[bytes], lines: Iterable[JobLine]) -> str:
        """Writes the input file. Where its items go: all to one place."""
        path = ""
        for line in lines:
            path = line.path
            file.write(self._line(line))
        return path

    def _line(self, line: JobLine) -> bytes:
        if self._shape.is_mistral:
            body = exact_json.loads(line.body)
            body.pop("model", None)
            return orjson.dumps({"custom_id": line.id, "body": body}) + b"\n"
        head = orjson.dumps({"custom_id": line.id, "method": "POST", "url": f"/v1{line.path}"})
        return head[:-1] + b',"body":' + line.body + b"}\n"

    def _request(self, submission: Submission, file_id: str, path: str) -> JsonObject:
        metadata = {"batchyard": submission.name}
        if self._shape.is_mistral:
            return {
                "input_files": [file_id],
                "endpoint": f"/v1{path}",
                "model": submission.model,
                "metadata": metadata,
                "timeout_hours": self._window_hours,
            }
        request = {"input_file_id": file_id, "endpoint": f"/v1{path}", "completion_window": f"{self._window_hours}h"}
        return request | ({"metadata": metadata} if self._shape.has_metadata else {})

    def _job(self, job_id: str) -> JsonObject:
        return self._http.get(f"{self._shape.jobs}/{job_id}")

    def _jobs(self, since: int) -> Iterator[JsonObject]:
        """The jobs that were made at `since` or later. Lists have the newest first."""
        for page in self._pages():
            for job in page:
                if _seconds(job) >= since:
                    yield job
            if page and all(_seconds(job) < since for job in page):
                return

    def _pages(self) -> Iterator[list[JsonObject]]:
        query: dict[str, str | int] = {"page_size": _PAGE, "page": 0} if self._shape.is_mistral else {"limit": _PAGE}
        for number in range(_PAGES_AT_MOST):
            if self._shape.is_mistral:
                query["page"] = number
            page = self._http.get_any(self._shape.jobs, **query)
            jobs = listed(page, "data")
            yield jobs
            is_last = isinstance(page, list) or not jobs or (not self._shape.is_mistral and not page.get("has_more"))
            if is_last:
                return
            query["after"] = _text(jobs[-1], "id")
            if self._shape.is_mistral:
                del query["after"]

    def _file_of(self, submission: Submission) -> str | None:
        files = listed(self._http.get_any("/files"), "data")
        name = _file_name(submission)
        return next((_text(file, "id") for file in files if file.get("filename") == name), None)


def _file_name(submission: Submission) -> str:
    return submission.name.replace(":", "-") + ".jsonl"


def _error(job: JsonObject) -> ErrorDetails:
    """The first of the errors that ended the job."""
    errors: Any = job.get("errors")
    listed = errors.get("data") if isinstance(errors, dict) else errors
    return ErrorDetails.of(listed[0] if isinstance(listed, list) and listed else None)


def _answered(job: JsonObject) -> int | None:
    """Of how many items the job's files have a line; Mistral has the counts among the job's fields."""
    counts = job.get("request_counts")
    names = ("completed", "failed") if isinstance(counts, dict) else ("succeeded_requests", "failed_requests")
    numbers = [(counts if isinstance(counts, dict) else job).get(name) for name in names]
    return sum(number for number in numbers if type(number) is int) or None


def _seconds(job: JsonObject) -> int:
    """When the job was made, in unix seconds; now, as far as this is concerned, if it does not say."""
    created = job.get("created_at")
    return created if isinstance(created, int) else 1 << 40


def _text(document: JsonObject, name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise VendorTrouble(FailureReason.INVALID_RESPONSE, is_unknown=True)
    return value
