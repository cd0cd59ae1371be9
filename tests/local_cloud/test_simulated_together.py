"""The simulated provider has Together's files and batches; Together's own SDK reads every word of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import together
from together.types import BatchJob

from local.provider import Billed, SimulatedProvider, text_hash
from tests.local_cloud.vendor_clients import DAY_SECONDS, JOB_SECONDS, by_id, chat, provider, root_of, running

__all__ = ["provider", "running"]

MODEL = "meta-llama/Llama-3.3-70B-Instruct-Turbo"


@pytest.fixture
def client(provider: SimulatedProvider) -> Iterator[together.Together]:
    with together.Together(
        api_key="t-key", base_url=root_of(provider, "together"), max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


def lines(texts: list[str]) -> bytes:
    return b"".join(
        orjson.dumps({"custom_id": f"item-{number}", "body": chat(text, model=MODEL)}) + b"\n"
        for number, text in enumerate(texts)
    )


def start(client: together.Together, folder: Path, texts: list[str]) -> BatchJob:
    path = folder / "in.jsonl"
    path.write_bytes(lines(texts))
    file = client.files.upload(path, purpose="batch-api", check=False)
    job = client.batches.create(endpoint="/v1/chat/completions", input_file_id=file.id).job
    assert job is not None
    return job


def look(client: together.Together, job: BatchJob) -> BatchJob:
    assert job.id is not None
    return client.batches.retrieve(job.id)


def results(client: together.Together, name: str | None) -> dict[str, Any]:
    return by_id(client.files.content(name).read()) if name else {}


def test_a_batch_lives_as_togethers_do(provider: SimulatedProvider, client: together.Together, tmp_path: Path) -> None:
    """Validating, in progress, completed, in capitals; results by id, billed once; files can be deleted."""
    assert client.chat.completions.create(**chat("hello", model=MODEL)).choices
    texts = [f"item {number}" for number in range(10)]
    job = start(client, tmp_path, texts)
    seen = [job.status]
    for _ in range(2):
        provider.advance(JOB_SECONDS * 0.6)
        job = look(client, job)
        seen.append(job.status)
    assert seen == ["VALIDATING", "IN_PROGRESS", "COMPLETED"]
    assert job.progress == 100 and job.x_model_id == MODEL and job.completed_at and job.job_deadline
    found = results(client, job.output_file_id)
    assert found.keys() == {f"item-{number}" for number in range(10)} and not job.error_file_id
    assert [provider.bills()[text_hash(chat(text))] for text in texts] == [Billed(native=1)] * 10
    assert [listed.id for listed in client.batches.list()] == [job.id]
    for file in client.files.list().data:
        assert client.files.delete(file.id).deleted
    assert [entry["deleted"] for entry in provider.files()] == [True, True]


@pytest.mark.parametrize(
    ("fault", "after", "status", "done", "failed"),
    [
        ("job_expire:40", DAY_SECONDS, "EXPIRED", 4, 0),
        ("job_stall:40", DAY_SECONDS * 2, "CANCELLED", 4, 0),
        ("job_fail_items:40", JOB_SECONDS, "COMPLETED", 6, 4),
        ("job_invalid", JOB_SECONDS, "FAILED", 0, 0),
    ],
)
def test_batches_of_together_go_wrong_as_they_are_asked_to(
    provider: SimulatedProvider,
    client: together.Together,
    tmp_path: Path,
    fault: str,
    after: float,
    status: str,
    done: int,
    failed: int,
) -> None:
    """An item that failed has only its error, one that was not run has no line at all."""
    provider.configure(job_faults={fault: 1})
    job = start(client, tmp_path, [f"wrong {number}" for number in range(10)])
    provider.advance(after)
    if status == "CANCELLED":
        assert job.id is not None and client.batches.cancel(job.id).status == "CANCELLED"
        provider.advance(JOB_SECONDS)
    job = look(client, job)
    assert job.status == status and bool(job.error) == (status == "FAILED")
    assert len(results(client, job.output_file_id)) == done
    errors = results(client, job.error_file_id)
    assert len(errors) == failed and all("response" not in line and line["error"]["code"] for line in errors.values())
    assert sum(billed.native for billed in provider.bills().values()) == done


def test_a_file_can_be_uploaded_in_one_call(provider: SimulatedProvider, client: together.Together) -> None:
    """As Together's older documents have it."""
    url = f"{provider.url_of('together')}/files/upload"
    form = {"purpose": "batch-api", "file_name": "in.jsonl"}
    answer = httpx.post(url, data=form, files={"file": ("x", lines(["x"]))}, headers={"authorization": "Bearer t-key"})
    assert client.files.retrieve(answer.json()["id"]).filename == "in.jsonl"
