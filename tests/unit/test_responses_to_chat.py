"""Items for OpenAI's responses endpoint at everybody else: requests as chat completions, their answers as responses."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from openai.types.responses import Response

from batchyard.adapters.providers.kinds import translator_of
from batchyard.adapters.providers.openai_replies import Received, reply_of
from batchyard.adapters.providers.translator import ProviderRequest, Untranslatable, refusal
from batchyard.core.calls import Answer, NoAnswer, ProviderReply
from batchyard.core.lanes import Lane, Mode
from batchyard.core.native_limits import BY_VARIANT
from batchyard.core.providers import CHAT_COMPLETIONS, RESPONSES, Provider
from batchyard.core.usage import Usage
from tests.sdk_types import assert_is

LEAST: dict[str, Any] = {"model": "m", "input": "hi"}
SYSTEM, USER = {"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}
TOOL = {"type": "function", "name": "look", "description": "sees", "parameters": {"type": "object"}, "strict": True}
CHAT_TOOL = {"type": "function", "function": {name: value for name, value in TOOL.items() if name != "type"}}
COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 7,
    "model": "m-2026",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    },
}
SERVER = Provider("server", "openai", "https://x.example/v1", variant="together", endpoints=(CHAT_COMPLETIONS,))


def request_for(document: Any, lane: Lane | None = None, provider: Provider = SERVER) -> Any:
    return translator_of(provider).request(RESPONSES, orjson.dumps(document), lane)


def translated(**fields: Any) -> dict[str, Any]:
    """What is sent for a response's request with `fields`; it is held to OpenAI's SDK."""
    request = request_for(LEAST | fields)
    assert isinstance(request, ProviderRequest), request
    assert request.path == "/chat/completions"
    document: dict[str, Any] = orjson.loads(request.body)
    assert_is(CompletionCreateParamsNonStreaming, document)
    return document


def refused(**fields: Any) -> str | None:
    """The parameter that the refusal of such a request names."""
    request = request_for(LEAST | fields)
    assert isinstance(request, Untranslatable), request
    return request.param


def reply(document: Any, status: int = 200, **asked: Any) -> ProviderReply:
    """What the item gets if the provider answers with `document`."""
    request = request_for(LEAST | asked)
    assert isinstance(request, ProviderRequest) and request.read_answer is not None
    answer = reply_of(status, {}, Received(orjson.dumps(document)), 0.0)
    return request.read_answer(answer, 99.0) if isinstance(answer, Answer) else answer


def response(
    message: dict[str, Any] | None = None, asked: dict[str, Any] | None = None, **choice: Any
) -> dict[str, Any]:
    """The response that a completion with this message comes to; it is held to OpenAI's SDK."""
    said = COMPLETION["choices"][0] | ({"message": {"role": "assistant"} | message} if message else {}) | choice
    answer = reply(COMPLETION | {"choices": [said]}, **(asked or {}))
    assert isinstance(answer, Answer) and answer.failure is None
    document: dict[str, Any] = orjson.loads(answer.body)
    Response.model_validate(document)
    return document


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({}, {"messages": [USER]}),
        ({"instructions": "be brief"}, {"messages": [SYSTEM, USER]}),
        ({"max_output_tokens": 9}, {"max_tokens": 9}),
        ({"temperature": 0.5, "top_p": 0.25}, {"temperature": 0.5, "top_p": 0.25}),
        ({"user": "u", "safety_identifier": "s"}, {"user": "u", "safety_identifier": "s"}),
        ({"service_tier": "flex"}, {"service_tier": "flex"}),
        ({"reasoning": {"effort": "low"}}, {"reasoning_effort": "low"}),
        ({"text": {"format": {"type": "text"}, "verbosity": "low"}}, {"verbosity": "low"}),
        ({"text": {"format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
        (
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}}},
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": True}}},
        ),
        (
            {"include": ["message.output_text.logprobs"], "top_logprobs": 2},
            {"logprobs": True, "top_logprobs": 2},
        ),
        ({"tools": [TOOL], "tool_choice": "required"}, {"tools": [CHAT_TOOL], "tool_choice": "required"}),
        ({"tools": [TOOL], "parallel_tool_calls": False}, {"tools": [CHAT_TOOL], "parallel_tool_calls": False}),
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "name": "look"}},
            {"tools": [CHAT_TOOL], "tool_choice": {"type": "function", "function": {"name": "look"}}},
        ),
        (
            {
                "tools": [TOOL],
                "tool_choice": {
                    "type": "allowed_tools",
                    "mode": "auto",
                    "tools": [{"type": "function", "name": "look"}],
                },
            },
            {
                "tools": [CHAT_TOOL],
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "look"}}]},
                },
            },
        ),
        (
            {
                "store": False,
                "background": False,
                "truncation": "disabled",
                "parallel_tool_calls": True,
                "stream": True,
                "metadata": {"a": "b"},
                "prompt_cache_key": "k",
                "tool_choice": "auto",
                "tools": [],
                "include": [],
                "top_logprobs": 0,
                "previous_response_id": None,
                "reasoning": {"effort": None},
            },
            {},
        ),
    ],
)
def test_parameters_are_expressed(fields: dict[str, Any], sent: dict[str, Any]) -> None:
    """Each as chat completions have it, and nothing beside it."""
    assert translated(**fields) == {"model": "m", "messages": [USER]} | sent


def test_input_items_become_messages() -> None:
    """Turns of all roles; what the assistant says and calls is one message, as are images and texts of the user."""
    call = {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "c1",
        "name": "look",
        "arguments": "{}",
        "status": "completed",
    }
    said = {"type": "output_text", "text": "I look.", "annotations": [], "logprobs": []}
    items = [
        {"role": "developer", "content": "be brief"},
        {
            "type": "message",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What is it?"},
                {"type": "input_image", "image_url": "https://x.example/a.png", "detail": "auto"},
                {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"},
                {"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"},
            ],
        },
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [said]},
        call,
        call | {"id": "fc_2", "call_id": "c2"},
        {"type": "function_call_output", "call_id": "c1", "output": "a cat"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "a dog"}]},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"role": "user", "content": "hi"},
    ]
    function = {"name": "look", "arguments": "{}"}
    assert translated(input=items)["messages"] == [
        SYSTEM,
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is it?"},
                {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
            ],
        },
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [{"id": each, "type": "function", "function": function} for each in ("c1", "c2")],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
        {"role": "tool", "tool_call_id": "c2", "content": "a dog"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        USER,
    ]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"background": True}, "background"),
        ({"store": True}, "store"),
        ({"truncation": "auto"}, "truncation"),
        ({"include": ["reasoning.encrypted_content"]}, "include"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"max_tool_calls": 3}, "max_tool_calls"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"reasoning": {"effort": "low", "summary": "auto"}}, "reasoning.summary"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [TOOL], "tool_choice": {"type": "web_search"}}, "tool_choice.type"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}, "input[0].type"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].type"),
        ({"input": [{"role": "critic", "content": "x"}]}, "input[0].role"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0].file_id",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "u"}]}]},
            "input[0].content[0].file_url",
        ),
        (
            {"input": [{"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image"}]}]},
            "input[0].output[0].type",
        ),
        (
            {
                "input": [
                    {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"},
                    {"role": "assistant", "content": "and then?"},
                ]
            },
            "input[1].role",
        ),
    ],
)
def test_what_cannot_be_carried_is_refused(fields: dict[str, Any], param: str) -> None:
    """With the name of the member, as an error of that item alone."""
    assert refused(**fields) == param
    request = request_for(LEAST | fields)
    error = orjson.loads(refusal(request, RESPONSES).body)["error"]
    assert (error["param"], error["type"]) == (param, "invalid_request_error")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"text": {"format": {"type": "json_object"}}}, "text.format"),
        ({"text": {"verbosity": "low"}}, "text.verbosity"),
        ({"temperature": 1.5}, "temperature"),
        ({"input": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "input"),
    ],
)
def test_what_the_vendor_refuses_is_told_in_the_items_words(fields: dict[str, Any], param: str) -> None:
    """Not in those of the chat completion that it was on the way."""
    provider = Provider("anthropic", "anthropic", "https://a.example/v1")
    asked = request_for(LEAST | fields, provider=provider)
    assert isinstance(asked, Untranslatable)
    assert (asked.param, f"'{param}" in asked.message) == (param, True)


def test_an_answer_is_a_response() -> None:
    """With what the request asked for, its tokens in OpenAI's words, and as OpenAI's SDK reads it."""
    asked = {
        "instructions": "be brief",
        "metadata": {"a": "b"},
        "temperature": 0.5,
        "max_output_tokens": 9,
        "tools": [TOOL | {"strict": None}],
        "tool_choice": "auto",
        "text": {"verbosity": "medium"},
    }
    document = response(asked=asked)
    parsed = Response.model_validate(document)
    assert (parsed.output_text, parsed.status, parsed.created_at, parsed.model) == ("Hello", "completed", 7, "m-2026")
    assert (parsed.instructions, parsed.metadata, parsed.temperature) == ("be brief", {"a": "b"}, 0.5)
    assert (parsed.max_output_tokens, parsed.tools[0].type, parsed.tool_choice) == (9, "function", "auto")
    assert parsed.text is not None and parsed.text.format is not None and parsed.text.format.type == "text"
    assert document["usage"] == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 15,
    }
    answer = reply(COMPLETION)
    assert isinstance(answer, Answer) and answer.usage == Usage(10, 4, 5, 2)


def test_calls_and_thoughts_are_items() -> None:
    """Thoughts first, then what is said, then the calls; an empty text beside calls is none."""
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
    said = {"content": "I look.", "reasoning_content": "Hm.", "tool_calls": [call]}
    document = response(said, finish_reason="tool_calls")
    assert [item["type"] for item in document["output"]] == ["reasoning", "message", "function_call"]
    thought, _, called = document["output"]
    assert thought["content"] == [{"type": "reasoning_text", "text": "Hm."}]
    assert (called["call_id"], called["name"], called["arguments"]) == ("c1", "look", '{"at": 1}')
    quiet = response({"content": "", "tool_calls": [call]}, finish_reason="tool_calls")
    assert [item["type"] for item in quiet["output"]] == ["function_call"]
    assert response({"content": ""})["output"][0]["content"][0]["text"] == ""


@pytest.mark.parametrize(
    ("reason", "message", "status", "details"),
    [
        ("stop", {"content": "x"}, "completed", None),
        ("length", {"content": "x"}, "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", {"content": None}, "incomplete", {"reason": "content_filter"}),
        ("content_filter", {"content": None, "refusal": "No."}, "completed", None),
        ("stop", {"content": None, "refusal": "No."}, "completed", None),
    ],
)
def test_how_an_answer_ended(reason: str, message: dict[str, Any], status: str, details: Any) -> None:
    """Cut off, filtered, refused: as OpenAI says it, with the refusal as a part of the message."""
    document = response(message, finish_reason=reason)
    assert (document["status"], document["incomplete_details"]) == (status, details)
    parts = [part for item in document["output"] for part in item["content"]]
    assert [part["refusal"] for part in parts if part["type"] == "refusal"] == (
        [message["refusal"]] if "refusal" in message else []
    )


def test_log_probabilities_and_citations_stand_with_the_text() -> None:
    """In the form that responses have for them; what they have no member for stands at the top."""
    token = {
        "token": "Hel",
        "logprob": -0.5,
        "bytes": None,
        "top_logprobs": [{"token": "Hel", "logprob": -0.5, "bytes": [1]}],
    }
    citation = {"start_index": 0, "end_index": 2, "title": "t", "url": "https://x.example"}
    said = {
        "content": "Hello",
        "annotations": [{"type": "url_citation", "url_citation": citation}],
        "thinking_blocks": [1],
    }
    document = response(said, logprobs={"content": [token]}, native_finish_reason="end_turn")
    (part,) = document["output"][0]["content"]
    assert part["logprobs"] == [token | {"bytes": []}]
    assert part["annotations"] == [{"type": "url_citation", **citation}]
    assert (document["native_finish_reason"], document["thinking_blocks"]) == ("end_turn", [1])


@pytest.mark.parametrize(
    "name", sorted(set(Response.model_fields) - {"id", "created_at", "model", "usage", "service_tier", "metadata"})
)
def test_a_vendors_member_is_not_taken_for_one_of_a_response(name: str) -> None:
    """Chat completions may call something else by the name that a response's member has; it stays, under another."""
    answer = reply(COMPLETION | {name: ["a vendor's"]}) if name != "object" else reply(COMPLETION)
    assert isinstance(answer, Answer)
    document = orjson.loads(answer.body)
    Response.model_validate(document)
    assert name == "object" or document[f"chat_{name}"] == ["a vendor's"]


def test_errors_are_those_of_the_provider() -> None:
    """Both forms have the same; what is no chat completion is no answer."""
    error = {"error": {"message": "too long", "type": "invalid_request_error", "param": None, "code": None}}
    answer = reply(error, 400)
    assert isinstance(answer, Answer) and orjson.loads(answer.body) == error
    assert isinstance(reply({"choices": []}), NoAnswer)


ANSWERS: dict[str, dict[str, Any]] = {
    "openai": COMPLETION,
    "anthropic": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "Hello"}],
        "usage": {"input_tokens": 6, "cache_read_input_tokens": 4, "output_tokens": 5},
    },
    "gemini": {
        "candidates": [{"content": {"role": "model", "parts": [{"text": "Hello"}]}, "finishReason": "STOP"}],
        "usageMetadata": {
            "promptTokenCount": 10,
            "cachedContentTokenCount": 4,
            "candidatesTokenCount": 5,
            "totalTokenCount": 15,
        },
    },
    "bedrock": {
        "output": {"message": {"role": "assistant", "content": [{"text": "Hello"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 6, "outputTokens": 5, "totalTokens": 15, "cacheReadInputTokens": 4},
    },
}


@pytest.mark.parametrize("mode", [Mode.REALTIME, Mode.NATIVE])
@pytest.mark.parametrize("kind", ANSWERS)
def test_every_kind_answers_responses(kind: str, mode: Mode) -> None:
    """The lane's model is asked, in realtime and in the vendor's own batches, and the tokens are counted."""
    endpoints = (CHAT_COMPLETIONS,) if kind == "openai" else ()
    provider = Provider("vendor", kind, "https://v.example/v1", endpoints=endpoints, regions=("us-east-1",))
    asked = request_for(LEAST | {"max_output_tokens": 9}, Lane("vendor", "the-model", mode), provider)
    assert isinstance(asked, ProviderRequest) and asked.read_answer is not None
    assert "the-model" in asked.path + asked.body.decode() and "hi" in asked.body.decode()
    answer = reply_of(200, {}, Received(orjson.dumps(ANSWERS[kind])), 0.0)
    assert isinstance(answer, Answer)
    read = asked.read_answer(answer, 99.0)
    assert isinstance(read, Answer)
    parsed = Response.model_validate_json(read.body)
    assert parsed.output_text == "Hello" and parsed.usage is not None
    assert (parsed.usage.input_tokens, parsed.usage.output_tokens, parsed.max_output_tokens) == (10, 5, 9)
    assert (read.usage.input_tokens, read.usage.cached_tokens, read.usage.output_tokens) == (10, 4, 5)


def test_flex_and_newer_names_reach_openais_models() -> None:
    """A server in OpenAI's variant that has only chat completions."""
    provider = Provider("own", "openai", "https://x.example/v1", endpoints=(CHAT_COMPLETIONS,))
    asked = request_for(LEAST | {"max_output_tokens": 9}, Lane("own", "m", Mode.FLEX), provider)
    assert isinstance(asked, ProviderRequest)
    document = orjson.loads(asked.body)
    assert (document["service_tier"], document["max_completion_tokens"]) == ("flex", 9)


def test_batch_apis_that_take_responses_as_chat_completions_say_so() -> None:
    """All but Groq's, whose entry serves responses itself, in calls only."""
    takers = {variant for variant, limits in BY_VARIANT.items() if RESPONSES in limits.endpoints}
    assert takers == set(BY_VARIANT) - {"groq"}
