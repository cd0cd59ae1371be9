"""The simulated provider has OpenAI's files and batches, and everything that may happen to them; OpenAI's own SDK reads
every word of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import groq
import openai
import pytest
from openai.types import Batch

from local.provider import Billed, SimulatedProvider, request_hash, text_hash
from tests.local_cloud.vendor_clients import (
    DAY_SECONDS,
    JOB_SECONDS,
    by_id,
    chat,
    lines_of,
    provider,
    root_of,
    running,
)

__all__ = ["provider", "running"]

CHAT = "/v1/chat/completions"


@pytest.fixture
def client(provider: SimulatedProvider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=provider.url, api_key="sk-test", max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


def start(client: openai.OpenAI, bodies: list[dict[str, Any]], **fields: Any) -> Batch:
    file = client.files.create(file=("in.jsonl", lines_of(bodies)), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint=CHAT, completion_window="24h", extra_body=fields or None
    )


def results(client: openai.OpenAI, batch: Batch) -> tuple[dict[str, Any], dict[str, Any]]:
    """Output and error lines by custom_id."""
    files = (batch.output_file_id, batch.error_file_id)
    output, error = (by_id(client.files.content(name).read()) if name else {} for name in files)
    return output, error


def test_a_batch_lives_as_openais_do(provider: SimulatedProvider, client: openai.OpenAI) -> None:
    """Validating, in progress, finalizing, completed, each with its time; all items have results, in another order
    than they came, and are billed once."""
    bodies = [chat(f"item {number}") for number in range(20)]
    batch = start(client, bodies, metadata={"batchyard": "dep:batch:1"})
    assert (batch.status, batch.expires_at) == ("validating", batch.created_at + DAY_SECONDS)
    seen = []
    for _ in range(3):
        provider.advance(JOB_SECONDS * 0.33)
        seen.append(client.batches.retrieve(batch.id))
    provider.advance(JOB_SECONDS * 0.02)
    done = client.batches.retrieve(batch.id)
    assert [found.status for found in [*seen, done]] == ["in_progress", "in_progress", "finalizing", "completed"]
    counts = [found.request_counts.completed for found in seen if found.request_counts]
    assert counts == sorted(counts) and 0 < counts[0] < counts[1] < 20 == counts[2]
    assert done.in_progress_at and done.finalizing_at and done.completed_at == batch.created_at + JOB_SECONDS
    assert done.metadata == {"batchyard": "dep:batch:1"} and done.model == "gpt-4o-mini"
    output, error = results(client, done)
    assert output.keys() == {f"item-{number}" for number in range(20)} and not error
    assert list(output) != sorted(output, key=lambda name: int(name.removeprefix("item-")))
    assert {line["response"]["status_code"] for line in output.values()} == {200}
    assert output["item-3"]["response"]["body"]["choices"][0]["message"]["content"]
    assert done.usage is not None and done.usage.input_tokens > 0
    assert [provider.bills()[text_hash(body)] for body in bodies] == [Billed(native=1)] * 20
    assert [provider.counts()[request_hash(body)] for body in bodies] == [(1, 1)] * 20
    [usage] = provider.stats()["usage"]
    assert (usage["mode"], usage["items"], usage["prompt"]) == ("native", 20, done.usage.input_tokens)


def test_a_job_is_found_again_by_its_metadata(provider: SimulatedProvider, client: openai.OpenAI) -> None:
    """The answer of the call that creates it can be lost, once: the job is there, and the list has it."""
    provider.configure(call_faults={"create": {"disconnectx1": 1}})
    with pytest.raises(openai.APIConnectionError):
        start(client, [chat("lost")], metadata={"name": "mine"})
    others = [start(client, [chat(f"other {number}")]).id for number in range(3)]
    listed = list(client.batches.list(limit=2))
    assert [batch.id for batch in listed[:3]] == others[::-1]
    assert [batch.metadata for batch in listed] == [None, None, None, {"name": "mine"}]


def test_cancelling_keeps_and_bills_what_is_done(provider: SimulatedProvider, client: openai.OpenAI) -> None:
    """The rest has a line that says why; a job that has ended is not cancelled."""
    bodies = [chat(f"half {number}") for number in range(10)]
    batch = start(client, bodies)
    provider.advance(JOB_SECONDS * 0.5)
    assert client.batches.cancel(batch.id).status == "cancelling"
    provider.advance(JOB_SECONDS)
    batch = client.batches.retrieve(batch.id)
    assert batch.status == "cancelled" and batch.cancelling_at and batch.cancelled_at
    output, error = results(client, batch)
    assert 0 < len(output) < 10 and len(output) + len(error) == 10
    assert {line["error"]["code"] for line in error.values()} == {"batch_cancelled"}
    assert sum(billed.native for billed in provider.bills().values()) == len(output)
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(batch.id)


@pytest.mark.parametrize("by_setting", [True, False], ids=["by setting", "by an item's wish"])
@pytest.mark.parametrize(
    ("fault", "after", "status", "done"),
    [
        ("job_expire:40", DAY_SECONDS, "expired", 4),
        ("job_stall:40", DAY_SECONDS * 3, "in_progress", 4),
        ("job_fail_items:40", JOB_SECONDS, "completed", 6),
        ("job_invalid", JOB_SECONDS, "failed", 0),
    ],
)
def test_jobs_go_wrong_as_they_are_asked_to(
    provider: SimulatedProvider,
    client: openai.OpenAI,
    fault: str,
    after: float,
    status: str,
    done: int,
    by_setting: bool,
) -> None:
    """They expire with some of their results, stall for ever, fail some of their items or all of them."""
    bodies = [chat(f"wrong {number}") for number in range(10)]
    if by_setting:
        provider.configure(job_faults={fault: 1})
    else:
        bodies[5]["metadata"] = {"simulate": fault}
    batch = start(client, bodies)
    provider.advance(after)
    batch = client.batches.retrieve(batch.id)
    assert batch.status == status
    assert batch.request_counts is not None and batch.request_counts.completed == done
    output, error = results(client, batch)
    if status == "in_progress":
        client.batches.cancel(batch.id)
        provider.advance(JOB_SECONDS)
        output, error = results(client, client.batches.retrieve(batch.id))
    assert len(output) == done == sum(billed.native for billed in provider.bills().values())
    codes = {(line["error"] or {}).get("code") for line in error.values()}
    assert codes == {"expired": {"batch_expired"}, "in_progress": {"batch_cancelled"}, "completed": {None}}.get(
        status, set()
    )


def test_a_job_can_vanish(provider: SimulatedProvider, client: openai.OpenAI) -> None:
    """Nobody knows it any more, it is on no list, and nothing of it is billed."""
    batch = start(client, [chat("gone", user="simulate:job_vanish")])
    assert client.batches.retrieve(batch.id).status == "validating"
    provider.advance(JOB_SECONDS)
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve(batch.id)
    assert not client.batches.list().data and not provider.bills()
    assert [(job["id"], job["is_known"]) for job in provider.jobs()] == [(batch.id, False)]


def test_items_go_wrong_by_themselves(provider: SimulatedProvider, client: openai.OpenAI) -> None:
    """One fails with its status, one is in no file, one never comes in time; and an item that fails at its first
    attempt is answered at its second, wherever that is."""
    bodies = [chat("good"), chat("lost", user="simulate:missing"), chat("late", user="simulate:hang")]
    bodies.append(chat("flaky", user="simulate:status:503x1"))
    bodies.append(chat("by its text [simulate: status:400]"))
    batch = start(client, bodies)
    provider.advance(JOB_SECONDS)
    output, error = results(client, client.batches.retrieve(batch.id))
    assert output.keys() == {"item-0"} and error.keys() == {"item-2", "item-3", "item-4"}
    assert error["item-2"]["error"]["code"] == "batch_expired"
    statuses = [error[name]["response"]["status_code"] for name in ("item-3", "item-4")]
    assert statuses == [503, 400] and error["item-3"]["response"]["body"]["error"]["message"]
    client.post("/chat/completions", body=bodies[3], cast_to=object)
    assert provider.counts()[request_hash(bodies[3])] == (2, 1)
    assert provider.bills()[text_hash(bodies[3])] == Billed(realtime=1)


def test_wrong_lines_fail_the_batch_when_it_is_validated(provider: SimulatedProvider, client: openai.OpenAI) -> None:
    """Not when it is created; each error has its code and its line."""
    same = lines_of([chat("a")])
    other = lines_of([chat("b", model="gpt-4o")]).replace(b"item-0", b"item-1")
    elsewhere = lines_of([chat("c")], "/v1/embeddings").replace(b"item-0", b"item-2")
    file = client.files.create(file=("in.jsonl", same + same + b"{no\n" + other + elsewhere), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    assert batch.status == "validating"
    provider.advance(JOB_SECONDS)
    batch = client.batches.retrieve(batch.id)
    assert batch.status == "failed" and batch.failed_at and batch.errors and batch.errors.data
    assert [(error.code, error.line) for error in batch.errors.data] == [
        ("duplicate_custom_id", 2),
        ("invalid_json_line", 3),
        ("url_mismatch", 5),
        ("model_mismatch", None),
    ]
    assert provider.stats()["requests"] == 0


def test_limits_of_a_client_are_kept(provider: SimulatedProvider, client: openai.OpenAI) -> None:
    """Above its enqueued tokens a batch fails and says so; above the most jobs side by side none is made."""
    provider.configure(enqueued_tokens=50)
    batches = [start(client, [chat(f"x{number}")]) for number in range(3)]
    provider.advance(JOB_SECONDS / 2)
    failed = [client.batches.retrieve(batch.id).errors for batch in batches]
    assert failed[:2] == [None, None]
    assert failed[2] is not None and failed[2].data and failed[2].data[0].code == "token_limit_exceeded"
    provider.configure(enqueued_tokens=0, jobs_at_once=2)
    with pytest.raises(openai.RateLimitError):
        start(client, [chat("one more")])
    provider.advance(JOB_SECONDS)
    start(client, [chat("one more")])


def test_calls_can_fail_like_any_others(provider: SimulatedProvider, client: openai.OpenAI) -> None:
    """By their kind, for the first ones or at random; a call with a status has no effect."""
    provider.configure(call_faults={"create": {"status:500x1": 1}, "look": {"status:503x2": 1}})
    with pytest.raises(openai.InternalServerError):
        start(client, [chat("x")])
    batch = start(client, [chat("x")])
    assert len(provider.jobs()) == 1
    for _ in range(2):
        with pytest.raises(openai.InternalServerError):
            client.batches.retrieve(batch.id)
    assert client.batches.retrieve(batch.id).id == batch.id
    calls = {call["operation"]: call["calls"] for call in provider.stats()["job_calls"]}
    assert calls == {"upload": 2, "create": 2, "look": 3}
    provider.configure(call_faults={"create": {"late_status:502": 1}})
    with pytest.raises(openai.InternalServerError):
        start(client, [chat("made all the same")])
    assert len(provider.jobs()) == 2
    with pytest.raises(ValueError, match="creation"):
        provider.configure(call_faults={"creation": {"reset": 1}})


def test_files_are_deleted_and_that_is_recorded(provider: SimulatedProvider, client: openai.OpenAI) -> None:
    """Their content is gone for the client, and tests see that it is."""
    batch = start(client, [chat("x")])
    provider.advance(JOB_SECONDS)
    batch = client.batches.retrieve(batch.id)
    assert batch.output_file_id
    file = client.files.retrieve(batch.output_file_id)
    assert file.purpose == "batch_output" and file.status == "processed"
    assert [found.id for found in client.files.list(purpose="batch_output")] == [file.id]
    for name in (batch.input_file_id, batch.output_file_id):
        assert client.files.delete(name).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.content(batch.output_file_id)
    assert [entry["deleted"] for entry in provider.files()] == [True, True]


def test_nobody_sees_the_jobs_and_files_of_another_key(provider: SimulatedProvider, client: openai.OpenAI) -> None:
    """Nor those of another provider."""
    batch = start(client, [chat("secret")])
    stranger = client.with_options(api_key="sk-other")
    elsewhere = client.with_options(base_url=provider.url_of("edge"))
    for other in (stranger, elsewhere):
        assert not other.batches.list().data and not list(other.files.list())
        for look in (
            lambda o=other: o.batches.retrieve(batch.id),
            lambda o=other: o.files.content(batch.input_file_id),
        ):
            with pytest.raises(openai.NotFoundError):
                look()


def test_a_provider_without_a_batch_api_answers_404(provider: SimulatedProvider, client: openai.OpenAI) -> None:
    """For files and batches; its realtime calls are answered."""
    provider.configure(without_jobs=["edge"])
    edge = client.with_options(base_url=provider.url_of("edge"))
    with pytest.raises(openai.NotFoundError):
        start(edge, [chat("x")])
    assert edge.chat.completions.create(**chat("x")).choices
    assert start(client, [chat("x")]).id


def test_flex_is_a_mode_of_its_own(provider: SimulatedProvider, client: openai.OpenAI) -> None:
    """The answer says that it was flex, it is billed as flex, and it has faults of its own."""
    body = chat("cheap", service_tier="flex")
    assert client.chat.completions.create(**body).service_tier == "flex"
    assert provider.bills()[text_hash(chat("cheap"))] == Billed(flex=1)
    provider.configure(flex_faults={"resource_unavailable": 1})
    with pytest.raises(openai.RateLimitError) as refused:
        client.chat.completions.create(**body)
    assert refused.value.code == "resource_unavailable"
    assert client.chat.completions.create(**chat("dear")).service_tier == "default"


def test_a_long_prompt_is_cached_for_minutes(provider: SimulatedProvider, client: openai.OpenAI) -> None:
    """From 1,024 tokens on, in steps of 128: the second request with the same beginning pays less for it."""
    long = "Once upon a time. " * 400

    def cached(first: str, key: str = "sk-test") -> int:
        turns = [{"role": "system", "content": first}, {"role": "user", "content": "and then?"}]
        answer = client.with_options(api_key=key).chat.completions.create(model="gpt-4o", messages=turns)
        assert answer.usage is not None and answer.usage.prompt_tokens_details is not None
        return answer.usage.prompt_tokens_details.cached_tokens or 0

    assert [cached(long), cached(long), cached(long[:5000] + "x")] == [0, 1792, 1152]
    assert [cached("another" + long), cached(long, "sk-other"), cached("short"), cached("short")] == [0, 0, 0, 0]
    provider.configure(cache_seconds=0)
    assert cached(long) == 0


@pytest.mark.parametrize("speed", [1_000_000.0])
def test_the_clock_of_jobs_can_be_sped_up(provider: SimulatedProvider, client: openai.OpenAI, speed: float) -> None:
    """A thousand seconds of a job in a millisecond; still nothing of it falls between two looks."""
    provider.configure(clock_speed=speed)
    batch = start(client, [chat(f"fast {number}") for number in range(50)])
    while batch.status != "completed":
        batch = client.batches.retrieve(batch.id)
    assert batch.completed_at == pytest.approx(batch.created_at + JOB_SECONDS, abs=1)
    output, error = results(client, batch)
    assert len(output) == 50 and not error


def test_azure_is_openai_at_paths_of_its_own(provider: SimulatedProvider) -> None:
    """With its own header for the key, at the older paths and at `/openai/v1`."""
    with openai.AzureOpenAI(
        azure_endpoint=root_of(provider, "azure"), api_key="az-key", api_version="2025-03-01-preview", max_retries=0
    ) as azure:
        assert azure.chat.completions.create(**chat("hello")).choices
        batch = start(azure, [chat("hello")])
        assert azure.batches.retrieve(batch.id).status == "validating"
    with openai.OpenAI(
        base_url=f"{root_of(provider, 'azure')}/openai/v1", api_key="az-key", _strict_response_validation=True
    ) as azure:
        assert [found.id for found in azure.batches.list()] == [batch.id]


def test_groq_is_openai_with_longer_windows(provider: SimulatedProvider) -> None:
    """Groq's own SDK, with its paths: chat completions, files, batches of up to a week."""
    with groq.Groq(
        base_url=root_of(provider, "groq"), api_key="gsk", max_retries=0, _strict_response_validation=True
    ) as client:
        assert client.chat.completions.create(**chat("hello")).choices[0].message.content
        file = client.files.create(file=("in.jsonl", lines_of([chat("a"), chat("b")])), purpose="batch")
        assert file.id is not None
        batch = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="7d")
        assert batch.expires_at == batch.created_at + 7 * DAY_SECONDS
        provider.advance(JOB_SECONDS)
        done = client.batches.retrieve(batch.id)
        assert done.status == "completed" and done.output_file_id
        assert by_id(client.files.content(done.output_file_id).read()).keys() == {"item-0", "item-1"}
        with pytest.raises(groq.BadRequestError):
            client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="1h")  # type: ignore[arg-type]
