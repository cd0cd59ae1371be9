"""The clients of vendors' batch APIs, each against the simulated vendor, and their stand-in: the same story for all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import cast

import httpx
import orjson
import pytest

from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.catalogue import load_providers
from batchyard.adapters.providers import vendor_http
from batchyard.adapters.providers.anthropic_jobs import AnthropicJobs
from batchyard.adapters.providers.bedrock_jobs import REASONS, BedrockJobs, Exchange
from batchyard.adapters.providers.gemini_jobs import GeminiJobs
from batchyard.adapters.providers.job_kinds import connect_jobs
from batchyard.adapters.providers.openai_jobs import OpenAIJobs
from batchyard.adapters.providers.provider_jobs import (
    JobLine,
    JobMissing,
    JobRefused,
    JobsUnsupported,
    Submission,
    VendorJobs,
    VendorTrouble,
)
from batchyard.adapters.providers.vendor_http import VendorHttp
from batchyard.core.calls import Answer
from batchyard.core.lanes import Mode
from batchyard.core.native_limits import native_limits
from batchyard.core.providers import Provider
from batchyard.core.retry import FailureReason
from local.provider import SimulatedProvider
from tests.memory_bedrock import ROLE, MemoryBedrock
from tests.memory_bedrock import URL as BEDROCK_URL
from tests.memory_vendor import MemoryVendor

JOB_SECONDS = 1000.0
PROVIDERS = {provider.name: provider for provider in load_providers()}
ANTHROPIC = replace(PROVIDERS["anthropic"], kind="anthropic", variant="anthropic", endpoints=())
GEMINI = Provider("gemini", "gemini", "https://generativelanguage.googleapis.com/v1beta")
ALL = PROVIDERS | {"anthropic": ANTHROPIC, "gemini": GEMINI}


@dataclass
class Scene:
    """A vendor's jobs. `advance` lets its clock go on."""

    jobs: VendorJobs
    advance: Callable[[float], None]
    lines: list[JobLine] = field(default_factory=lambda: lines(5))
    """Five, for this vendor."""


@pytest.fixture
def simulator() -> Iterator[SimulatedProvider]:
    """A new one for each test, because its clock only goes forward."""
    with SimulatedProvider(seed=1, clock_speed=0, job_seconds=JOB_SECONDS, without_jobs=["bare"]) as provider:
        yield provider


@contextmanager
def scene_of(simulator: SimulatedProvider, provider: Provider) -> Iterator[Scene]:
    jobs = connect_jobs(provider.in_modes((Mode.REALTIME, Mode.NATIVE)), simulator.url_of(provider.name), "sk-test")
    try:
        yield Scene(jobs, simulator.advance, lines_for(provider.kind))
    finally:
        jobs.close()


@pytest.fixture(params=["openai", "groq", "mistral", "together", "anthropic", "gemini", "bedrock", "memory"])
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    now = [0.0]

    def advance(seconds: float) -> None:
        now[0] += seconds

    if request.param == "bedrock":
        yield Scene(bedrock_jobs(lambda: now[0]), advance, lines_for("bedrock"))
        return
    if request.param == "memory":
        yield Scene(MemoryVendor(lambda: now[0], seconds=JOB_SECONDS), advance)
        return
    simulator = request.getfixturevalue("simulator")
    with scene_of(simulator, ALL[request.param]) as found:
        yield found


@pytest.fixture
def openai(simulator: SimulatedProvider) -> Iterator[Scene]:
    with scene_of(simulator, PROVIDERS["openai"]) as found:
        yield found


def bedrock_jobs(clock: Callable[[], float]) -> BedrockJobs:
    vendor = MemoryBedrock(clock, seconds=JOB_SECONDS)
    exchange = Exchange(cast(Objects, vendor.objects), ROLE)
    http = VendorHttp(BEDROCK_URL, {}, vendor.transport(), reasons=REASONS)
    return BedrockJobs(http, exchange, native_limits("bedrock", {"min_items": 5}))


def lines_for(kind: str) -> list[JobLine]:
    if kind == "bedrock":
        message = b'{"messages":[{"role":"user","content":[{"text":"Say %d."}]}]}'
        return [JobLine(f"p-0-{n}", "/model/gpt-4o-mini/converse", message % n) for n in range(5)]
    if kind != "gemini":
        return lines(5, max_tokens=10) if kind == "anthropic" else lines(5)
    path = "/models/gemini-2.5-flash:generateContent"
    return [JobLine(f"p-0-{n}", path, b'{"contents":[{"parts":[{"text":"Say %d."}]}]}' % n) for n in range(5)]


def lines(count: int, **extra: object) -> list[JobLine]:
    """Of a form that both OpenAI's and Anthropic's shape take."""
    path = "/messages" if "max_tokens" in extra else "/chat/completions"
    return [
        JobLine(
            f"p-0-{n}",
            path,
            orjson.dumps({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"Say {n}."}], **extra}),
        )
        for n in range(count)
    ]


def submission(name: str = "batchyard:test:batch_1:0:1", items: int = 5) -> Submission:
    return Submission(name, "gpt-4o-mini", items, int(time.time()))


STRANGE = rb'{"text":"\ud800","seed":123456789012345678901234}'
RESULTS = {
    "openai": rb'{"custom_id":"p-0-1","response":{"status_code":200,"request_id":"r","body":%b}}',
    "anthropic": rb'{"custom_id":"p-0-1","result":{"type":"succeeded","message":%b}}',
    "gemini": rb'{"key":"p-0-1","response":%b}',
    "bedrock": rb'{"recordId":"pZ0Z1","modelOutput":%b}',
}


@pytest.mark.parametrize("name", sorted(RESULTS))
def test_whatever_is_json_is_an_answer(name: str) -> None:
    """Half of a pair of surrogates beside a number of many digits: the answer is kept as it came, to the last one."""
    if name == "bedrock":
        jobs: VendorJobs = bedrock_jobs(lambda: 0.0)
        line_id = jobs.id_of(RESULTS[name] % STRANGE)
    else:
        provider = ALL[name].in_modes((Mode.REALTIME, Mode.NATIVE))
        jobs, line_id = connect_jobs(provider, "http://127.0.0.1:1", "sk-test"), "p-0-1"
    found = jobs.read(RESULTS[name] % STRANGE)
    jobs.close()
    assert found.id == line_id
    assert isinstance(found.reply, Answer) and found.reply.failure is None
    assert found.reply.body == STRANGE


def test_a_line_without_end_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a vendor's file a line that is longer than any answer is left out; those around it are read."""
    monkeypatch.setattr(vendor_http, "_LONGEST_LINE_BYTES", 20)
    chunks = [b"first\n", b"x" * 15, b"x" * 15, b"x" * 15 + b"\nsec", b"ond\nthird\n", b"y" * 30]
    assert list(vendor_http._lines(iter(chunks))) == [b"first", b"second", b"third"]


def test_a_line_of_a_million_objects_is_left_out() -> None:
    """To read one takes forty times its bytes: its item is answered anew, by a call."""
    objects = b"{},[]," * 700_000
    content = b"first\n[" + objects + b"1]\nsecond\n[" + objects + b"1]"
    chunks = (content[start : start + 1_000_000] for start in range(0, len(content), 1_000_000))
    assert list(vendor_http._lines(chunks)) == [b"first", b"second"]


def test_a_jobs_whole_life(scene: Scene) -> None:
    """It is submitted, found by its name and no other, runs, ends, and has an answer with its usage for every line;
    cleaning up twice does no harm."""
    job_id = scene.jobs.submit(submission(), scene.lines)
    assert scene.jobs.find(submission()) == [job_id]
    assert scene.jobs.find(submission("batchyard:test:batch_1:0:2", 7)) == []
    assert not scene.jobs.look(job_id).is_over
    scene.advance(JOB_SECONDS + 1)
    view = scene.jobs.look(job_id)
    assert (view.is_over, view.error) == (True, None)
    found = list(scene.jobs.results(job_id))
    assert {scene.jobs.id_of(line) for line in found} == {f"p-0-{n}" for n in range(5)}
    for line in found:
        result = scene.jobs.read(line)
        assert result.id == scene.jobs.id_of(line)
        assert isinstance(result.reply, Answer)
        assert result.reply.failure is None
        assert result.reply.usage.total_tokens > 0
    scene.jobs.cancel(job_id)
    scene.jobs.clean_up(job_id)
    scene.jobs.clean_up(job_id)
    with pytest.raises(JobMissing):
        list(scene.jobs.results(job_id))


@pytest.mark.parametrize("name", ["openai", "groq", "mistral", "anthropic", "gemini"])
def test_a_job_that_ended_well_says_how_many_it_answered(simulator: SimulatedProvider, name: str) -> None:
    """So that half of its results are not taken for all of them. Of one that runs, or was cancelled, nobody relies on
    it."""
    with scene_of(simulator, ALL[name]) as scene:
        job_id = scene.jobs.submit(submission(), scene.lines)
        assert scene.jobs.look(job_id).answered is None
        scene.advance(JOB_SECONDS + 1)
        assert scene.jobs.look(job_id).answered == 5 == len(list(scene.jobs.results(job_id)))
        cancelled = scene.jobs.submit(submission("other"), scene.lines)
        scene.advance(JOB_SECONDS / 4)
        scene.jobs.cancel(cancelled)
        scene.advance(100)
        view = scene.jobs.look(cancelled)
        assert view.is_over
        assert view.answered is None or view.answered <= len(list(scene.jobs.results(cancelled)))


def test_a_cancelled_job_ends(scene: Scene) -> None:
    """After a while; asking twice does no harm."""
    job_id = scene.jobs.submit(submission(), scene.lines)
    scene.advance(JOB_SECONDS / 4)
    scene.jobs.cancel(job_id)
    scene.jobs.cancel(job_id)
    scene.advance(100)
    assert scene.jobs.look(job_id).is_over
    assert len(list(scene.jobs.results(job_id))) <= 5


def test_an_unknown_job_is_missing(scene: Scene) -> None:
    """The vendor has forgotten it, or never had it."""
    with pytest.raises(JobMissing):
        scene.jobs.look("batch_unknown")


def test_items_that_failed_are_told_from_those_that_did_not_run(openai: Scene) -> None:
    """Half of them failed, for a reason that may pass; and of an expired job half never ran."""
    failing = openai.jobs.submit(submission("a"), lines(10, metadata={"simulate": "job_fail_items:50"}))
    openai.advance(JOB_SECONDS + 1)
    replies = [openai.jobs.read(line).reply for line in openai.jobs.results(failing)]
    reasons = [reply.failure for reply in replies if reply is not None]
    assert len(reasons) == 10
    assert sum(reason is not None and reason.may_be_retried for reason in reasons) == 5
    expiring = openai.jobs.submit(submission("b"), lines(10, metadata={"simulate": "job_expire:50"}))
    openai.advance(2 * 86_400)
    assert openai.jobs.look(expiring).is_over
    replies = [openai.jobs.read(line).reply for line in openai.jobs.results(expiring)]
    assert sum(reply is not None for reply in replies) == 5


def test_a_lost_answer_is_found_by_name(openai: Scene, simulator: SimulatedProvider) -> None:
    """The vendor has the job, its submitter does not know."""
    simulator.configure(call_faults={"create": {"disconnectx1": 1.0}})
    with pytest.raises(VendorTrouble) as caught:
        openai.jobs.submit(submission(), lines(5))
    assert caught.value.is_unknown
    (job,) = simulator.jobs()
    assert openai.jobs.find(submission()) == [job["id"]]


def test_trouble_and_refusals(openai: Scene, simulator: SimulatedProvider) -> None:
    """A job for which there is no room may be submitted again; a 503 passes; who has no batch API says so."""
    simulator.configure(enqueued_tokens=1)
    job_id = openai.jobs.submit(submission(), lines(5))
    openai.advance(JOB_SECONDS)
    view = openai.jobs.look(job_id)
    assert (view.is_over, view.may_pass) == (True, True), view
    simulator.configure(call_faults={"look": {"status:503": 1.0}})
    with pytest.raises(VendorTrouble):
        openai.jobs.look(job_id)
    with scene_of(simulator, replace(PROVIDERS["openai"], name="bare")) as bare, pytest.raises(JobsUnsupported):
        bare.jobs.submit(submission(), lines(5))


@pytest.mark.parametrize("status", [302, 403, 404, 405])
def test_a_page_for_people_says_nothing_of_a_job(status: int) -> None:
    """What something in front of the vendor answers in HTML is trouble, neither a job that is gone nor a refusal."""
    transport = httpx.MockTransport(lambda request: httpx.Response(status, html="<h1>Back soon</h1>"))
    jobs = OpenAIJobs(VendorHttp("https://api.example/v1", {}, transport), "openai", 24)
    for call in (lambda: jobs.look("b"), lambda: list(jobs.results("b")), lambda: jobs.submit(submission(), lines(1))):
        with pytest.raises(VendorTrouble) as caught:
            call()
        assert (caught.value.reason, caught.value.is_unknown) == (FailureReason.INVALID_RESPONSE, False)


@pytest.mark.parametrize("page", [[1], {"data": ["x"]}, {"data": {"a": 1}}, "text", 7, {"data": [{"id": 7}]}, None])
@pytest.mark.parametrize("kind", ["openai", "anthropic", "gemini", "bedrock"])
def test_a_list_of_anything_but_jobs_is_trouble(kind: str, page: object) -> None:
    """Whoever looks for a job in it asks again later; nothing else breaks."""
    names = {"gemini": "operations", "bedrock": "invocationJobSummaries"}
    content = orjson.dumps(page).replace(b'"data"', b'"%b"' % names.get(kind, "data").encode())
    http = VendorHttp("https://api.example/v1", {}, httpx.MockTransport(lambda _: httpx.Response(200, content=content)))
    exchange = Exchange(cast(Objects, None), ROLE)
    made: dict[str, VendorJobs] = {
        "openai": OpenAIJobs(http, "openai", 24),
        "anthropic": AnthropicJobs(http),
        "gemini": GeminiJobs(http),
        "bedrock": BedrockJobs(http, exchange, native_limits("bedrock", {})),
    }
    try:
        assert made[kind].find(submission()) == []
    except VendorTrouble as trouble:
        assert trouble.reason is FailureReason.INVALID_RESPONSE
    else:
        assert page == {"data": [{"id": 7}]}, "a job without a name is another's"


def test_a_key_goes_to_its_vendor_only() -> None:
    """Results may be handed over by a redirect to a bucket, or a gateway redirect to a page for people."""
    hosts = {}

    def answer(request: httpx.Request) -> httpx.Response:
        hosts[request.url.host] = request.headers.get("x-api-key")
        if request.url.host == "bucket.example":
            return httpx.Response(200, text="{}")
        return httpx.Response(302, headers={"location": "https://bucket.example/results"})

    http = VendorHttp("https://api.example/v1", {"x-api-key": "secret"}, httpx.MockTransport(answer))
    assert list(http.lines("/results")) == [b"{}"]
    assert hosts == {"api.example": "secret", "bucket.example": None}


@pytest.mark.parametrize(
    ("status", "error", "refuses_lane"),
    [
        (400, {"code": "model_not_found", "message": "The model `m-batch` does not exist."}, True),
        (403, {"code": "not_available_for_plan", "message": "Batches are not available for your plan."}, True),
        (400, {"message": "Model m-4.5 is not supported for batch processing."}, True),
        (400, {"message": "The provided model 'm' is not supported by the Batch API."}, True),
        (400, {"code": "invalid_request", "message": "Line 3: Model m is not supported for batch processing."}, False),
        (400, {"code": "invalid_file", "message": "The file has no lines."}, False),
    ],
)
def test_a_refusal_of_the_model_is_told_from_one_of_the_job(
    status: int, error: dict[str, str], refuses_lane: bool
) -> None:
    """By the vendors' codes, and by the beginning of a message; when a job is made, and when it is looked at."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/files"):
            return httpx.Response(200, json={"id": "file-1"})
        if request.method == "POST":
            return httpx.Response(status, json={"error": error})
        return httpx.Response(200, json={"id": "b", "status": "failed", "errors": {"data": [error]}})

    jobs = OpenAIJobs(VendorHttp("https://api.example/v1", {}, httpx.MockTransport(answer)), "openai", 24)
    with pytest.raises(JobRefused) as caught:
        jobs.submit(submission(), lines(1))
    assert caught.value.refuses_lane is refuses_lane
    assert jobs.look("b").refuses_lane is refuses_lane


@pytest.mark.parametrize(
    ("status", "error", "is_forbidden"),
    [
        (
            401,
            {"message": "You have insufficient permissions for this operation. Missing scopes: api.files.write."},
            True,
        ),
        (403, {"type": "permission_error", "message": "Your API key may not use this resource."}, True),
        (401, {"code": "invalid_api_key", "message": "Incorrect API key provided: sk-x."}, False),
        (401, {"message": "No: You have insufficient permissions for this operation."}, False),
    ],
)
def test_a_key_that_may_not_make_jobs_is_told_from_a_wrong_one(
    status: int, error: dict[str, str], is_forbidden: bool
) -> None:
    """By what vendors say to the upload of a job's file; either way there is no job of which nobody knows."""
    transport = httpx.MockTransport(lambda request: httpx.Response(status, json={"error": error}))
    jobs = OpenAIJobs(VendorHttp("https://api.example/v1", {}, transport), "openai", 24)
    with pytest.raises(VendorTrouble) as caught:
        jobs.submit(submission(), lines(1))
    trouble = caught.value
    assert (trouble.reason, trouble.is_forbidden, trouble.is_unknown) == (
        FailureReason.KEY_REFUSED,
        is_forbidden,
        False,
    )
