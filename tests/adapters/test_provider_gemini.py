"""Items at Gemini on the wire: against the simulated one, which refuses what it does not know."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from anthropic.types import Message
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion

from batchyard.adapters.providers.answer_memory import AnswerMemory
from batchyard.adapters.providers.kinds import connect
from batchyard.adapters.providers.provider_client import CallLimits
from batchyard.core.calls import Answer, NoAnswer, ProviderReply
from batchyard.core.lanes import Lane, Mode
from batchyard.core.providers import Provider
from batchyard.core.retry import FailureReason
from local.provider import Billed, SimulatedProvider, text_hash

CHAT, EMBEDDINGS, MESSAGES = "/v1/chat/completions", "/v1/embeddings", "/v1/messages"
GEMINI = "gemini-3.8-flash"
SCHEMA = {"type": "object", "properties": {"mood": {"enum": ["good"]}, "score": {"type": "integer"}}}
TOOL = {"type": "function", "function": {"name": "rate", "parameters": SCHEMA, "strict": True}}
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
    simulator: SimulatedProvider, document: dict[str, Any], endpoint: str = CHAT, lane: Lane | None = None
) -> ProviderReply:
    """The reply to an item."""

    async def call() -> ProviderReply:
        url = simulator.url_of("gemini")
        limits = CallLimits(5.0, 20.0, 4, 200_000)
        client = connect(Provider("gemini", "gemini", url), url, limits, AnswerMemory(600_000, 200_000))
        try:
            return await client.call(endpoint, "g-test", orjson.dumps(document), lane)
        finally:
            await client.close()

    return asyncio.run(call())


def completion(reply: ProviderReply) -> ChatCompletion:
    assert isinstance(reply, Answer) and reply.failure is None, reply
    return ChatCompletion.model_validate_json(reply.body, strict=True)


def chat(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": GEMINI, "messages": [{"role": "user", "content": text}]} | fields


def test_a_chat_completion_at_gemini(simulator: SimulatedProvider) -> None:
    """Answered, counted and billed once, with all that can be asked for; OpenAI's SDK reads the answer."""
    wishes = {"temperature": 0.5, "top_p": 0.9, "stop": ["END"], "seed": 7, "max_completion_tokens": 50, "user": "u-1"}
    wishes |= {"frequency_penalty": 0.1, "presence_penalty": 0.1, "logprobs": True, "top_logprobs": 2, "n": 2}
    reply = send(simulator, chat("hello", service_tier="default", **wishes))
    found = completion(reply)
    assert isinstance(reply, Answer) and found.usage is not None
    assert [choice.finish_reason for choice in found.choices] == ["stop", "stop"]
    assert found.choices[0].message.content
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (
        found.usage.prompt_tokens,
        found.usage.completion_tokens,
    )
    assert simulator.bills() == {text_hash(chat("hello")): Billed(realtime=1)}


def test_tools_schemas_and_thoughts(simulator: SimulatedProvider) -> None:
    """What comes back is where OpenAI's clients look for it."""
    used = completion(send(simulator, chat("x", tools=[TOOL], tool_choice="required"))).choices[0]
    assert used.finish_reason == "tool_calls" and used.message.tool_calls
    (call,) = used.message.tool_calls
    assert call.type == "function" and orjson.loads(call.function.arguments) == {"mood": "good", "score": 1}
    form = {"type": "json_schema", "json_schema": {"name": "rating", "schema": SCHEMA, "strict": True}}
    kept = completion(send(simulator, chat("x", response_format=form))).choices[0].message.content
    assert kept is not None and orjson.loads(kept) == {"mood": "good", "score": 1}
    asked = {"google": {"thinking_config": {"include_thoughts": True}}}
    thought = completion(send(simulator, chat("x", reasoning_effort="high", extra_body=asked))).choices[0].message
    assert thought.model_extra and thought.model_extra["reasoning_content"]


@pytest.mark.parametrize("model", ["gemini-2.5-flash", GEMINI])
def test_an_answer_can_be_sent_back(simulator: SimulatedProvider, model: str) -> None:
    """Calls and their results, as OpenAI's SDK dumps them, are the next request's conversation."""
    asked = chat("x", model=model, tools=[TOOL])
    said = completion(send(simulator, asked)).choices[0].message
    results = [{"role": "tool", "tool_call_id": call.id, "content": "done"} for call in said.tool_calls or []]
    assert results
    messages = [*asked["messages"], said.to_dict(), *results]
    assert completion(send(simulator, asked | {"messages": messages})).choices


def test_the_vendors_cache_is_counted(simulator: SimulatedProvider) -> None:
    """It needs no marks; the second item reads what the first one left."""

    def cached(question: str) -> int:
        messages = [{"role": "system", "content": LONG}, {"role": "user", "content": question}]
        reply = send(simulator, {"model": GEMINI, "messages": messages})
        assert isinstance(reply, Answer)
        return reply.usage.cached_tokens

    assert cached("a") == 0 and cached("b") > 1024


def test_embeddings(simulator: SimulatedProvider) -> None:
    """One and several, of the length that was asked for."""
    for given, count in (("one", 1), (["one", "two", "three"], 3)):
        document = {"model": "gemini-embedding-001", "input": given, "dimensions": 8}
        reply = send(simulator, document, EMBEDDINGS)
        assert isinstance(reply, Answer) and reply.failure is None, reply
        found = CreateEmbeddingResponse.model_validate_json(reply.body)
        assert [len(one.embedding) for one in found.data] == [8] * count


def test_an_item_in_anthropics_form(simulator: SimulatedProvider) -> None:
    """Its answer is a Message that Anthropic's SDK reads; the lane's model counts."""
    tool = {"name": "rate", "input_schema": SCHEMA}
    document = {"model": "claude-opus-5", "max_tokens": 2000, "messages": [{"role": "user", "content": "hello"}]}
    document |= {"system": "Be brief.", "tools": [tool], "tool_choice": {"type": "any"}, "stop_sequences": ["END"]}
    reply = send(simulator, document, MESSAGES, Lane("gemini", GEMINI))
    assert isinstance(reply, Answer) and reply.failure is None, reply
    found = Message.model_validate_json(reply.body, strict=True)
    assert (found.stop_reason, found.content[-1].type, found.model) == ("tool_use", "tool_use", GEMINI)
    assert found.usage.input_tokens == reply.usage.input_tokens > 0


def test_flex(simulator: SimulatedProvider) -> None:
    """Asked for by the lane, billed as flex; that there is no room for it now passes."""
    lane = Lane("gemini", GEMINI, Mode.FLEX)
    completion(send(simulator, chat("hello"), lane=lane))
    assert simulator.bills() == {text_hash(chat("hello")): Billed(flex=1)}
    simulator.configure(flex_faults={"resource_unavailable": 1})
    refused = send(simulator, chat("hello"), lane=lane)
    assert refused.failure is FailureReason.THROTTLED and refused.failure.may_be_retried


def test_what_cannot_be_done_is_not_sent(simulator: SimulatedProvider) -> None:
    """The item's error names the parameter, and the vendor hears nothing."""
    reply = send(simulator, chat("x", logit_bias={"5": 1}))
    assert isinstance(reply, Answer) and (reply.status, reply.failure) == (400, FailureReason.UNSUPPORTED)
    assert orjson.loads(reply.body)["error"]["param"] == "logit_bias"
    assert simulator.stats()["requests"] == 0


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("status:503", FailureReason.OVERLOADED),
        ("status:500", FailureReason.SERVER_ERROR),
        ("status:429", FailureReason.THROTTLED),
        ("status:401", FailureReason.KEY_REFUSED),
        ("status:400", FailureReason.REJECTED),
        ("disconnect", FailureReason.CONNECTION),
        ("malformed:html", FailureReason.INVALID_RESPONSE),
        ("malformed:empty", FailureReason.INVALID_RESPONSE),
        ("malformed:error", FailureReason.SERVER_ERROR),
    ],
)
def test_failures(simulator: SimulatedProvider, fault: str, reason: FailureReason) -> None:
    """Of the same kinds as everybody's; an error is one of the form of its item."""
    for endpoint in (CHAT, MESSAGES):
        reply = send(simulator, chat(f"[simulate: {fault}] x", max_tokens=9), endpoint)
        assert reply.failure is reason
        if not isinstance(reply, NoAnswer):
            error = orjson.loads(reply.body)
            assert set(error["error"]) >= {"type", "message"}
            assert (error.get("type") == "error", "param" in error["error"]) == (endpoint == MESSAGES, endpoint == CHAT)
