"""Bedrock's batch inference: what is peculiar to it. What it has in common with others is in test_vendor_jobs.py."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import httpx
import orjson
import pytest

from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.providers.bedrock_jobs import (
    REASONS,
    BedrockJobs,
    Exchange,
    RoleAuth,
    jobs_url,
    our_event,
)
from batchyard.adapters.providers.job_kinds import connect_jobs
from batchyard.adapters.providers.provider_jobs import (
    JobLine,
    JobMissing,
    JobRefused,
    JobsUnsupported,
    Submission,
    VendorTrouble,
)
from batchyard.adapters.providers.vendor_http import VendorHttp
from batchyard.core.json_types import JsonObject
from batchyard.core.lanes import Mode
from batchyard.core.native_limits import native_limits
from batchyard.core.providers import Provider
from batchyard.core.retry import FailureReason
from tests.memory_bedrock import ROLE, URL, MemoryBedrock

MODEL = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
PROVIDER = Provider("bedrock", "bedrock", "https://bedrock-runtime.eu-central-1.amazonaws.com").in_modes(
    (Mode.REALTIME, Mode.NATIVE)
)


class Bench:
    """A vendor and a client of it, which takes jobs of three items."""

    def __init__(self, min_items: int = 3) -> None:
        self.now = 0.0
        self.vendor = MemoryBedrock(lambda: self.now)
        self.jobs = BedrockJobs(
            VendorHttp(URL, {}, self.vendor.transport(), reasons=REASONS),
            Exchange(cast(Objects, self.vendor.objects), ROLE),
            native_limits("bedrock", {"min_items": min_items, "window_hours": 12}),
        )

    def submit(self, name: str = "batchyard:test:batch_1:0:1") -> str:
        return self.jobs.submit(submission(name), lines())


def submission(name: str = "batchyard:test:batch_1:0:1") -> Submission:
    return Submission(name, MODEL, 3, 0)


def lines(**more: object) -> list[JobLine]:
    return [JobLine(f"5f-0-{n}", f"/model/{MODEL}/converse", body(f"Say {n}.", **more)) for n in range(3)]


def body(text: str, **more: object) -> bytes:
    return orjson.dumps({"messages": [{"role": "user", "content": [{"text": text}]}]} | more)


def test_what_a_job_is_asked_for() -> None:
    """Converse records with ids of letters and digits, a name and a token that only this submission has, a window that
    Bedrock takes."""
    bench = Bench()
    job_id = bench.submit()
    (job,) = bench.vendor.jobs
    assert job_id == job.id
    assert job.request["modelInvocationType"] == "Converse"
    assert job.request["modelId"] == MODEL
    assert job.request["timeoutDurationInHours"] == 24
    assert job.name == f"batchyard-{job.request['clientRequestToken']}"
    assert list(job.inputs) == ["5fx0x0", "5fx0x1", "5fx0x2"]
    assert job.inputs["5fx0x0"] == body("Say 0.")


def test_a_request_that_comes_twice_makes_one_job() -> None:
    """Bedrock knows it by its token; another submission has another one."""
    bench = Bench()
    first = bench.submit()
    assert bench.submit() == first
    assert bench.submit("batchyard:test:batch_1:0:2") != first


def test_a_job_whose_answer_got_lost_is_found_by_its_name() -> None:
    """Nobody knows what the request came to, and the list has the job."""
    bench = Bench()
    bench.vendor.loses_answers = 1
    with pytest.raises(VendorTrouble) as caught:
        bench.submit()
    assert caught.value.is_unknown
    assert bench.jobs.find(submission()) == [bench.vendor.jobs[0].id]
    assert bench.jobs.find(submission("batchyard:test:batch_1:0:2")) == []


def test_what_no_job_takes_is_left_to_realtime() -> None:
    """Converse jobs refuse tools, and embeddings are no conversations. A text about tools is none."""
    bench = Bench(min_items=1)
    tool = {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {}}}}]}
    wanted = JobLine("5f-0-0", "/model/m/converse", body('Explain {"toolConfig": 1} and "toolConfig":'))
    with_tools = JobLine("5f-0-1", "/model/m/converse", body("Call f.", toolConfig=tool))
    bench.jobs.submit(submission(), [wanted, with_tools, JobLine("5f-0-2", "/model/m/invoke", b"{}")])
    assert list(bench.vendor.jobs[0].inputs) == ["5fx0x0"]


def test_too_few_are_not_submitted() -> None:
    """Bedrock would fail such a job after a while. No file is left behind."""
    bench = Bench(min_items=4)
    with pytest.raises(JobRefused) as caught:
        bench.submit()
    assert caught.value.code == "too_few"
    assert not bench.vendor.jobs and not bench.vendor.objects.stored


@pytest.mark.parametrize(
    ("kind", "status", "wanted"),
    [
        ("ServiceQuotaExceededException", 400, FailureReason.THROTTLED),
        ("ThrottlingException", 429, FailureReason.THROTTLED),
        ("InternalServerException", 500, FailureReason.SERVER_ERROR),
        ("ConflictException", 400, FailureReason.CONFLICT),
        ("ValidationException", 400, JobRefused),
        ("AccessDeniedException", 403, JobRefused),
        ("ResourceNotFoundException", 404, JobsUnsupported),
    ],
)
def test_what_a_submission_may_be_answered(kind: str, status: int, wanted: object) -> None:
    """For want of a free job it waits; what may have made a job is looked for; what never will runs in realtime. Of a
    job that was surely not made no file is left."""
    bench = Bench()
    bench.vendor.errors = [(kind, status)]
    with pytest.raises((VendorTrouble, JobRefused, JobsUnsupported)) as caught:
        bench.submit()
    if isinstance(caught.value, VendorTrouble):
        assert caught.value.reason is wanted
        assert caught.value.is_unknown == (wanted in (FailureReason.SERVER_ERROR, FailureReason.CONFLICT))
    else:
        assert type(caught.value) is wanted
    is_unknown = isinstance(caught.value, VendorTrouble) and caught.value.is_unknown
    assert bool(bench.vendor.objects.stored) == is_unknown


def test_a_job_that_may_not_be_looked_at_is_not_lost() -> None:
    """A grant that is missing for a while is no reason to give a paid job up."""
    bench = Bench()
    job_id = bench.submit()
    bench.vendor.errors = [("AccessDeniedException", 403)]
    with pytest.raises(VendorTrouble):
        bench.jobs.look(job_id)


def test_how_a_job_ends() -> None:
    """Whatever its state is called, what it has done is there; a failed one has nothing."""
    for seconds, share, fails, done, error in (
        (100.0, 1.0, False, 3, None),
        (100.0, 0.34, False, 1, None),
        (None, 0.67, False, 2, None),
        (100.0, 1.0, True, 0, "failed"),
    ):
        bench = Bench()
        bench.vendor.seconds, bench.vendor.done_share, bench.vendor.fails = seconds, share, fails
        job_id = bench.submit()
        assert not bench.jobs.look(job_id).is_over
        bench.now = 2 * 86_400.0
        view = bench.jobs.look(job_id)
        assert (view.is_over, view.error, view.may_pass) == (True, error, False)
        assert len(list(bench.jobs.results(job_id))) == done


def test_results_that_are_gone_are_missed() -> None:
    """Of a job that ended well: that it has none is not to be believed at once."""
    bench = Bench()
    job_id = bench.submit()
    bench.now = 2 * 86_400.0
    bench.jobs.look(job_id)
    bench.jobs.clean_up(job_id)
    with pytest.raises(JobMissing):
        list(bench.jobs.results(job_id))


def test_records_that_failed() -> None:
    """They count as not run, whatever the error: a job refuses what realtime may do. So do those without either."""
    jobs = Bench().jobs
    for told in ({"error": {"errorCode": 400, "errorMessage": "bad request"}}, {"error": "no"}, {}):
        result = jobs.read(orjson.dumps({"recordId": "5fx0x1", "modelInput": {}} | told))
        assert (result.id, result.reply) == ("5f-0-1", None)


def test_files_are_deleted_with_the_job() -> None:
    """Its own, and no other submission's."""
    bench = Bench()
    first, second = bench.submit(), bench.submit("batchyard:test:batch_1:0:2")
    bench.now = 1001.0
    bench.jobs.look(first)
    assert len(bench.vendor.objects.stored) == 8
    bench.jobs.clean_up(first)
    assert len(bench.vendor.objects.stored) == 4
    assert len(list(bench.jobs.results(second))) == 3
    bench.jobs.clean_up("000000000009")


def test_an_event_leads_to_what_the_submission_said() -> None:
    """By the name that Bedrock was given; nothing for jobs of others, nor after ours was tidied up."""
    bench = Bench()
    job_id = bench.jobs.submit(replace(submission(), event=b'{"job":7}'), lines())
    objects = cast(Objects, bench.vendor.objects)

    def found(name: object) -> JsonObject | None:
        return our_event({"source": "aws.bedrock", "detail": {"batchJobName": name}}, objects)

    name = bench.vendor.jobs[0].name
    assert found(name) == {"job": 7}
    for other in (name[:-1], "batchyard-", "batchyard-../x", "nightly", name.removeprefix("batchyard-"), None):
        assert found(other) is None
    assert our_event({"source": "aws.bedrock"}, objects) is None
    bench.now = 1001.0
    bench.jobs.clean_up(job_id)
    assert found(name) is None


def test_a_job_of_others_is_left_alone() -> None:
    """One that reads another bucket, or another place in ours, has no files for us."""
    for uri in ("s3://elsewhere/jobs/a/input.jsonl", "s3://memory/files/a/input.jsonl", "s3://memory/jobs/input.jsonl"):
        bench = Bench()
        job_id = bench.submit()
        bench.vendor.jobs[0].request["inputDataConfig"]["s3InputDataConfig"]["s3Uri"] = uri
        before = dict(bench.vendor.objects.stored)
        bench.jobs.clean_up(job_id)
        assert bench.vendor.objects.stored == before


@pytest.mark.parametrize(("api_key", "role_arn"), [("caller's", ROLE), ("", "")])
def test_without_a_role_of_ours_there_are_no_jobs(api_key: str, role_arn: str) -> None:
    """A caller's key is of another account, which cannot pass our role on."""
    bench = Bench()
    jobs = connect_jobs(PROVIDER, PROVIDER.base_url, api_key, Exchange(cast(Objects, bench.vendor.objects), role_arn))
    with pytest.raises(JobsUnsupported):
        jobs.submit(submission(), lines())


def test_where_jobs_are_made() -> None:
    """At the control plane of the region; what is none of AWS's addresses stays."""
    assert jobs_url("https://bedrock-runtime.eu-central-1.amazonaws.com") == URL
    fips = "https://bedrock-runtime-fips.us-east-1.amazonaws.com"
    assert jobs_url(fips) == "https://bedrock-fips.us-east-1.amazonaws.com"
    assert jobs_url("http://127.0.0.1:1") == "http://127.0.0.1:1"


def test_requests_are_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the credentials of the function's role, for the region, whatever the method."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={})

    http = VendorHttp(URL, {}, httpx.MockTransport(answer), auth=RoleAuth("eu-central-1"))
    http.get("/model-invocation-jobs", nameContains="a")
    http.post("/model-invocation-job", {"jobName": "a"})
    for request in seen:
        assert "/eu-central-1/bedrock/aws4_request" in request.headers["authorization"]
    assert seen[0].headers["authorization"] != seen[1].headers["authorization"]
