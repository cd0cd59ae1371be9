"""Jobs of Gemini's: translated items in, answers in the items' form out, and what goes wrong in between."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion

from batchyard.adapters.providers.gemini_jobs import GeminiJobs
from batchyard.adapters.providers.job_kinds import connect_jobs
from batchyard.adapters.providers.kinds import translator_of
from batchyard.adapters.providers.provider_jobs import JobLine, JobRefused, Submission, VendorTrouble
from batchyard.adapters.providers.translator import ProviderRequest
from batchyard.core.calls import Answer, NoAnswer, ProviderReply
from batchyard.core.lanes import Lane, Mode
from batchyard.core.providers import Provider
from batchyard.core.retry import FailureReason
from local.provider import SimulatedProvider

CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"
GEMINI = Provider("gemini", "gemini", "https://generativelanguage.googleapis.com/v1beta")
LANE = Lane("gemini", "gemini-3.8-flash", Mode.NATIVE)
JOB_SECONDS = 1000.0
DAY = 86_400.0


@dataclass
class Scene:
    simulator: SimulatedProvider
    jobs: GeminiJobs


@pytest.fixture
def scene() -> Iterator[Scene]:
    with SimulatedProvider(seed=1, clock_speed=0, job_seconds=JOB_SECONDS) as simulator:
        jobs = connect_jobs(GEMINI, simulator.url_of("gemini"), "g-test")
        assert isinstance(jobs, GeminiJobs)
        try:
            yield Scene(simulator, jobs)
        finally:
            jobs.close()


def submission(name: str = "batchyard:test:batch_1:0:1") -> Submission:
    return Submission(name, LANE.model, 2, int(time.time()))


def asked(document: dict[str, Any], endpoint: str = CHAT) -> ProviderRequest:
    request = translator_of(GEMINI).request(endpoint, orjson.dumps(document), LANE)
    assert isinstance(request, ProviderRequest), request
    return request


def chat(text: str) -> ProviderRequest:
    return asked({"model": "m", "messages": [{"role": "user", "content": text}], "metadata": {"of": text}})


def run(scene: Scene, requests: dict[str, ProviderRequest]) -> dict[str, ProviderReply | None]:
    """The replies to a job with `requests` after its whole life, in the form of its items."""
    job_id = scene.jobs.submit(submission(), [JobLine(name, each.path, each.body) for name, each in requests.items()])
    scene.simulator.advance(JOB_SECONDS + 1)
    assert scene.jobs.look(job_id).is_over
    replies: dict[str, ProviderReply | None] = {}
    for line in scene.jobs.results(job_id):
        name, reply = scene.jobs.read(line)
        read = requests[name].read_answer
        assert read is not None
        replies[name] = read(reply, 1.0) if isinstance(reply, Answer) else reply
    return replies


def test_items_of_a_job_are_answered_in_their_form(scene: Scene) -> None:
    """Each with its own metadata and its tokens; one that Gemini refused has OpenAI's error."""
    requests = {"a": chat("hello"), "b": chat("[simulate: status:400] no"), "c": chat("[simulate: status:503] later")}
    replies = run(scene, requests)
    good, bad, later = replies["a"], replies["b"], replies["c"]
    assert isinstance(good, Answer) and good.failure is None and good.usage.total_tokens > 0
    assert ChatCompletion.model_validate_json(good.body, strict=True).choices[0].message.content
    assert orjson.loads(good.body)["metadata"] == {"of": "hello"}
    assert isinstance(bad, Answer) and bad.failure is FailureReason.REJECTED
    assert orjson.loads(bad.body)["error"]["code"] == "invalid_argument"
    assert isinstance(later, Answer) and later.failure is FailureReason.OVERLOADED


def test_embeddings_are_jobs_of_their_own_kind(scene: Scene) -> None:
    """One text each; an item with several is left out, so that realtime runs it."""
    one = asked({"model": "m", "input": "one", "dimensions": 4}, EMBEDDINGS)
    several = asked({"model": "m", "input": ["one", "two"]}, EMBEDDINGS)
    (reply,) = run(scene, {"several": several, "one": one}).values()
    assert isinstance(reply, Answer) and reply.failure is None
    assert len(CreateEmbeddingResponse.model_validate_json(reply.body).data[0].embedding) == 4
    with pytest.raises(JobRefused):
        scene.jobs.submit(submission(), [JobLine("several", several.path, several.body)])


def test_a_lost_answer_is_found_by_name(scene: Scene) -> None:
    """A job was made, though nobody heard of it."""
    scene.simulator.configure(call_faults={"create": {"disconnectx1": 1}})
    request = chat("hello")
    with pytest.raises(VendorTrouble) as trouble:
        scene.jobs.submit(submission(), [JobLine("a", request.path, request.body)])
    assert trouble.value.is_unknown
    (found,) = scene.jobs.find(submission())
    assert not scene.jobs.look(found).is_over


def test_an_upload_that_failed_left_nothing(scene: Scene) -> None:
    """Nobody pays for a file, so the job can be submitted again at once."""
    scene.simulator.configure(call_faults={"upload": {"disconnectx1": 1}})
    request = chat("hello")
    with pytest.raises(VendorTrouble) as trouble:
        scene.jobs.submit(submission(), [JobLine("a", request.path, request.body)])
    assert not trouble.value.is_unknown
    assert scene.jobs.find(submission()) == []


@pytest.mark.parametrize(
    ("fault", "after", "error"),
    [("job_expire", 3 * DAY, None), ("job_invalid", JOB_SECONDS, "failed_precondition")],
)
def test_jobs_that_end_without_results(scene: Scene, fault: str, after: float, error: str | None) -> None:
    """One that has expired gives its items to somebody else; one that failed says why."""
    scene.simulator.configure(job_faults={fault: 1})
    request = chat("hello")
    job_id = scene.jobs.submit(submission(), [JobLine("a", request.path, request.body)])
    scene.simulator.advance(after)
    view = scene.jobs.look(job_id)
    assert (view.is_over, view.error, view.may_pass) == (True, error, False)
    assert list(scene.jobs.results(job_id)) == []


def test_nothing_is_left_behind(scene: Scene) -> None:
    """Neither the input file nor the results nor the job itself, and nothing of another job's is touched."""
    request = chat("hello")
    line = JobLine("a", request.path, request.body)
    job_id, other = scene.jobs.submit(submission(), [line]), scene.jobs.submit(submission("other"), [line])
    scene.simulator.advance(JOB_SECONDS + 1)
    assert len(list(scene.jobs.results(job_id))) == len(list(scene.jobs.results(other))) == 1
    scene.jobs.clean_up(job_id)
    assert sorted(file["deleted"] for file in scene.simulator.files()) == [False, False, True, True]
    assert scene.jobs.find(submission()) == [] and scene.jobs.find(submission("other")) == [other]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"code": 3, "message": "No."}, FailureReason.REJECTED),
        ({"code": 8, "message": "No."}, FailureReason.THROTTLED),
        ({"code": 14, "message": "No."}, FailureReason.OVERLOADED),
        ({"code": 503, "message": "No.", "status": "UNAVAILABLE"}, FailureReason.OVERLOADED),
        ({"code": 99, "message": "No."}, FailureReason.SERVER_ERROR),
        ({"code": 1, "message": "Cancelled."}, None),
        ({"code": 499, "message": "Cancelled."}, None),
        ({"message": "No."}, None),
        ("no object", None),
    ],
)
def test_errors_of_lines(scene: Scene, error: Any, reason: FailureReason | None) -> None:
    """Their codes are those of Google's remote calls, or HTTP's; a line that was not run has no reply."""
    result = scene.jobs.read(orjson.dumps({"key": "a", "error": error}))
    assert result.id == "a"
    if reason is None:
        assert result.reply is None
    else:
        assert isinstance(result.reply, Answer | NoAnswer) and result.reply.failure is reason
