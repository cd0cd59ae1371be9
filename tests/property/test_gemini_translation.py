"""Translation between chat completions and Gemini's form, whatever an item asks for: nothing is dropped without a word,
and what Gemini said can be sent back to it."""

from __future__ import annotations

import copy
from typing import Any

import orjson
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from batchyard.adapters.providers.gemini.replies import chat_completion, usage_of
from batchyard.adapters.providers.gemini.requests import content_request
from batchyard.adapters.providers.gemini.translator import GeminiTranslator
from batchyard.adapters.providers.openai_replies import Received, reply_of
from batchyard.adapters.providers.translator import ProviderRequest, Untranslatable
from batchyard.core.calls import Answer, NoAnswer
from batchyard.core.providers import Provider
from tests.property.test_translation import JSON, Unique, chat_bodies, leaves, objects, with_member

CHAT, EMBEDDINGS, MESSAGES = "/v1/chat/completions", "/v1/embeddings", "/v1/messages"
TRANSLATOR = GeminiTranslator(Provider("gemini", "gemini", "https://generativelanguage.googleapis.com/v1beta"))
MODEL = "gemini-3.8-flash"
_LEFT_OUT = ("parallel_tool_calls", "user")
"""Refused, and without effect."""

Draw = Any


def for_gemini(body: dict[str, Any]) -> dict[str, Any]:
    """A chat completion as Gemini can express all of it, but for the model, which stands in the path."""
    found = {name: value for name, value in copy.deepcopy(body).items() if name not in _LEFT_OUT}
    if found.get("reasoning_effort") == "max":
        found["reasoning_effort"] = "minimal"
    for message in found["messages"]:
        for part in message["content"] if isinstance(message.get("content"), list) else ():
            part.get("file", {}).pop("filename", None)
    return found


BODIES = chat_bodies().map(for_gemini)


@given(BODIES)
def test_every_value_of_a_request_is_sent(body: dict[str, Any]) -> None:
    """Each text, number and name of the caller's is found in what goes to Gemini."""
    request = TRANSLATOR.request(CHAT, orjson.dumps(body))
    assert isinstance(request, ProviderRequest), request
    sent = request.body.decode()
    assert [value for value in leaves(body) if value not in sent] == []


@given(BODIES)
def test_every_request_is_one_of_googles(body: dict[str, Any]) -> None:
    """By the types of Google's SDK, which know no others."""
    request = content_request(body, MODEL)
    config = request.pop("generationConfig")
    TypeAdapter(types.GenerationConfig).validate_python(config)
    if "tools" in request:
        TypeAdapter(list[types.Tool]).validate_python(request.pop("tools"))
    TypeAdapter(types.ToolConfig).validate_python(request.pop("toolConfig", {}))
    TypeAdapter(types.Content).validate_python(request.pop("systemInstruction", {}))
    assert request.pop("serviceTier", "standard") == "standard"
    for content in request.pop("contents"):
        for part in content["parts"]:
            if "inlineData" in part:
                part["inlineData"]["data"] = "AAAA"  # the drawn ones are no base64
        TypeAdapter(types.Content).validate_python(content)
    assert request == {}


@given(BODIES, st.data())
def test_a_member_that_nobody_knows_is_refused(body: dict[str, Any], data: st.DataObject) -> None:
    """Wherever it stands: there is no place in a request where something can get lost."""
    place = data.draw(st.sampled_from(list(objects(body))))
    surprise = TRANSLATOR.request(CHAT, orjson.dumps(with_member(body, place, "surprise", 1)))
    assert isinstance(surprise, Untranslatable), place


@given(BODIES, st.data())
def test_null_is_as_good_as_nothing(body: dict[str, Any], data: st.DataObject) -> None:
    """OpenAI's clients send null for what was not set."""
    place = data.draw(st.sampled_from(list(objects(body))))
    assert content_request(with_member(body, place, "surprise", None), MODEL) == content_request(body, MODEL)


@given(BODIES, JSON, st.data())
def test_anything_at_all_has_an_answer(body: dict[str, Any], anything: Any, data: st.DataObject) -> None:
    """A member that holds something else than it should never breaks the worker."""
    place = data.draw(st.sampled_from(list(objects(body))))
    found: Any = body
    for step in place:
        found = found[step]
    broken = orjson.dumps(with_member(body, place, data.draw(st.sampled_from(list(found))), anything))
    extra = {"extra_body": {"google": anything}, "input": anything, "dimensions": anything}
    for document in (broken, orjson.dumps(body | extra), orjson.dumps(body | {"extra_body": anything})):
        for endpoint in (CHAT, MESSAGES, EMBEDDINGS):
            assert isinstance(TRANSLATOR.request(endpoint, document), ProviderRequest | Untranslatable)


@st.composite
def model_parts(draw: Draw) -> list[dict[str, Any]]:
    """What a model of Gemini's may say in one turn."""
    unique = Unique()
    parts: list[dict[str, Any]] = []
    if draw(st.booleans()):
        parts.append({"text": unique.text(), "thought": True})
    if draw(st.booleans()):
        parts.append({"text": unique.text()})
    for _ in range(draw(st.integers(0, 2))):
        parts.append({"executableCode": {"language": "PYTHON", "code": unique.text()}})
    if parts and draw(st.booleans()):
        parts[-1]["thoughtSignature"] = unique.text()
    for number in range(draw(st.integers(0 if parts else 1, 3))):
        call = {"id": unique.text(), "name": unique.text(), "args": {unique.text(): [unique.number(), unique.text()]}}
        parts.append({"functionCall": call} | ({"thoughtSignature": unique.text()} if number == 0 else {}))
    return parts


@given(model_parts())
def test_what_gemini_said_can_be_sent_back(parts: list[dict[str, Any]]) -> None:
    """Thoughts, calls, signatures and all, as the vendor wants it: unchanged."""
    response = {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]}
    completion = chat_completion(response, MODEL, 1)
    assert completion is not None
    said = orjson.loads(orjson.dumps(completion["choices"][0]["message"]))
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "x"} for call in said.get("tool_calls", ())]
    question = {"role": "user", "content": "x"}
    request = content_request({"messages": [question, said, *results, question]}, MODEL)
    assert request["contents"][1] == {"role": "model", "parts": parts}


@st.composite
def responses(draw: Draw) -> dict[str, Any]:
    token = {"token": "a", "tokenId": 1, "logProbability": -1.0}
    candidate = {
        "content": {"role": "model", "parts": draw(model_parts())},
        "finishReason": draw(st.sampled_from(["STOP", "SAFETY", "MAX_TOKENS"])),
        "index": 0,
        "logprobsResult": {"chosenCandidates": [token], "topCandidates": [{"candidates": [token]}]},
    }
    return {
        "candidates": [candidate],
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "thoughtsTokenCount": 1},
        "responseId": "r",
        "modelVersion": "m",
    }


@given(responses(), JSON, st.data())
def test_any_answer_has_a_reply(response: dict[str, Any], anything: Any, data: st.DataObject) -> None:
    """What a vendor sends may be odd anywhere; it never breaks the worker."""
    place = data.draw(st.sampled_from(list(objects(response))))
    found: Any = response
    for step in place:
        found = found[step]
    broken = with_member(response, place, data.draw(st.sampled_from(list(found))), anything)
    chat_completion(broken, MODEL, 1)
    usage_of(broken)
    bodies = {
        CHAT: b'{"messages":[{"role":"user","content":"x"}]}',
        MESSAGES: b'{"max_tokens":1,"messages":[{"role":"user","content":"x"}]}',
        EMBEDDINGS: b'{"input":"x"}',
    }
    detail = {"reason": anything, "retryDelay": anything, "violations": anything, "fieldViolations": [anything]}
    failed = {"error": {"message": anything, "status": "INTERNAL", "details": [detail, anything]}}
    for endpoint, body in bodies.items():
        request = TRANSLATOR.request(endpoint, body)
        assert isinstance(request, ProviderRequest) and request.read_answer is not None
        for status, document in ((200, broken), (200, {"embedding": anything}), (429, failed)):
            answer = reply_of(status, {}, Received(orjson.dumps(document)), 1.0)
            if isinstance(answer, Answer):
                assert isinstance(request.read_answer(answer, 1.0), Answer | NoAnswer)
