"""The simulated provider has Mistral's files and batch jobs; Mistral's own SDK reads every word of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from mistralai.client import Mistral, errors, models

from local.provider import Billed, SimulatedProvider, text_hash
from tests.local_cloud.vendor_clients import DAY_SECONDS, JOB_SECONDS, by_id, chat, provider, root_of, running

__all__ = ["provider", "running"]

MODEL = "mistral-small-latest"
CHAT = "/v1/chat/completions"


@pytest.fixture
def client(provider: SimulatedProvider) -> Iterator[Mistral]:
    with Mistral(api_key="m-key", server_url=root_of(provider, "mistral")) as client:
        yield client


def bodies_of(texts: list[str]) -> list[dict[str, Any]]:
    """Without a model: that is the job's."""
    return [{"messages": [{"role": "user", "content": text}]} for text in texts]


def start(client: Mistral, texts: list[str], **fields: Any) -> models.BatchJob:
    lines = [orjson.dumps({"custom_id": f"item-{n}", "body": body}) for n, body in enumerate(bodies_of(texts))]
    content: Any = {"file_name": "in.jsonl", "content": b"\n".join(lines)}
    file = client.files.upload(file=content, purpose="batch")
    return client.batch.jobs.create(endpoint=CHAT, input_files=[file.id], model=MODEL, **fields)


def results(client: Mistral, name: Any) -> dict[str, Any]:
    return by_id(client.files.download(file_id=name).read()) if name else {}


def test_chats_and_their_errors_are_mistrals(provider: SimulatedProvider, client: Mistral) -> None:
    """Answers as OpenAI's, errors flat."""
    answer = client.chat.complete(model=MODEL, messages=[models.UserMessage(content="hello")])
    assert answer.choices[0].message and answer.usage.total_tokens
    assert client.embeddings.create(model="mistral-embed", inputs=["a"]).data[0].embedding
    assert client.classifiers.moderate(model="mistral-moderation-latest", inputs=["to kill"]).results
    with pytest.raises(errors.SDKError) as refused:
        client.chat.complete(model=MODEL, messages=[models.UserMessage(content="[simulate: status:429x1] x")])
    said = orjson.loads(refused.value.body)
    assert (said["object"], said["type"], said["code"]) == ("error", "rate_limited", "1300")


def test_a_job_lives_as_mistrals_do(provider: SimulatedProvider, client: Mistral) -> None:
    """Queued, running, success; the model is the job's; results by id, billed once; files and job can be deleted."""
    texts = [f"item {number}" for number in range(10)]
    job = start(client, texts, metadata={"name": "mine"})
    seen = [job.status]
    for _ in range(2):
        provider.advance(JOB_SECONDS * 0.6)
        job = client.batch.jobs.get(job_id=job.id)
        seen.append(job.status)
    assert seen == ["QUEUED", "RUNNING", "SUCCESS"]
    assert (job.total_requests, job.succeeded_requests, job.failed_requests) == (10, 10, 0)
    found = results(client, job.output_file)
    assert found.keys() == {f"item-{number}" for number in range(10)} and not job.error_file
    assert {line["response"]["body"]["model"] for line in found.values()} == {MODEL}
    assert [provider.bills()[text_hash(chat(text))] for text in texts] == [Billed(native=1)] * 10
    assert [listed.metadata for listed in client.batch.jobs.list().data or []] == [{"name": "mine"}]
    for name in [*job.input_files, str(job.output_file)]:
        assert client.files.delete(file_id=name).deleted
    assert client.batch.jobs.delete(job_id=job.id).deleted
    assert all(entry["deleted"] for entry in provider.files())


def test_a_job_can_be_in_the_call_itself(provider: SimulatedProvider, client: Mistral) -> None:
    """And its results in the job."""
    requests: Any = [{"custom_id": str(number), "body": body} for number, body in enumerate(bodies_of(["a", "b"]))]
    job = client.batch.jobs.create(endpoint=CHAT, requests=requests, model=MODEL)
    provider.advance(JOB_SECONDS)
    outputs = client.batch.jobs.get(job_id=job.id, inline=True).outputs
    assert outputs and {line["custom_id"] for line in outputs} == {"0", "1"}


@pytest.mark.parametrize(
    ("fault", "after", "status", "done", "failed"),
    [
        ("job_expire:40", DAY_SECONDS / 2, "TIMEOUT_EXCEEDED", 4, 0),
        ("job_stall:40", DAY_SECONDS * 2, "CANCELLED", 4, 0),
        ("job_fail_items:40", JOB_SECONDS, "SUCCESS", 6, 4),
        ("job_invalid", JOB_SECONDS, "FAILED", 0, 0),
    ],
)
def test_jobs_of_mistral_go_wrong_as_they_are_asked_to(
    provider: SimulatedProvider, client: Mistral, fault: str, after: float, status: str, done: int, failed: int
) -> None:
    """An item that was not run has no line at all; the window is the caller's."""
    provider.configure(job_faults={fault: 1})
    job = start(client, [f"wrong {number}" for number in range(10)], timeout_hours=12)
    provider.advance(after)
    if status == "CANCELLED":
        assert client.batch.jobs.cancel(job_id=job.id).status == "CANCELLATION_REQUESTED"
        provider.advance(JOB_SECONDS)
    job = client.batch.jobs.get(job_id=job.id)
    assert job.status == status and bool(job.errors) == (status == "FAILED")
    assert len(results(client, job.output_file)) == done
    assert {line["response"]["status_code"] for line in results(client, job.error_file).values()} <= {500}
    assert len(results(client, job.error_file)) == failed
    assert sum(billed.native for billed in provider.bills().values()) == done
