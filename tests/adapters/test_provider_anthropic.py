"""Translated items on the wire: against the simulated Anthropic and OpenAI, which refuse what they do not know."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from anthropic.types import Message
from openai.types.chat import ChatCompletion

from batchyard.adapters.providers.answer_memory import AnswerMemory
from batchyard.adapters.providers.kinds import connect
from batchyard.adapters.providers.provider_client import CallLimits
from batchyard.core.calls import Answer, NoAnswer, ProviderReply
from batchyard.core.lanes import Lane, Mode
from batchyard.core.providers import Provider
from batchyard.core.retry import FailureReason
from batchyard.core.usage import Price
from local.provider import Billed, SimulatedProvider, text_hash

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
CLAUDE = "claude-sonnet-5-5"
SCHEMA = {"type": "object", "properties": {"mood": {"enum": ["good"]}, "score": {"type": "integer"}}}
LONG = "Once upon a time. " * 400


@pytest.fixture(scope="module")
def running() -> Iterator[SimulatedProvider]:
    with SimulatedProvider(seed=7) as simulator:
        yield simulator


@pytest.fixture
def simulator(running: SimulatedProvider) -> SimulatedProvider:
    running.reset()
    return running


def send(
    simulator: SimulatedProvider,
    document: dict[str, Any],
    *,
    endpoint: str = CHAT,
    kind: str = "anthropic",
    lane: Lane | None = None,
    **options: Any,
) -> ProviderReply:
    """The reply to an item, from the vendor whose name is that of its kind."""

    async def call() -> ProviderReply:
        url = simulator.url_of(kind)
        client = connect(
            Provider(kind, kind, url, **options), url, CallLimits(5.0, 20.0, 4, 100_000), AnswerMemory(600_000, 100_000)
        )
        try:
            return await client.call(endpoint, "sk-test", orjson.dumps(document), lane)
        finally:
            await client.close()

    return asyncio.run(call())


def completion(reply: ProviderReply) -> ChatCompletion:
    assert isinstance(reply, Answer) and reply.failure is None, reply
    return ChatCompletion.model_validate_json(reply.body, strict=True)


def chat(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": CLAUDE, "messages": [{"role": "user", "content": text}]} | fields


def message(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-5", "max_tokens": 2000, "messages": [{"role": "user", "content": text}]} | fields


def test_a_chat_completion_at_anthropic(simulator: SimulatedProvider) -> None:
    """Answered, counted and billed once; OpenAI's SDK reads the answer."""
    reply = send(simulator, chat("hello", temperature=0.5, stop=["END"], user="u-1", n=1))
    found = completion(reply)
    assert isinstance(reply, Answer) and found.usage is not None and reply.request_id
    assert found.choices[0].message.content and found.choices[0].finish_reason == "stop"
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (
        found.usage.prompt_tokens,
        found.usage.completion_tokens,
    )
    assert simulator.bills() == {text_hash(chat("hello")): Billed(realtime=1)}


def test_tools_schemas_and_thinking(simulator: SimulatedProvider) -> None:
    """What comes back is where OpenAI's clients look for it."""
    tool = {"type": "function", "function": {"name": "rate", "parameters": SCHEMA}}
    used = completion(send(simulator, chat("x", tools=[tool], tool_choice="required"))).choices[0]
    assert used.finish_reason == "tool_calls" and used.message.tool_calls
    (call,) = used.message.tool_calls
    assert call.type == "function" and orjson.loads(call.function.arguments) == {"mood": "good", "score": 1}
    form = {"type": "json_schema", "json_schema": {"name": "rating", "schema": SCHEMA, "strict": True}}
    kept = completion(send(simulator, chat("x", response_format=form))).choices[0].message.content
    assert kept is not None and orjson.loads(kept) == {"mood": "good", "score": 1}
    thought = completion(send(simulator, chat("x", model="claude-opus-4-5", reasoning_effort="low")))
    assert thought.choices[0].message.model_extra and thought.choices[0].message.model_extra["reasoning_content"]


def test_an_answer_can_be_sent_back(simulator: SimulatedProvider) -> None:
    """Calls, their results and thinking, as OpenAI's SDK dumps them, are the next request's conversation."""
    tool = {"type": "function", "function": {"name": "rate", "parameters": SCHEMA}}
    asked = chat("x", model="claude-opus-4-5", tools=[tool], reasoning_effort="low")
    said = completion(send(simulator, asked)).choices[0].message
    results = [{"role": "tool", "tool_call_id": call.id, "content": "done"} for call in said.tool_calls or []]
    assert results
    messages = [*asked["messages"], said.to_dict(), *results]
    assert completion(send(simulator, asked | {"messages": messages})).choices


def test_marks_make_the_vendors_cache_work(simulator: SimulatedProvider) -> None:
    """Without them nothing is cached; with them the second item reads what the first one wrote, at its own price."""
    price = Price(input_microusd=3_000_000, cached_microusd=300_000, output_microusd=0, cache_write_microusd=3_750_000)
    costs = []

    def usage(question: str, cache_marks: bool) -> tuple[int, int]:
        messages = [{"role": "system", "content": LONG}, {"role": "user", "content": question}]
        reply = send(simulator, {"model": CLAUDE, "messages": messages}, cache_marks=cache_marks)
        assert isinstance(reply, Answer)
        fresh = reply.usage.input_tokens - reply.usage.cache_write_tokens - reply.usage.cached_tokens
        costs.append(price.cost_picousd(reply.usage) - fresh * price.input_microusd)
        return reply.usage.cache_write_tokens, reply.usage.cached_tokens

    assert usage("a", False) == usage("b", False) == (0, 0)
    written, read = usage("c", True)
    assert written > 1024 and read == 0
    assert usage("d", True) == (0, written)
    assert costs == [0, 0, written * 3_750_000, written * 300_000]


def test_what_cannot_be_done_is_not_sent(simulator: SimulatedProvider) -> None:
    """The item's error names the parameter, and the vendor hears nothing."""
    reply = send(simulator, chat("x", logprobs=True))
    assert isinstance(reply, Answer) and (reply.status, reply.failure) == (400, FailureReason.UNSUPPORTED)
    assert orjson.loads(reply.body)["error"]["param"] == "logprobs"
    assert simulator.stats()["requests"] == 0


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("status:529", FailureReason.OVERLOADED),
        ("status:500", FailureReason.SERVER_ERROR),
        ("status:429", FailureReason.THROTTLED),
        ("status:401", FailureReason.KEY_REFUSED),
        ("status:400", FailureReason.REJECTED),
        ("disconnect", FailureReason.CONNECTION),
        ("malformed:html", FailureReason.INVALID_RESPONSE),
    ],
)
def test_failures(simulator: SimulatedProvider, fault: str, reason: FailureReason) -> None:
    """Of the same kinds as everybody's; an error is one of the form of its item."""
    for endpoint in (CHAT, MESSAGES):
        document = chat(f"[simulate: {fault}] x", max_tokens=9)
        reply = send(simulator, document, endpoint=endpoint)
        assert reply.failure is reason
        if not isinstance(reply, NoAnswer):
            error = orjson.loads(reply.body)
            assert set(error["error"]) >= {"type", "message"}
            assert (error.get("type") == "error", "param" in error["error"]) == (
                endpoint == MESSAGES,
                endpoint == CHAT,
            )


def test_an_item_in_anthropics_form_goes_everywhere(simulator: SimulatedProvider) -> None:
    """To Anthropic as it is, to OpenAI translated, in flex, too; its answer is a Message that Anthropic's SDK reads."""
    tool = {"name": "rate", "input_schema": SCHEMA}
    document = message("hello", system="Be brief.", tools=[tool], tool_choice={"type": "any"}, stop_sequences=["END"])
    for kind, lane in (
        ("anthropic", Lane("anthropic", CLAUDE)),
        ("openai", Lane("openai", "gpt-5")),
        ("openai", Lane("openai", "gpt-5", Mode.FLEX)),
    ):
        reply = send(simulator, document, endpoint=MESSAGES, kind=kind, lane=lane)
        assert isinstance(reply, Answer) and reply.failure is None, reply
        found = Message.model_validate_json(reply.body, strict=True)
        assert (found.stop_reason, found.content[-1].type) == ("tool_use", "tool_use")
        assert found.usage.input_tokens == reply.usage.input_tokens > 0
    assert simulator.bills() == {text_hash(document): Billed(realtime=2, flex=1)}


def test_flex_of_a_chat_completion(simulator: SimulatedProvider) -> None:
    """Asked for by the lane, billed as flex; a vendor that has no room for it now says so with a 429 that passes."""
    body = {"model": "gpt-5", "messages": [{"role": "user", "content": "hello"}]}
    lane = Lane("openai", "gpt-5", Mode.FLEX)
    assert completion(send(simulator, body, kind="openai", lane=lane)).service_tier == "flex"
    assert simulator.bills() == {text_hash(body): Billed(flex=1)}
    simulator.configure(flex_faults={"resource_unavailable": 1})
    refused = send(simulator, body, kind="openai", lane=lane)
    assert refused.failure is FailureReason.THROTTLED and refused.failure.may_be_retried
