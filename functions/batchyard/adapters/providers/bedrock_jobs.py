"""Provider jobs as Bedrock's batch inference (`CreateModelInvocationJob`): a file of ours in S3, read and answered by
Bedrock under a role of ours.

    jobs/<token>/input.jsonl                             {"recordId": …, "modelInput": a request of Converse's}
    jobs/<token>/event.json                              what has the native executor look at the job
    jobs/<token>/output/<job id>/input.jsonl.out         the same with modelOutput, or an error
    jobs/<token>/output/<job id>/manifest.json.out       counts, which nobody needs

The token is made of the submission's name: Bedrock gets it as the job's name, by which the job is found again, and as
`clientRequestToken`, with which a request that comes twice makes one job. Results come in any order. Jobs themselves
cannot be deleted, their files are.
https://docs.aws.amazon.com/bedrock/latest/userguide/batch-inference.html

What Bedrock says when a job is over leads to the token (`core.model_job_events`), and that to our own event.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace

import httpx

from batchyard.adapters.aws.objects import ObjectMissing, Objects
from batchyard.adapters.providers.bedrock.replies import FAILURES, usage_of
from batchyard.adapters.providers.bedrock.signing import RoleSigner
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
from batchyard.core.keys import job_prefix
from batchyard.core.model_job_events import OVER, job_name, token_of
from batchyard.core.native_limits import NativeLimits
from batchyard.core.retry import FailureReason

REASONS = FAILURES | {"ConflictException": FailureReason.CONFLICT}
"""Kinds of errors whose status says something else."""

_JOBS = "/model-invocation-jobs"
_JOB = "/model-invocation-job"
_PAGE = 100
_PAGES_AT_MOST = 10
_HOURS = (24, 168)
"""The shortest and the longest window."""
_INPUT = "input.jsonl"
_EVENT = "event.json"
_OUTPUT = "output/"
_OUTPUT_ENDS = ".jsonl.out"
_FILES_AT_MOST = 1000
_HAS_RESULTS = frozenset({"Completed", "PartiallyCompleted"})
"""A job that failed, was stopped or has expired may have none."""
_TOOLS = b'"toolConfig":'
"""Converse jobs refuse tools. Inside a text its quotation marks would be escaped."""
_RUNTIME = re.compile(r"https://bedrock-runtime(-fips)?\.")


@dataclass(frozen=True, slots=True)
class Exchange:
    """Where a vendor that reads and writes our files finds them: our bucket, and the role that the vendor takes on.
    Empty: the deployment has no such role."""

    objects: Objects
    role_arn: str


class RoleAuth(httpx.Auth):
    """Signs whatever a client of httpx sends to one region."""

    requires_request_body = True

    def __init__(self, region: str) -> None:
        self._signer = RoleSigner(region)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response]:
        request.headers.update(self._signer.headers(request.method, str(request.url), request.content))
        yield request


def jobs_url(base_url: str) -> str:
    """Where jobs are made: beside AWS's address for calls; elsewhere at the same one."""
    return _RUNTIME.sub(r"https://bedrock\1.", base_url)


def our_event(event: JsonObject, objects: Objects) -> JsonObject | None:
    """What has the native executor look at the job that an event of Bedrock's is about; None if it is none of this
    deployment's, or has been tidied up."""
    token = token_of(event)
    try:
        found = exact_json.loads(objects.get(job_prefix(token) + _EVENT)) if token is not None else None
    except ObjectMissing:
        return None
    return found if isinstance(found, dict) else None


class BedrockJobs:
    """The jobs of a provider of kind bedrock. A job's id is the last part of its ARN."""

    def __init__(self, http: VendorHttp, exchange: Exchange | None, limits: NativeLimits) -> None:
        """`exchange`: None if there are no jobs, as with a caller's key, whose account cannot have our role."""
        self._http = http
        self._exchange = exchange
        self._limits = limits

    def submit(self, submission: Submission, lines: Iterable[JobLine]) -> str:
        if self._exchange is None or not self._exchange.role_arn:
            raise JobsUnsupported("the deployment has no role for such jobs")
        folder = job_prefix(_token(submission.name))
        self._upload(folder + _INPUT, lines)
        self._objects.put(folder + _EVENT, submission.event)
        try:
            return _id(self._create(self._request(submission, self._exchange)))
        except (JobsUnsupported, JobRefused):
            self._objects.delete_many([folder + _INPUT, folder + _EVENT])
            raise
        except VendorTrouble as trouble:
            if not trouble.is_unknown:
                self._objects.delete_many([folder + _INPUT, folder + _EVENT])
            raise

    def find(self, submission: Submission) -> list[str]:
        name = _job_name(submission.name)
        found = [job for job in self._listed(name) if job.get("jobName") == name]
        return [_id(job) for job in sorted(found, key=lambda job: str(job.get("submitTime")))]

    def look(self, job_id: str) -> JobView:
        status = self._job(job_id).get("status")
        return JobView(status in OVER, "failed" if status == "Failed" else None)

    def results(self, job_id: str) -> Iterator[bytes]:
        job = self._job(job_id)
        keys = [key for key in self._files(job_id, job) if key.endswith(_OUTPUT_ENDS)]
        if not keys and job.get("status") in _HAS_RESULTS:
            raise JobMissing(f"{job_id} has no results")
        for key in keys:
            yield from _lines(self._objects, key)

    def id_of(self, line: bytes) -> str:
        return _line_id(exact_json.loads_anything(line)["recordId"])

    def read(self, line: bytes) -> JobResult:
        """What failed is as if it did not run. Jobs refuse what Converse does, such as tools, so realtime judges it."""
        document = exact_json.loads_all(line)
        line_id, output = _line_id(document["recordId"]), document.get("modelOutput")
        if not isinstance(output, dict):
            return JobResult(line_id, None)
        reply = reply_of(200, {}, Received(exact_json.dumps_anything(output)), 0.0)
        return JobResult(line_id, replace(reply, usage=usage_of(output)) if isinstance(reply, Answer) else reply)

    def cancel(self, job_id: str) -> None:
        self._http.ask(f"{_JOB}/{job_id}/stop")

    def clean_up(self, job_id: str) -> None:
        try:
            keys = self._files(job_id, self._job(job_id))
        except JobMissing:
            return
        self._objects.delete_many(keys)

    def close(self) -> None:
        self._http.close()

    @property
    def _objects(self) -> Objects:
        if self._exchange is None:
            raise JobMissing("there are no jobs")
        return self._exchange.objects

    def _create(self, request: JsonObject) -> JsonObject:
        try:
            return self._http.post(_JOB, request)
        except JobMissing as error:
            raise JobsUnsupported("there is no such model") from error
        except VendorTrouble as trouble:
            if trouble.reason is FailureReason.KEY_REFUSED:  # the worker's role may be allowed what this one is not
                raise JobRefused("access_denied") from trouble
            if trouble.reason is FailureReason.CONFLICT:  # there is such a job already
                raise VendorTrouble(trouble.reason, is_unknown=True) from trouble
            raise

    def _upload(self, key: str, lines: Iterable[JobLine]) -> None:
        """Writes the input file. Raises JobRefused if it would be too short, and leaves none behind."""
        count = 0
        with self._objects.writer(key) as file:
            for line in lines:
                if line.path.endswith("/converse") and _TOOLS not in line.body:  # the others are left to realtime
                    file.write(b'{"recordId":"%b","modelInput":%b}\n' % (_record_id(line.id), line.body))
                    count += 1
            if count < self._limits.min_items:
                raise JobRefused("too_few")

    def _request(self, submission: Submission, exchange: Exchange) -> JsonObject:
        token = _token(submission.name)
        folder = f"s3://{exchange.objects.bucket}/{job_prefix(token)}"
        shortest, longest = _HOURS
        return {
            "jobName": _job_name(submission.name),
            "clientRequestToken": token,
            "roleArn": exchange.role_arn,
            "modelId": submission.model,
            "modelInvocationType": "Converse",
            "inputDataConfig": {"s3InputDataConfig": {"s3InputFormat": "JSONL", "s3Uri": folder + _INPUT}},
            "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": folder + _OUTPUT}},
            "timeoutDurationInHours": min(max(self._limits.window_hours, shortest), longest),
        }

    def _job(self, job_id: str) -> JsonObject:
        return self._http.get(f"{_JOB}/{job_id}")

    def _files(self, job_id: str, job: JsonObject) -> list[str]:
        """The keys of all files of a job, which is described by `job`. Raises JobMissing if it is none of ours."""
        config = job.get("inputDataConfig")
        input_config = config.get("s3InputDataConfig") if isinstance(config, dict) else None
        uri = str(input_config.get("s3Uri")) if isinstance(input_config, dict) else ""
        objects = self._objects
        folder = uri.removeprefix(f"s3://{objects.bucket}/").removesuffix(_INPUT)
        if not folder.startswith(job_prefix("")) or folder.count("/") != 2:
            raise JobMissing(f"{job_id} does not read a file of ours")
        return objects.keys(folder, at_most=_FILES_AT_MOST)

    def _listed(self, name: str) -> Iterator[JsonObject]:
        query: dict[str, str | int] = {"nameContains": name, "maxResults": _PAGE}
        for _ in range(_PAGES_AT_MOST):
            page = self._http.get(_JOBS, **query)
            yield from listed(page, "invocationJobSummaries")
            if not page.get("nextToken"):
                return
            query["nextToken"] = str(page["nextToken"])


def _lines(objects: Objects, key: str) -> Iterator[bytes]:
    rest = b""
    try:
        for chunk in objects.stream(key):
            *whole, rest = (rest + chunk).split(b"\n")
            yield from (line for line in whole if line.strip())
    except ObjectMissing as error:
        raise JobMissing(key) from error
    if rest.strip():
        yield rest


def _token(name: str) -> str:
    """Letters and digits, as Bedrock wants its tokens."""
    return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()


def _job_name(name: str) -> str:
    return job_name(_token(name))


def _record_id(line_id: str) -> bytes:
    """Record ids are letters and digits. Ids of lines have hyphens, and no x."""
    return line_id.replace("-", "x").encode()


def _line_id(record_id: object) -> str:
    return str(record_id).replace("x", "-")


def _id(job: JsonObject) -> str:
    found = str(job.get("jobArn")).rpartition("/")[2]
    if not found or not isinstance(job.get("jobArn"), str):
        raise VendorTrouble(FailureReason.INVALID_RESPONSE, is_unknown=True)
    return found
