"""Translation of chat completions for Bedrock, whatever an item asks for: nothing is dropped without a word."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from batchyard.adapters.providers.bedrock.replies import as_chat_completion
from batchyard.adapters.providers.bedrock.translator import BedrockTranslator
from batchyard.adapters.providers.translator import ProviderRequest, Untranslatable
from batchyard.core.calls import Answer, NoAnswer
from batchyard.core.providers import Provider
from tests.property.test_translation import JSON, chat_bodies, leaves, objects, with_member

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
TRANSLATOR = BedrockTranslator(Provider("bedrock", "bedrock", "https://bedrock-runtime.us-east-1.amazonaws.com"))
MODEL = "global.anthropic.claude-opus-5"


def for_bedrock(body: dict[str, Any]) -> dict[str, Any]:
    """`body` without what Bedrock cannot do: images by URL, tools that may not be used."""
    found: dict[str, Any] = body | {"model": MODEL}
    if found.get("tool_choice") == "none":
        del found["tool_choice"]
    found.pop("parallel_tool_calls", None)
    for message in found["messages"]:
        for part in message["content"] if isinstance(message["content"], list) else ():
            if part["type"] == "image_url":
                url = part["image_url"]["url"].removeprefix("https://x.example/").removesuffix(".png")
                part["image_url"]["url"] = f"data:image/png;base64,{url.rpartition(',')[2]}"
    return found


BODIES = chat_bodies().map(for_bedrock)


def sent_for(body: dict[str, Any]) -> dict[str, Any]:
    request = TRANSLATOR.request(CHAT, orjson.dumps(body))
    assert isinstance(request, ProviderRequest), request
    document: dict[str, Any] = orjson.loads(request.body)
    return document


@given(BODIES)
def test_every_value_of_a_request_is_sent(body: dict[str, Any]) -> None:
    """Each text, number and name of the caller's is found in what goes to Bedrock."""
    sent = orjson.dumps(sent_for(body)).decode()
    assert [value for value in leaves(body) if value not in sent] == []


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
    assert sent_for(with_member(body, place, "surprise", None)) == sent_for(body)


@given(BODIES, JSON, st.data())
def test_anything_at_all_has_an_answer(body: dict[str, Any], anything: Any, data: st.DataObject) -> None:
    """A member that holds something else than it should never breaks the worker, at any endpoint."""
    place = data.draw(st.sampled_from(list(objects(body))))
    found: Any = body
    for step in place:
        found = found[step]
    name = data.draw(st.sampled_from(list(found)))
    broken = orjson.dumps(with_member(body, place, name, anything))
    for endpoint in (CHAT, MESSAGES, "/v1/embeddings"):
        assert isinstance(TRANSLATOR.request(endpoint, broken), ProviderRequest | Untranslatable)


ANSWER = {
    "output": {
        "message": {
            "role": "assistant",
            "content": [
                {"text": "x"},
                {"toolUse": {"toolUseId": "t", "name": "n", "input": {"a": 1}}},
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
                {"reasoningContent": {"redactedContent": "AA=="}},
            ],
        }
    },
    "stopReason": "tool_use",
    "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3, "cacheReadInputTokens": 4},
    "serviceTier": {"type": "default"},
}


@given(JSON, st.data())
def test_any_answer_has_a_reply(anything: Any, data: st.DataObject) -> None:
    """What a vendor sends may be odd; it never breaks the worker."""
    place = data.draw(st.sampled_from(list(objects(ANSWER))))
    found: Any = ANSWER
    for step in place:
        found = found[step]
    name = data.draw(st.sampled_from(list(found)))
    broken = orjson.dumps(with_member(ANSWER, place, name, anything))
    assert isinstance(as_chat_completion(Answer(200, broken, "r"), "m", None, 1.5), Answer | NoAnswer)
