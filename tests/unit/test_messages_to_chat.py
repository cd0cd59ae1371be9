"""Anthropic's form at everybody else: requests as chat completions, their answers as Messages."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest
from anthropic.types import Message
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming

from batchyard.adapters.providers.openai.translator import OpenAITranslator
from batchyard.adapters.providers.openai_replies import Received, reply_of
from batchyard.adapters.providers.translator import ProviderRequest, Untranslatable, refusal
from batchyard.core.calls import Answer, NoAnswer, ProviderReply
from batchyard.core.lanes import Lane, Mode
from batchyard.core.providers import Provider
from batchyard.core.retry import FailureReason
from batchyard.core.usage import Usage
from tests.sdk_types import assert_is

MESSAGES = "/v1/messages"
USER = {"role": "user", "content": "hi"}
LEAST = {"model": "gpt-5", "max_tokens": 9, "messages": [USER]}
TOOL = {"name": "look", "description": "sees", "input_schema": {"type": "object", "properties": {}}}
MARK = {"cache_control": {"type": "ephemeral"}}
COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-5-2026",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
}


def request_for(document: Any, lane: Lane | None = None) -> ProviderRequest | Untranslatable:
    return OpenAITranslator().request(MESSAGES, orjson.dumps(document), lane)


def translated(**fields: Any) -> dict[str, Any]:
    """What is sent for a Messages request with `fields`; it is held to OpenAI's SDK."""
    request = request_for(LEAST | fields)
    assert isinstance(request, ProviderRequest), request
    assert request.path == "/chat/completions"
    document: dict[str, Any] = orjson.loads(request.body)
    assert_is(CompletionCreateParamsNonStreaming, document)
    return document


def reply(document: Any, status: int = 200) -> ProviderReply:
    """What the item gets when the provider answers with `document`."""
    request = request_for(LEAST)
    assert isinstance(request, ProviderRequest) and request.read_answer is not None
    content = document if isinstance(document, bytes) else orjson.dumps(document)
    answer = reply_of(status, {}, Received(content), 0.0)
    return request.read_answer(answer, 0.0) if isinstance(answer, Answer) else answer


def message(**fields: Any) -> dict[str, Any]:
    """The Message for a chat completion whose only choice has `fields`."""
    (choice,) = COMPLETION["choices"]
    answer = reply(COMPLETION | {"choices": [choice | fields]})
    assert isinstance(answer, Answer) and answer.failure is None
    document: dict[str, Any] = orjson.loads(answer.body)
    Message.model_validate(document, strict=True)
    return document


def test_the_smallest_request() -> None:
    """The newer name of the limit for OpenAI and Azure, the older one for everybody else."""
    assert translated() == {"model": "gpt-5", "messages": [USER], "max_completion_tokens": 9}
    groq = Provider("groq", "openai", "https://api.groq.com/openai/v1", variant="groq")
    request = OpenAITranslator(groq).request(MESSAGES, orjson.dumps(LEAST))
    assert isinstance(request, ProviderRequest) and orjson.loads(request.body)["max_tokens"] == 9


def test_the_lane_counts() -> None:
    """Its model, and its service tier."""
    request = request_for(LEAST, Lane("openai", "gpt-6", Mode.FLEX))
    assert isinstance(request, ProviderRequest)
    assert orjson.loads(request.body) | {"model": "gpt-6", "service_tier": "flex"} == orjson.loads(request.body)


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({"temperature": 0.5, "top_p": 0.25}, {"temperature": 0.5, "top_p": 0.25}),
        ({"stop_sequences": ["a"]}, {"stop": ["a"]}),
        ({"metadata": {"user_id": "u"}}, {"user": "u"}),
        ({"service_tier": "auto"}, {"service_tier": "auto"}),
        ({"service_tier": "standard_only"}, {"service_tier": "default"}),
        ({"speed": "standard", "stream": False, "mcp_servers": []} | MARK, {}),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, {}),
        ({"thinking": {"type": "disabled"}}, {"reasoning_effort": "none"}),
        ({"output_config": {"effort": "high"}}, {"reasoning_effort": "high"}),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
                }
            },
        ),
        ({"tools": []}, {}),
        (
            {"tools": [TOOL | {"strict": True, "type": "custom", "defer_loading": False} | MARK]},
            {
                "tools": [
                    {
                        "type": "function",
                        "function": {
                            "name": "look",
                            "description": "sees",
                            "parameters": TOOL["input_schema"],
                            "strict": True,
                        },
                    }
                ]
            },
        ),
        ({"tool_choice": {"type": "any"}}, {"tool_choice": "required"}),
        ({"tool_choice": {"type": "none"}}, {"tool_choice": "none"}),
        (
            {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
            {"tool_choice": "auto", "parallel_tool_calls": False},
        ),
        (
            {"tool_choice": {"type": "tool", "name": "look"}},
            {"tool_choice": {"type": "function", "function": {"name": "look"}}},
        ),
    ],
)
def test_parameters(asked: dict[str, Any], sent: dict[str, Any]) -> None:
    """Each in OpenAI's words, or left out because it asks for nothing."""
    assert translated(**asked) == {"model": "gpt-5", "messages": [USER], "max_completion_tokens": 9} | sent


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"top_k": 5}, "top_k"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, "thinking.type"),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}}, "thinking.type"),
        ({"container": "c"}, "container"),
        ({"inference_geo": "us"}, "inference_geo"),
        ({"speed": "fast"}, "speed"),
        ({"service_tier": "priority"}, "service_tier"),
        ({"mcp_servers": [{"url": "https://x.example"}]}, "mcp_servers"),
        ({"metadata": {"user_id": "u", "x": 1}}, "metadata.x"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tools": [TOOL | {"input_examples": [{}]}]}, "tools[0].input_examples"),
        ({"tools": [{"name": "x"}]}, "tools[0].input_schema"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"messages": [USER, {"role": "assistant", "content": "well"}]}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [USER | {"x": 1}]}, "messages[0].x"),
        ({"system": [{"type": "image"}]}, "system[0].type"),
        ({"new": 1}, "new"),
    ],
)
def test_what_others_cannot_do_is_an_error_of_the_item(asked: dict[str, Any], param: str) -> None:
    """In Anthropic's form, and the parameter is named in its words."""
    error = request_for(LEAST | asked)
    assert isinstance(error, Untranslatable) and error.param == param
    answer = refusal(error, MESSAGES)
    assert answer.failure is FailureReason.UNSUPPORTED
    assert orjson.loads(answer.body) == {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": error.message},
    }


def test_instructions() -> None:
    """The system prompt comes first, later instructions stay where they are; marks are Anthropic's own affair."""
    system = [{"type": "text", "text": "one"} | MARK, {"type": "text", "text": "two"}]
    found = translated(system=system, messages=[USER, {"role": "system", "content": "three"}])["messages"]
    texts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert found == [{"role": "system", "content": texts}, USER, {"role": "system", "content": "three"}]
    assert translated(system="one")["messages"] == [{"role": "system", "content": "one"}, USER]


def test_images_and_documents() -> None:
    """As data URLs, with their titles."""
    png = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
    url = {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}}
    pdf = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="}}
    text = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "grüße"}}
    blocks = [png | MARK, url, pdf | {"title": "a.pdf", "citations": {"enabled": False}}, text]
    (found,) = translated(messages=[{"role": "user", "content": blocks}])["messages"]
    plain = base64.b64encode("grüße".encode()).decode()
    assert found["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_data": f"data:text/plain;base64,{plain}", "filename": "document"}},
    ]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        {"type": "document", "source": {"type": "url", "url": "https://x.example/a.pdf"}},
        {"type": "document", "context": "c", "source": {"type": "text", "media_type": "text/plain", "data": "x"}},
        {"type": "search_result", "source": "s", "title": "t", "content": []},
        {"type": "tool_result", "tool_use_id": "t", "is_error": True},
        {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": {}}]},
        {"type": "text", "text": "x", "citations": [{}]},
        {"type": "hologram"},
    ],
)
def test_blocks_that_others_do_not_take(block: dict[str, Any]) -> None:
    """Refused, with the path of the block."""
    error = request_for(LEAST | {"messages": [{"role": "user", "content": [block]}]})
    assert isinstance(error, Untranslatable)
    assert error.param is not None and error.param.startswith("messages[0].content[0]")


@pytest.mark.parametrize(
    "blocks",
    [
        [{"type": "thinking", "thinking": "hm", "signature": "s"}],
        [{"type": "tool_use", "id": "t", "name": "n", "input": {}}, {"type": "text", "text": "after"}],
        [{"type": "tool_use", "id": "t", "name": "n", "input": "x"}],
    ],
)
def test_what_only_anthropics_models_said(blocks: list[dict[str, Any]]) -> None:
    """Signed thinking is of no use to another model, and order within a turn is not expressible."""
    error = request_for(LEAST | {"messages": [USER, {"role": "assistant", "content": blocks}, USER]})
    assert isinstance(error, Untranslatable)


def test_a_conversation_with_tools() -> None:
    """Each result is a message of its own, before what the user says next."""
    said = [{"type": "text", "text": "let me"}, {"type": "tool_use", "id": "t1", "name": "look", "input": {"a": [1]}}]
    results = [
        {"type": "tool_result", "tool_use_id": "t1", "content": "sun", "is_error": False},
        {"type": "text", "text": "so?"},
    ]
    found = translated(messages=[USER, {"role": "assistant", "content": said}, {"role": "user", "content": results}])
    call = {"id": "t1", "type": "function", "function": {"name": "look", "arguments": '{"a":[1]}'}}
    assert found["messages"] == [
        USER,
        {"role": "assistant", "content": "let me", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "t1", "content": "sun"},
        {"role": "user", "content": "so?"},
    ]


def test_an_answer() -> None:
    """All members that Anthropic's clients expect."""
    assert message() == {
        "id": "chatcmpl-1",
        "type": "message",
        "role": "assistant",
        "model": "gpt-5-2026",
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "stop_details": None,
        "usage": {
            "input_tokens": 10,
            "cache_read_input_tokens": 0,
            "cache_creation_input_tokens": 0,
            "output_tokens": 5,
            "output_tokens_details": {"thinking_tokens": 0},
        },
    }


@pytest.mark.parametrize(
    ("finish_reason", "stop_reason"),
    [("stop", "end_turn"), ("length", "max_tokens"), ("tool_calls", "tool_use"), ("content_filter", "refusal")],
)
def test_stop_reasons(finish_reason: str, stop_reason: str) -> None:
    """Anthropic's word for each of OpenAI's."""
    assert message(finish_reason=finish_reason)["stop_reason"] == stop_reason


def test_thinking_tools_and_a_stop_sequence() -> None:
    """What servers of open models say beside OpenAI's members."""
    calls = [
        {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"n": 1}'}},
        {"id": "c2", "type": "function", "function": {"name": "look", "arguments": ""}},
        {"id": "c3", "type": "function", "function": {"name": "look", "arguments": '{"n": '}},
    ]
    said = {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": calls}
    found = message(message=said, finish_reason="tool_calls")
    assert found["content"][0] == {"type": "thinking", "thinking": "hm", "signature": ""}
    assert [block["input"] for block in found["content"][1:]] == [{"n": 1}, {}, {"invalid_json": '{"n": '}]
    assert found["stop_reason"] == "tool_use"
    stopped = message(stop_reason="END")
    assert (stopped["stop_reason"], stopped["stop_sequence"]) == ("stop_sequence", "END")


def test_a_refusal() -> None:
    """As Anthropic's: a stop reason with an explanation."""
    found = message(message={"role": "assistant", "content": None, "refusal": "I will not."})
    assert (found["stop_reason"], found["stop_details"]["explanation"]) == ("refusal", "I will not.")
    assert found["content"] == [{"type": "text", "text": "I will not."}]


def test_tokens() -> None:
    """In Anthropic's sense in the answer, in ours on the bill."""
    usage = {"prompt_tokens": 1210, "completion_tokens": 50, "total_tokens": 1260}
    usage_details = {"prompt_tokens_details": {"cached_tokens": 1000, "cache_write_tokens": 200}}
    usage_details |= {"completion_tokens_details": {"reasoning_tokens": 20}}
    answer = reply(COMPLETION | {"usage": usage | usage_details})
    assert isinstance(answer, Answer) and answer.usage == Usage(1210, 1000, 50, 20, cache_write_tokens=200)
    found = orjson.loads(answer.body)["usage"]
    assert found == {
        "input_tokens": 10,
        "cache_read_input_tokens": 1000,
        "cache_creation_input_tokens": 200,
        "output_tokens": 50,
        "output_tokens_details": {"thinking_tokens": 20},
    }


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (404, "not_found_error"),
        (422, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (503, "overloaded_error"),
    ],
)
@pytest.mark.parametrize("document", [{"error": {"message": "No.", "type": "x"}}, {"message": "No."}, {"error": "No."}])
def test_errors(status: int, kind: str, document: Any) -> None:
    """Whatever shape the vendor's error has, it ends as Anthropic's; its status stays."""
    answer = reply(document, status)
    assert isinstance(answer, Answer) and answer.status == status and answer.failure is not None
    assert orjson.loads(answer.body) == {"type": "error", "error": {"type": kind, "message": "No."}}


@pytest.mark.parametrize("document", [{}, {"choices": []}, {"choices": [{}]}, {"choices": [{"message": "x"}]}])
def test_what_is_no_completion_is_no_answer(document: Any) -> None:
    """A server that answers something else is in trouble."""
    assert reply(document) == NoAnswer(FailureReason.INVALID_RESPONSE)
