"""Bedrock's batch inference in memory, by a clock of its own: answers what is sent to its control plane, and holds it
to botocore's own service model. It reads and writes the files of a bucket, as Bedrock does."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx
import orjson
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel
from botocore.serialize import create_serializer
from botocore.validate import ParamValidator

from simulation.memory_objects import MemoryObjects

ROLE = "arn:aws:iam::123456789012:role/batchyard-bedrock-jobs"
URL = "https://bedrock.eu-central-1.amazonaws.com"
_ARN = "arn:aws:bedrock:eu-central-1:123456789012:model-invocation-job/"


@cache
def operation(name: str) -> OperationModel:
    return ServiceModel(Loader().load_service_model("bedrock", "service-2")).operation_model(name)


def assert_is(name: str, path: str, parameters: dict[str, Any], document: dict[str, Any]) -> None:
    """Fails unless an SDK of AWS's would send the same."""
    asked = operation(name)
    report = ParamValidator().validate(parameters, asked.input_shape)
    assert not report.has_errors(), report.generate_report()
    sent = create_serializer("rest-json").serialize_to_request(parameters, asked)
    assert sent["url_path"] == path
    assert orjson.loads(sent["body"] or b"{}") == document
    _match_patterns(asked.input_shape, parameters)


def _match_patterns(shape: Any, value: Any) -> None:
    """What botocore leaves to the server."""
    if shape.type_name == "structure":
        assert value.keys() <= shape.members.keys()
        for name, each in value.items():
            _match_patterns(shape.members[name], each)
    elif shape.type_name == "string":
        assert not shape.enum or value in shape.enum, value
        assert re.fullmatch(shape.metadata.get("pattern", ".*"), value), value


@dataclass
class BedrockJob:
    """`inputs`: record id -> modelInput as it came."""

    request: dict[str, Any]
    id: str
    inputs: dict[str, bytes]
    made_at: float
    ends_at: float
    ended_as: str
    is_written: bool = False

    @property
    def name(self) -> str:
        return str(self.request["jobName"])


@dataclass
class MemoryBedrock:
    """`seconds`: what a job takes; None: longer than its window. `done_share`: of the items of a job that does not
    end well, how many were finished. `status_of`: a record's modelInput -> the status of its answer; None: the vendor
    loses it. `errors`: what the next requests are answered with, as (kind, status)."""

    clock: Callable[[], float]
    objects: MemoryObjects = field(default_factory=MemoryObjects)
    seconds: float | None = 1000.0
    done_share: float = 1.0
    fails: bool = False
    status_of: Callable[[bytes], int | None] = lambda body: 200
    loses_answers: int = 0
    errors: list[tuple[str, int]] = field(default_factory=list)
    jobs: list[BedrockJob] = field(default_factory=list)
    paid: Counter[bytes] = field(default_factory=Counter)

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self.answer)

    def answer(self, request: httpx.Request) -> httpx.Response:
        for job in self.jobs:
            self._run(job)
        if self.errors:
            return _error(*self.errors.pop(0))
        body = orjson.loads(request.content or b"{}")
        match (request.method, request.url.path.split("/")[1:]):
            case ("POST", ["model-invocation-job"]):
                assert_is("CreateModelInvocationJob", request.url.path, body, body)
                return self._create(body)
            case ("GET", ["model-invocation-jobs"]):
                query = {name: int(each) if each.isdigit() else each for name, each in request.url.params.items()}
                assert_is("ListModelInvocationJobs", request.url.path, query, {})
                return self._list(query)
            case (method, ["model-invocation-job", job_id, *stop]):
                verb = "StopModelInvocationJob" if stop else "GetModelInvocationJob"
                found = next((job for job in self.jobs if job.id == job_id), None)
                if found is None:
                    return _error("ResourceNotFoundException", 404)
                assert_is(verb, request.url.path, {"jobIdentifier": job_id}, {})
                assert method == ("POST" if stop else "GET")
                return self._stop(found) if stop else httpx.Response(200, json=self._described(found))
        raise AssertionError(request.url.path)

    def _create(self, request: dict[str, Any]) -> httpx.Response:
        known = next(
            (job for job in self.jobs if job.request["clientRequestToken"] == request["clientRequestToken"]), None
        )
        if known is None:
            assert request["roleArn"] == ROLE
            now, hours = self.clock(), request["timeoutDurationInHours"]
            lines = self.objects.get(_key(request["inputDataConfig"]["s3InputDataConfig"]["s3Uri"])).splitlines()
            records = [orjson.loads(line) for line in lines]
            assert all(record["recordId"].isalnum() and "toolConfig" not in record["modelInput"] for record in records)
            inputs = {record["recordId"]: orjson.dumps(record["modelInput"]) for record in records}
            assert len(inputs) == len(lines)
            well = "Failed" if self.fails else "Completed" if self.done_share == 1 else "PartiallyCompleted"
            late = self.seconds is None
            known = BedrockJob(
                request,
                f"{len(self.jobs):012d}",
                inputs,
                now,
                now + (hours * 3600 if self.seconds is None else self.seconds),
                "Expired" if late else well,
            )
            self.jobs.append(known)
        if self.loses_answers:
            self.loses_answers -= 1
            raise httpx.ReadError("the connection broke off")
        return httpx.Response(200, json={"jobArn": _ARN + known.id})

    def _list(self, query: dict[str, Any]) -> httpx.Response:
        """One to a page, so that pages are followed."""
        found = [job for job in self.jobs if query["nameContains"] in job.name]
        start = int(query.get("nextToken", 0))
        page = {"invocationJobSummaries": [self._described(job) for job in found[start : start + 1]]}
        more = {"nextToken": str(start + 1)} if start + 1 < len(found) else {}
        return httpx.Response(200, json=page | more)

    def _stop(self, job: BedrockJob) -> httpx.Response:
        if self.clock() >= job.ends_at:
            return _error("ConflictException", 400)
        if job.ended_as != "Stopped":
            job.ended_as, job.ends_at = "Stopped", self.clock() + 20
        return httpx.Response(200, json={})

    def _described(self, job: BedrockJob) -> dict[str, Any]:
        is_over = self.clock() >= job.ends_at
        going = "Stopping" if job.ended_as == "Stopped" else "InProgress"
        kept = ("jobName", "modelId", "roleArn", "inputDataConfig", "outputDataConfig", "clientRequestToken")
        about = {name: job.request[name] for name in kept}
        return about | {
            "jobArn": _ARN + job.id,
            "status": job.ended_as if is_over else going,
            "submitTime": f"2026-11-21T00:00:{int(job.made_at) % 60:02d}Z",
        }

    def _run(self, job: BedrockJob) -> None:
        """Writes the files of a job that is over, once; the last line first."""
        if job.is_written or self.clock() < job.ends_at:
            return
        job.is_written = True
        share = 0 if job.ended_as == "Failed" else 1 if job.ended_as == "Completed" else self.done_share
        lines = []
        for record_id, body in list(job.inputs.items())[: round(share * len(job.inputs))]:
            status = self.status_of(body)
            if status is not None:
                lines.append(_result(record_id, body, status))
                self.paid[body] += status == 200
        folder = _key(job.request["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"]) + job.id
        if lines:
            self.objects.put(f"{folder}/input.jsonl.out", b"\n".join(reversed(lines)))
        self.objects.put(f"{folder}/manifest.json.out", b"{}")


def _result(record_id: str, body: bytes, status: int) -> bytes:
    told: dict[str, Any] = {"error": {"errorCode": status, "errorMessage": "no"}}
    if status == 200:
        message = {"role": "assistant", "content": [{"text": "Yes."}]}
        usage = {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15}
        told = {"modelOutput": {"output": {"message": message}, "stopReason": "end_turn", "usage": usage}}
    return orjson.dumps({"recordId": record_id, "modelInput": orjson.loads(body)} | told)


def _key(uri: str) -> str:
    return uri.removeprefix("s3://memory/")


def _error(kind: str, status: int) -> httpx.Response:
    return httpx.Response(status, headers={"x-amzn-errortype": f"{kind}:http://x"}, json={"message": "no"})
