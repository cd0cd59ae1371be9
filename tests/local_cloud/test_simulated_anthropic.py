"""The simulated provider has Anthropic's Messages and Message Batches; Anthropic's own SDK reads every word of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from anthropic.types.messages import MessageBatch

from batchyard.core.ratelimits import read_rate_advice
from local.provider import Billed, SimulatedProvider, text_hash
from tests.local_cloud.vendor_clients import DAY_SECONDS, JOB_SECONDS, chat, provider, root_of, running

__all__ = ["provider", "running"]

MODEL = "claude-sonnet-5-5"
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"mood": {"enum": ["good"]}, "score": {"type": "integer"}}}


@pytest.fixture
def client(provider: SimulatedProvider) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(
        base_url=root_of(provider, "anthropic"), api_key="sk-ant", max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


def params(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "max_tokens": 2000, "messages": [{"role": "user", "content": text}], **fields}


def start(client: anthropic.Anthropic, all_params: list[dict[str, Any]]) -> MessageBatch:
    requests: Any = [{"custom_id": f"item-{number}", "params": each} for number, each in enumerate(all_params)]
    return client.messages.batches.create(requests=requests)


def results(client: anthropic.Anthropic, batch: MessageBatch) -> dict[str, Any]:
    lines = list(client.messages.batches.results(batch.id))
    found = {line.custom_id: line.result for line in lines}
    assert len(found) == len(lines)
    return found


def test_a_message_is_answered_as_anthropic_does(provider: SimulatedProvider, client: anthropic.Anthropic) -> None:
    """Text, thinking, a tool's use, a schema that is kept to; the same text has the same name in OpenAI's form."""
    plain = client.messages.create(**params("hello", system="Be brief."))
    assert (plain.role, plain.stop_reason, plain.content[0].type) == ("assistant", "end_turn", "text")
    assert plain.usage.input_tokens > 0 and plain.usage.output_tokens > 0
    assert provider.bills() == {text_hash(chat("hello")): Billed(realtime=1)}
    thought = client.messages.create(**params("x", thinking={"type": "enabled", "budget_tokens": 1024}))
    assert [block.type for block in thought.content] == ["thinking", "text"]
    tool = {"name": "rate", "input_schema": SCHEMA}
    used = client.messages.create(**params("x", tools=[tool]))
    assert used.stop_reason == "tool_use" and used.content[0].type == "tool_use"
    assert used.content[0].input == {"mood": "good", "score": 1}
    kept = client.messages.create(**params("x", output_config={"format": {"type": "json_schema", "schema": SCHEMA}}))
    assert kept.content[0].type == "text" and kept.content[0].text == '{"mood":"good","score":1}'
    with client.messages.stream(**params("a stream")) as stream:
        assert len(stream.get_final_text()) == 4 * stream.get_final_message().usage.output_tokens > 0


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "role"),
        ({"presence_penalty": 1}, "presence_penalty: Extra"),
        ({"metadata": {"tag": "x"}}, "metadata.tag"),
        ({"temperature": 1}, "temperature: Extra"),
    ],
)
def test_what_anthropic_refuses_is_refused(client: anthropic.Anthropic, wrong: dict[str, Any], words: str) -> None:
    """In its own envelope: what a translation leaves in by mistake does not pass."""
    body = {name: value for name, value in (params("x") | wrong).items() if value is not None}
    with pytest.raises(anthropic.BadRequestError, match=words) as refused:
        client.post("/v1/messages", body=body, cast_to=object)
    assert refused.value.type == "invalid_request_error"
    assert refused.value.response.headers["request-id"]


def test_the_version_decides_what_is_taken(client: anthropic.Anthropic) -> None:
    """The first one takes sampling and no system turns, the second one the other way round."""
    system: Any = [{"role": "user", "content": "x"}, {"role": "system", "content": "Be brief."}]
    assert client.messages.create(model=MODEL, max_tokens=9, messages=system).content
    first = client.with_options(default_headers={"anthropic-version": "2023-06-01"})
    with pytest.raises(anthropic.BadRequestError, match="role"):
        first.messages.create(model=MODEL, max_tokens=9, messages=system)
    assert first.messages.create(**params("x"), extra_body={"temperature": 0.5, "top_k": 3}).content
    with pytest.raises(anthropic.BadRequestError, match="less than or equal to 1"):
        first.messages.create(**params("x"), extra_body={"temperature": 1.5})
    unknown = client.with_options(default_headers={"anthropic-version": "2020-01-01"})
    with pytest.raises(anthropic.BadRequestError, match="anthropic-version"):
        unknown.messages.create(**params("x"))


@pytest.mark.parametrize(
    ("fault", "error", "kind"),
    [
        ("status:529", anthropic.APIStatusError, "overloaded_error"),
        ("status:500", anthropic.InternalServerError, "api_error"),
        ("status:401", anthropic.AuthenticationError, "authentication_error"),
        ("status:429", anthropic.RateLimitError, "rate_limit_error"),
        ("disconnect", anthropic.APIConnectionError, None),
    ],
)
def test_a_message_goes_wrong_as_it_asks_to(
    provider: SimulatedProvider, client: anthropic.Anthropic, fault: str, error: type[Exception], kind: str | None
) -> None:
    """In its text or as its user, for some attempts; what fails is not billed."""
    for body in (params(f"[simulate: {fault}x1] hello"), params("x", metadata={"user_id": f"simulate:{fault}x1"})):
        with pytest.raises(error) as failed:
            client.messages.create(**body)
        assert getattr(failed.value, "type", None) == kind
        assert client.messages.create(**body).content
        assert provider.bills()[text_hash(body)] == Billed(realtime=1)


def test_limits_are_told_in_anthropics_headers(provider: SimulatedProvider, client: anthropic.Anthropic) -> None:
    """The same figures as OpenAI's, with times instead of seconds."""
    provider.configure(rate_per_second=0.05, burst=3, rate_headers=True)
    headers = client.messages.with_raw_response.create(**params("x")).headers
    advice = read_rate_advice(dict(headers), 0)
    assert advice is not None and advice.requests is not None
    assert (advice.requests.limit, advice.requests.remaining) == (3, 2)
    assert "anthropic-ratelimit-requests-reset" in headers and headers["request-id"].startswith("req_")


def test_only_marked_prompts_are_cached(client: anthropic.Anthropic) -> None:
    """Up to the mark, and only from 1,024 tokens on; what is written is told apart from what is read."""
    long = "Once upon a time. " * 400

    def usage(text: str, question: str, marked: bool = True) -> tuple[int, int]:
        mark = {"cache_control": {"type": "ephemeral"}} if marked else {}
        system = [{"type": "text", "text": text, **mark}]
        used = client.messages.create(**params(question, system=system)).usage
        return used.cache_creation_input_tokens or 0, used.cache_read_input_tokens or 0

    assert usage(long, "a", marked=False) == usage(long, "b", marked=False) == usage("short", "a") == (0, 0)
    written, read = usage(long, "a")
    assert written > 1024 and read == 0
    assert usage(long, "b") == (0, written)


def test_a_batch_of_messages_lives_as_anthropics_do(provider: SimulatedProvider, client: anthropic.Anthropic) -> None:
    """No word of progress until all of it has ended; then results by id, in another order, billed once, as a batch."""
    bodies = [params(f"item {number}") for number in range(10)]
    batch = start(client, bodies)
    assert (batch.processing_status, batch.results_url) == ("in_progress", None)
    assert (batch.expires_at - batch.created_at).total_seconds() == DAY_SECONDS
    provider.advance(JOB_SECONDS * 0.6)
    assert client.messages.batches.retrieve(batch.id).request_counts.processing == 10
    with pytest.raises(anthropic.AnthropicError):
        client.messages.batches.results(batch.id)
    with pytest.raises(anthropic.BadRequestError):
        client.messages.batches.delete(batch.id)
    provider.advance(JOB_SECONDS * 0.6)
    batch = client.messages.batches.retrieve(batch.id)
    assert (batch.processing_status, batch.request_counts.succeeded, batch.ended_at is None) == ("ended", 10, False)
    found = results(client, batch)
    assert found.keys() == {f"item-{number}" for number in range(10)} and list(found) != sorted(found)
    assert {result.message.usage.service_tier for result in found.values()} == {"batch"}
    assert [provider.bills()[text_hash(body)] for body in bodies] == [Billed(native=1)] * 10
    assert client.messages.batches.delete(batch.id).type == "message_batch_deleted"
    with pytest.raises(anthropic.NotFoundError):
        client.messages.batches.retrieve(batch.id)
    assert [job["is_deleted"] for job in provider.jobs()] == [True]


@pytest.mark.parametrize(
    ("fault", "after", "cancel", "counts"),
    [
        ("job_expire:40", DAY_SECONDS, False, {"succeeded": 4, "expired": 6}),
        ("job_stall:40", DAY_SECONDS * 2, True, {"succeeded": 4, "canceled": 6}),
        ("job_fail_items:40", JOB_SECONDS, False, {"succeeded": 6, "errored": 4}),
        ("job_invalid", JOB_SECONDS, False, {"errored": 10}),
    ],
)
def test_batches_of_messages_go_wrong_as_they_are_asked_to(
    provider: SimulatedProvider,
    client: anthropic.Anthropic,
    fault: str,
    after: float,
    cancel: bool,
    counts: dict[str, int],
) -> None:
    """Each item says what became of it, and the counts say the same; only what succeeded is billed."""
    provider.configure(job_faults={fault: 1})
    batch = start(client, [params(f"wrong {number}") for number in range(10)])
    provider.advance(after)
    if cancel:
        assert client.messages.batches.cancel(batch.id).processing_status == "canceling"
        provider.advance(JOB_SECONDS)
    batch = client.messages.batches.retrieve(batch.id)
    assert batch.processing_status == "ended"
    assert {name: count for name, count in batch.request_counts.to_dict().items() if count} == counts
    kinds = [result.type for result in results(client, batch).values()]
    assert {kind: kinds.count(kind) for kind in kinds} == counts
    assert sum(billed.native for billed in provider.bills().values()) == counts.get("succeeded", 0)


@pytest.mark.parametrize(("fault", "succeeded"), [(None, 6), ("job_expire:50", 3)])
def test_counts_sum_up_when_items_are_missing(
    provider: SimulatedProvider, client: anthropic.Anthropic, fault: str | None, succeeded: int
) -> None:
    """Items that are in no result are counted all the same, as Anthropic promises: the counts sum to the number of
    requests from the first look to the last."""
    provider.configure(job_faults={fault: 1} if fault else {})
    lost = ("[simulate: missing]" if number % 3 == 0 else "" for number in range(6))
    batch = start(client, [params(f"item {number} {wish}") for number, wish in enumerate(lost)])
    assert sum(batch.request_counts.to_dict().values()) == 6
    provider.advance(DAY_SECONDS)
    batch = client.messages.batches.retrieve(batch.id)
    counts = batch.request_counts
    assert (sum(counts.to_dict().values()), counts.succeeded, counts.processing) == (6, succeeded, 0)
    found = results(client, batch)
    assert 0 < len(found) < 6
    assert all(result.type in ("succeeded", "expired") for result in found.values())


def test_wrong_params_are_that_items_error(provider: SimulatedProvider, client: anthropic.Anthropic) -> None:
    """Only ids are looked at when a batch is created."""
    bodies = [params("good"), params("bad", n=2), params("down [simulate: status:529]"), params("hot", temperature=1)]
    batch = start(client, bodies)
    provider.advance(JOB_SECONDS)
    found = results(client, batch)
    assert "temperature" in found["item-3"].error.error.message
    assert found["item-0"].type == "succeeded"
    assert found["item-1"].error.error.type == "invalid_request_error" and "n: " in found["item-1"].error.error.message
    assert found["item-2"].error.error.type == "overloaded_error"
    for wrong in ("x" * 65, "a b", "item-0"):
        requests: Any = [{"custom_id": name, "params": params("x")} for name in ("item-0", wrong)]
        with pytest.raises(anthropic.BadRequestError, match="custom_id"):
            client.messages.batches.create(requests=requests)


def test_batches_of_messages_are_listed(provider: SimulatedProvider, client: anthropic.Anthropic) -> None:
    """Newest first, in pages; one whose answer was lost is among them."""
    provider.configure(call_faults={"create": {"resetx1": 1}})
    with pytest.raises(anthropic.APIConnectionError):
        start(client, [params("lost")])
    made = [start(client, [params(f"x{number}")]).id for number in range(3)]
    listed = [batch.id for batch in client.messages.batches.list(limit=2)]
    assert listed[:3] == made[::-1] and len(listed) == 4
    before = client.messages.batches.list(before_id=made[0], limit=1)
    assert [batch.id for batch in before.data] == [made[1]] and before.has_more


def test_anthropic_also_has_openais_chat_completions(provider: SimulatedProvider) -> None:
    """Beside its own, for those who ask for them."""
    with openai.OpenAI(
        base_url=provider.url_of("anthropic"), api_key="sk-ant", max_retries=0, _strict_response_validation=True
    ) as client:
        assert client.chat.completions.create(**chat("hello", model=MODEL)).choices[0].message.content
