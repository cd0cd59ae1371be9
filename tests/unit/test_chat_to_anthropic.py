"""Chat completions for Anthropic: what each parameter becomes, what is refused, and that the SDK's own types agree."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming

from batchyard.adapters.providers.anthropic.translator import AnthropicTranslator
from batchyard.adapters.providers.translator import ProviderRequest, Untranslatable, refusal
from batchyard.core.lanes import Lane
from batchyard.core.providers import Provider
from batchyard.core.retry import FailureReason
from tests.sdk_types import assert_is

CHAT = "/v1/chat/completions"
PROVIDER = Provider("anthropic", "anthropic", "https://api.anthropic.com/v1")
USER = {"role": "user", "content": "hi"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"city":"Bonn"}'}}
WRONG_CALL = CALL | {"function": {"name": "f", "arguments": "["}}
AUDIO = {"type": "input_audio", "input_audio": {}}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
OTHER_TOOL = {"type": "function", "function": {"name": "listen"}}
PNG = base64.b64encode(b"\x89PNG").decode()
PDF = base64.b64encode(b"%PDF-1.7").decode()
BEYOND_THE_SDK = {"temperature", "top_p", "top_k"}
"""API version 2026-10-21 and SDKs since then have no sampling; version 2023-06-01, which is what is sent, does."""


def translated(provider: Provider = PROVIDER, **fields: Any) -> dict[str, Any]:
    """What is sent for a chat completion with `fields`; it is held to Anthropic's SDK."""
    body = orjson.dumps({"model": "claude-opus-4-6", "messages": [USER]} | fields)
    request = AnthropicTranslator(provider).request(CHAT, body)
    assert isinstance(request, ProviderRequest), request
    assert request.path == "/messages"
    document: dict[str, Any] = orjson.loads(request.body)
    assert_is(MessageCreateParamsNonStreaming, {k: v for k, v in document.items() if k not in BEYOND_THE_SDK})
    return document


def refused(**fields: Any) -> Untranslatable:
    body = orjson.dumps({"model": "claude-opus-4-6", "messages": [USER]} | fields)
    error = AnthropicTranslator(PROVIDER).request(CHAT, body)
    assert isinstance(error, Untranslatable), error
    return error


def blocks(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    """The content blocks of a user's message with `parts`."""
    (message,) = translated(messages=[{"role": "user", "content": list(parts)}])["messages"]
    content: list[dict[str, Any]] = message["content"]
    return content


def test_the_smallest_request() -> None:
    """Anthropic wants to be told how much may be written."""
    assert translated() == {
        "model": "claude-opus-4-6",
        "max_tokens": 16_000,
        "messages": [{"role": "user", "content": "hi"}],
    }


def test_the_lanes_model_counts() -> None:
    """A shard that moved here names another vendor's model."""
    request = AnthropicTranslator(PROVIDER).request(
        CHAT, b'{"model":"gpt-4o","messages":[{"role":"user","content":"x"}]}', Lane("anthropic", "claude-opus-5")
    )
    assert isinstance(request, ProviderRequest) and orjson.loads(request.body)["model"] == "claude-opus-5"


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"max_completion_tokens": 6}, {"max_tokens": 6}),
        ({"max_completion_tokens": 6, "max_tokens": 6}, {"max_tokens": 6}),
        ({"temperature": 0.5, "top_p": 0.25, "top_k": 7}, {"temperature": 0.5, "top_p": 0.25, "top_k": 7}),
        ({"temperature": None, "stop": None, "tools": None, "metadata": None}, {}),
        ({"stop": "END"}, {"stop_sequences": ["END"]}),
        ({"stop": ["a", "b"]}, {"stop_sequences": ["a", "b"]}),
        ({"user": "u-1"}, {"metadata": {"user_id": "u-1"}}),
        ({"safety_identifier": "s-1", "user": "u-1"}, {"metadata": {"user_id": "s-1"}}),
        ({"metadata": {"user": "m-1", "run": "7"}}, {"metadata": {"user_id": "m-1"}}),
        ({"metadata": {"run": "7"}}, {}),
        ({"service_tier": "auto"}, {"service_tier": "auto"}),
        ({"service_tier": "default"}, {"service_tier": "standard_only"}),
        ({"stream": False, "stream_options": {"include_usage": True}, "prompt_cache_key": "k"}, {}),
        ({"n": 1, "frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {}, "logprobs": False}, {}),
        ({"top_logprobs": 0, "modalities": ["text"], "store": False, "verbosity": "medium"}, {}),
        ({"response_format": {"type": "text"}}, {}),
        ({"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
        ({"thinking": {"type": "adaptive"}}, {"thinking": {"type": "adaptive"}}),
        (
            {"reasoning_effort": "xhigh"},
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "xhigh"}},
        ),
        (
            {"reasoning_effort": "minimal"},
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
        ),
    ],
)
def test_parameters(asked: dict[str, Any], sent: dict[str, Any]) -> None:
    """Each in Anthropic's words, or left out because it asks for nothing."""
    document = translated(**asked)
    assert document == {"model": "claude-opus-4-6", "max_tokens": 16_000, "messages": [USER]} | sent


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"n": 2}, "n"),
        ({"n": True}, "n"),
        ({"seed": 1}, "seed"),
        ({"frequency_penalty": 0.1}, "frequency_penalty"),
        ({"presence_penalty": -1}, "presence_penalty"),
        ({"logit_bias": {"50256": -100}}, "logit_bias"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"audio": {"voice": "alloy", "format": "mp3"}}, "audio"),
        ({"prediction": {"type": "content", "content": "x"}}, "prediction"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"store": True}, "store"),
        ({"verbosity": "low"}, "verbosity"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"temperature": 1.5}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 0}, "max_completion_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
        ({"stop": [1]}, "stop"),
        ({"metadata": "x"}, "metadata"),
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
        ({"reasoning_effort": "low", "thinking": {"type": "adaptive"}}, "thinking"),
        ({"response_format": {"type": "json_object"}}, "response_format.type"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
            "response_format.json_schema.schema",
        ),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "tools[0].type"),
        ({"tools": [TOOL | {"x": 1}]}, "tools[0].x"),
        ({"tool_choice": "sometimes"}, "tool_choice"),
        ({"tool_choice": {"type": "custom", "custom": {"name": "x"}}}, "tool_choice.type"),
        ({"something_new": 1}, "something_new"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
        ({"messages": [USER | {"name": "Ann"}]}, "messages[0].name"),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].role"),
        ({"messages": [USER, {"role": "assistant", "content": "well"}]}, "messages"),
        (
            {"messages": [USER, {"role": "assistant", "content": "a"}, {"role": "system", "content": "b"}, USER]},
            "messages[2].role",
        ),
        ({"messages": [USER, {"role": "assistant", "audio": {"id": "a"}}, USER]}, "messages[1].audio"),
        (
            {"messages": [USER, {"role": "assistant", "content": "a", "reasoning_content": "hm"}, USER]},
            "messages[1].reasoning_content",
        ),
        (
            {
                "messages": [
                    USER,
                    {"role": "assistant", "tool_calls": [CALL | {"function": {"name": "f", "arguments": "["}}]},
                ]
            },
            "messages[1].tool_calls[0].function.arguments",
        ),
        ({"messages": [{"role": "user", "content": [AUDIO]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    ],
)
def test_what_anthropic_cannot_do_is_an_error_of_the_item(asked: dict[str, Any], param: str) -> None:
    """It names the parameter, as OpenAI's errors do, and the item is never sent."""
    error = refused(**asked)
    assert error.param == param
    answer = refusal(error, CHAT)
    assert answer.failure is FailureReason.UNSUPPORTED and not answer.failure.may_be_retried
    told = orjson.loads(answer.body)["error"]
    assert told == {
        "message": error.message,
        "type": "invalid_request_error",
        "param": param,
        "code": "unsupported_parameter",
    }
    assert param.rpartition(".")[2].partition("[")[0] in told["message"]


def test_instructions_at_the_beginning_are_the_system_prompt() -> None:
    """System and developer messages alike, however many there are."""
    first, second = (
        {"role": "system", "content": "one"},
        {"role": "developer", "content": [{"type": "text", "text": "two"}]},
    )
    assert translated(messages=[first, USER])["system"] == "one"
    document = translated(messages=[first, second, USER])
    assert document["system"] == [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert document["messages"] == [USER]


def test_instructions_later_on_stay_where_they_are() -> None:
    """Moving them to the front would change what they mean."""
    later = {"role": "developer", "content": "in French"}
    assert translated(messages=[USER, later])["messages"] == [USER, {"role": "system", "content": "in French"}]


def test_images() -> None:
    """By URL and as data; whatever detail means enough."""
    found = blocks(
        {"type": "text", "text": "what is this?"},
        {"type": "image_url", "image_url": {"url": "https://x.example/a.png", "detail": "high"}},
        {"type": "image_url", "image_url": {"url": f"data:image/PNG;base64,{PNG}"}},
    )
    assert found == [
        {"type": "text", "text": "what is this?"},
        {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
    ]


def test_files() -> None:
    """PDFs and plain text, with their names."""
    text = base64.b64encode("grüße".encode()).decode()
    found = blocks(
        {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_data": PDF}},
        {"type": "file", "file": {"file_data": f"data:text/plain;charset=utf-8;base64,{text}", "filename": "a.txt"}},
    )
    pdf = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}
    plain = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "grüße"}}
    assert found == [pdf | {"title": "a.pdf"}, pdf, plain | {"title": "a.txt"}]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/svg+xml;base64,AA=="}},
        {"type": "image_url", "image_url": {"url": "https://x.example/a.png", "detail": "low"}},
        {"type": "image_url", "image_url": {}},
        {"type": "image_url", "image_url": {"url": "https://x.example/a.png", "new": 1}},
        {"type": "file", "file": {"file_id": "file-abc"}},
        {"type": "file", "file": {"file_data": "data:text/csv;base64,AA=="}},
        {"type": "file", "file": {"file_data": "data:text/plain;base64,!"}},
        {"type": "file", "file": {}},
        {"type": "text"},
        {"type": "text", "text": "x", "more": 1},
        {"type": "video_url", "video_url": {"url": "https://x.example/a.mp4"}},
        {},
    ],
)
def test_parts_that_anthropic_does_not_take(part: dict[str, Any]) -> None:
    """Refused, with the path of the part."""
    error = refused(messages=[{"role": "user", "content": [part]}])
    assert error.param is not None and error.param.startswith("messages[0].content[0]")


def test_a_cache_breakpoint_is_a_mark() -> None:
    """OpenAI's way to say where a shared prefix ends."""
    part = {"type": "text", "text": "long", "prompt_cache_breakpoint": {"mode": "explicit"}}
    longer = part | {"prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}}
    assert [block["cache_control"] for block in blocks(part, longer)] == [
        {"type": "ephemeral"},
        {"type": "ephemeral", "ttl": "1h"},
    ]


def test_a_conversation_with_tools() -> None:
    """Calls side by side, their results in one message, together with what the user says next."""
    results = [{"role": "tool", "tool_call_id": f"call_{n}", "content": f"sun {n}", "name": "look"} for n in (1, 2)]
    document = translated(
        tools=[TOOL],
        messages=[
            USER,
            {"role": "assistant", "content": "", "tool_calls": [CALL, CALL | {"id": "call_2"}]},
            *results,
            USER,
        ],
    )
    use = {"type": "tool_use", "name": "look", "input": {"city": "Bonn"}}
    assert document["messages"] == [
        USER,
        {"role": "assistant", "content": [{"id": "call_1"} | use, {"id": "call_2"} | use]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": "sun 1"},
                {"type": "tool_result", "tool_use_id": "call_2", "content": "sun 2"},
                {"type": "text", "text": "hi"},
            ],
        },
    ]


def test_what_an_earlier_answer_said_goes_back() -> None:
    """Text, refusals, and thinking with its signature."""
    thinking = {"type": "thinking", "thinking": "hm", "signature": "s"}
    said = {"role": "assistant", "content": "no", "refusal": "I will not", "annotations": []}
    said |= {"reasoning_content": "hm", "thinking_blocks": [thinking]}
    assert translated(messages=[USER, said, USER])["messages"][1]["content"] == [
        thinking,
        {"type": "text", "text": "no"},
        {"type": "text", "text": "I will not"},
    ]


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "look"}}, {"type": "tool", "name": "look"}),
    ],
)
def test_tool_choice(choice: Any, sent: dict[str, Any]) -> None:
    """And one call at a time, if that is asked for and calls are possible."""
    assert translated(tools=[TOOL], tool_choice=choice)["tool_choice"] == sent
    one = translated(tools=[TOOL], tool_choice=choice, parallel_tool_calls=False)["tool_choice"]
    assert one == (sent if choice == "none" else sent | {"disable_parallel_tool_use": True})


def test_allowed_tools_are_the_only_ones_that_are_sent() -> None:
    """Anthropic has no such choice, but what it does not know it cannot use."""
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "listen"}}]}
    document = translated(tools=[TOOL, OTHER_TOOL], tool_choice={"type": "allowed_tools", "allowed_tools": allowed})
    assert [tool["name"] for tool in document["tools"]] == ["listen"]
    assert document["tool_choice"] == {"type": "any"}
    assert document["tools"][0]["input_schema"] == {"type": "object", "properties": {}}


def test_a_schema_for_the_answer() -> None:
    """Structured output, with the description that OpenAI keeps beside the schema."""
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
    wanted = {"name": "x", "description": "an a", "schema": schema, "strict": True}
    document = translated(response_format={"type": "json_schema", "json_schema": wanted}, reasoning_effort="low")
    assert document["output_config"] == {
        "effort": "low",
        "format": {"type": "json_schema", "schema": {"description": "an a"} | schema},
    }


@pytest.mark.parametrize(
    "model", ["claude-opus-4-1", "claude-sonnet-4-20250514", "claude-haiku-4-5-20251001", "claude-opus-4"]
)
def test_older_models_think_within_a_budget(model: str) -> None:
    """It counts towards the most tokens of the answer, and fits into it."""
    assert translated(model=model, reasoning_effort="high", max_tokens=20_000)["thinking"]["budget_tokens"] == 16_384
    assert translated(model=model, reasoning_effort="high", max_tokens=3000)["thinking"]["budget_tokens"] == 2999
    assert refused(model=model, reasoning_effort="high", max_tokens=1024).param == "reasoning_effort"


@pytest.mark.parametrize(
    "model", ["claude-opus-4-6", "claude-sonnet-4-6-20260101", "claude-opus-5", "claude-fable-5-1"]
)
def test_newer_models_think_as_they_like(model: str) -> None:
    """They take an effort, and refuse a budget."""
    assert translated(model=model, reasoning_effort="high")["thinking"] == {"type": "adaptive"}


def test_marks_on_what_items_share() -> None:
    """On the system prompt, else on the tools, and never beside marks of the item's own."""
    marking = Provider("anthropic", "anthropic", "https://api.anthropic.com/v1", cache_marks=True)
    mark = {"cache_control": {"type": "ephemeral"}}
    system = {"role": "system", "content": "long"}
    document = translated(marking, messages=[system, USER], tools=[TOOL])
    assert document["system"] == [{"type": "text", "text": "long"} | mark]
    assert "cache_control" not in document["tools"][-1]
    assert "cache_control" in translated(marking, tools=[TOOL, OTHER_TOOL])["tools"][-1]
    own = {"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}
    assert translated(marking, messages=[system, {"role": "user", "content": [own]}])["system"] == "long"
    assert translated(marking)["messages"] == [USER]


def test_numbers_keep_their_digits() -> None:
    """Also those that no double holds, in schemas and in arguments."""
    body = (
        b'{"model":"claude-opus-4-6","messages":[{"role":"user","content":"x"},{"role":"assistant","tool_calls":[{"id":"a",'
        b'"type":"function","function":{"name":"f","arguments":"{\\"n\\":12345678901234567890123}"}}]},'
        b'{"role":"tool","tool_call_id":"a","content":"y"}]}'
    )
    request = AnthropicTranslator(PROVIDER).request(CHAT, body)
    assert isinstance(request, ProviderRequest) and b'"n":12345678901234567890123' in request.body


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"{", b"\xff", b"{}", b"null"])
def test_what_is_no_request_is_refused(body: bytes) -> None:
    """A value, whatever the bytes."""
    assert isinstance(AnthropicTranslator(PROVIDER).request(CHAT, body), Untranslatable)


def test_other_endpoints_are_refused() -> None:
    """An entry cannot promise them, and if a message says so all the same, its items fail."""
    assert isinstance(AnthropicTranslator(PROVIDER).request("/v1/embeddings", b"{}"), Untranslatable)
    with pytest.raises(ValueError, match="unknown endpoints"):
        Provider("anthropic", "anthropic", "https://api.anthropic.com/v1", endpoints=("/v1/embeddings",))
