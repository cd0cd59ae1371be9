"""Chat completions for Bedrock: what each parameter becomes, what is refused, and that botocore's model agrees."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from batchyard.adapters.providers.bedrock.translator import BedrockTranslator
from batchyard.adapters.providers.translator import ProviderRequest, Untranslatable
from batchyard.core.lanes import Lane, Mode
from batchyard.core.providers import Provider
from tests.bedrock_model import assert_is_converse

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
PROVIDER = Provider("bedrock", "bedrock", "https://bedrock-runtime.eu-central-1.amazonaws.com")
TRANSLATOR = BedrockTranslator(PROVIDER)
NOVA, CLAUDE = "amazon.nova-pro-v1:0", "eu.anthropic.claude-opus-4-6-v1:0"
USER = {"role": "user", "content": "hi"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"city":"Bonn"}'}}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
SPEC = {"name": "look", "inputSchema": {"json": {"type": "object", "properties": {}}}}
PNG = base64.b64encode(b"\x89PNG").decode()
PDF = base64.b64encode(b"%PDF-1.7").decode()


def translated(model: str = NOVA, lane: Lane | None = None, **fields: Any) -> dict[str, Any]:
    """What is sent for a chat completion with `fields`; it is held to botocore's model."""
    request = TRANSLATOR.request(CHAT, orjson.dumps({"model": model, "messages": [USER]} | fields), lane)
    assert isinstance(request, ProviderRequest), request
    assert_is_converse(request.path, request.body, lane.model if lane is not None else model)
    document: dict[str, Any] = orjson.loads(request.body)
    return document


def refused(model: str = NOVA, **fields: Any) -> Untranslatable:
    error = TRANSLATOR.request(CHAT, orjson.dumps({"model": model, "messages": [USER]} | fields))
    assert isinstance(error, Untranslatable), error
    return error


def content(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    """The content blocks of a user's message with `parts`."""
    (message,) = translated(messages=[{"role": "user", "content": list(parts)}])["messages"]
    found: list[dict[str, Any]] = message["content"]
    return found


def test_the_smallest_request() -> None:
    """The model stands in the path only, percent-encoded."""
    assert translated() == {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}
    request = TRANSLATOR.request(CHAT, orjson.dumps({"model": NOVA, "messages": [USER]}))
    assert isinstance(request, ProviderRequest)
    assert request.path == "/model/amazon.nova-pro-v1%3A0/converse"


def test_a_model_may_be_an_arn() -> None:
    """Application inference profiles have no other name."""
    model = "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/abc"
    assert translated(model)["messages"]


def test_the_lane_counts() -> None:
    """Its model, and its mode."""
    document = translated("gpt-4o", Lane("bedrock", NOVA, Mode.FLEX), service_tier="auto")
    assert document["serviceTier"] == {"type": "flex"}


def test_a_line_of_a_job_has_no_service_tier() -> None:
    """Whatever the item says: jobs have a price of their own."""
    lane = Lane("bedrock", NOVA, Mode.NATIVE)
    for tier in ("default", "priority", "flex"):
        assert translated(lane=lane, service_tier=tier) == translated(lane=lane)


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({"max_tokens": 5}, {"inferenceConfig": {"maxTokens": 5}}),
        ({"max_completion_tokens": 6, "max_tokens": 6}, {"inferenceConfig": {"maxTokens": 6}}),
        ({"temperature": 0.5, "top_p": 0.25}, {"inferenceConfig": {"temperature": 0.5, "topP": 0.25}}),
        ({"stop": "END"}, {"inferenceConfig": {"stopSequences": ["END"]}}),
        ({"stop": ["a", "b"]}, {"inferenceConfig": {"stopSequences": ["a", "b"]}}),
        ({"temperature": None, "stop": None, "tools": None, "metadata": None}, {}),
        ({"stop": []}, {}),
        ({"user": "u-1"}, {"requestMetadata": {"user": "u-1"}}),
        ({"safety_identifier": "s-1", "user": "u-1"}, {"requestMetadata": {"user": "s-1"}}),
        ({"metadata": {"run": "7"}}, {}),
        ({"service_tier": "auto"}, {}),
        ({"service_tier": "default"}, {"serviceTier": {"type": "default"}}),
        ({"service_tier": "flex"}, {"serviceTier": {"type": "flex"}}),
        ({"service_tier": "priority"}, {"serviceTier": {"type": "priority"}}),
        ({"stream": False, "stream_options": {"include_usage": True}, "prompt_cache_key": "k"}, {}),
        ({"n": 1, "frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {}, "logprobs": False}, {}),
        ({"top_logprobs": 0, "modalities": ["text"], "store": False, "verbosity": "medium"}, {}),
        ({"parallel_tool_calls": True, "tool_choice": "none"}, {}),
        ({"response_format": {"type": "text"}}, {}),
        ({"additionalModelRequestFields": {"topK": 3}}, {"additionalModelRequestFields": {"topK": 3}}),
    ],
)
def test_parameters(asked: dict[str, Any], sent: dict[str, Any]) -> None:
    """Each in Converse's words, or left out because it asks for nothing."""
    assert translated(**asked) == {"messages": [{"role": "user", "content": [{"text": "hi"}]}]} | sent


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"n": 2}, "n"),
        ({"seed": 1}, "seed"),
        ({"frequency_penalty": 0.1}, "frequency_penalty"),
        ({"logprobs": True}, "logprobs"),
        ({"logit_bias": {"1": 1}}, "logit_bias"),
        ({"prediction": {}}, "prediction"),
        ({"top_k": 3}, "top_k"),
        ({"temperature": 1.5}, "temperature"),
        ({"top_p": "much"}, "top_p"),
        ({"stop": [""]}, "stop"),
        ({"max_tokens": 0}, "max_completion_tokens"),
        ({"max_tokens": 1, "max_completion_tokens": 2}, "max_tokens"),
        ({"response_format": {"type": "json_object"}}, "response_format.type"),
        ({"service_tier": "scale"}, "service_tier"),
        ({"user": "auth0|1"}, "user"),
        ({"metadata": "x"}, "metadata"),
        ({"parallel_tool_calls": False, "tools": [TOOL]}, "parallel_tool_calls"),
        ({"tools": [TOOL], "tool_choice": "none"}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"reasoning_effort": "low"}, "reasoning_effort"),
        ({"additionalModelRequestFields": 1}, "additionalModelRequestFields"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_what_cannot_be_expressed(asked: dict[str, Any], param: str) -> None:
    """The item's error names the parameter."""
    assert refused(**asked).param == param


def test_a_schema_of_the_answer() -> None:
    """As text, which is how Converse wants it."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    form = {"type": "json_schema", "json_schema": {"name": "f", "description": "d", "schema": schema, "strict": True}}
    found = translated(response_format=form)["outputConfig"]["textFormat"]
    definition = found["structure"]["jsonSchema"]
    assert orjson.loads(definition.pop("schema")) == schema
    assert (found["type"], definition) == ("json_schema", {"name": "f", "description": "d"})


@pytest.mark.parametrize(
    ("model", "effort", "sent"),
    [
        (
            CLAUDE,
            "xhigh",
            {"additionalModelRequestFields": {"thinking": {"type": "adaptive"}}, "outputConfig": {"effort": "xhigh"}},
        ),
        (CLAUDE, "none", {"additionalModelRequestFields": {"thinking": {"type": "disabled"}}}),
        (
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "low",
            {
                "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 2048}},
                "inferenceConfig": {"maxTokens": 16_000},
            },
        ),
        ("openai.gpt-oss-120b-1:0", "high", {"additionalModelRequestFields": {"reasoning_effort": "high"}}),
        (
            "global.amazon.nova-2-lite-v1:0",
            "minimal",
            {"additionalModelRequestFields": {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}},
        ),
        (
            "global.amazon.nova-2-lite-v1:0",
            "none",
            {"additionalModelRequestFields": {"reasoningConfig": {"type": "disabled"}}},
        ),
    ],
)
def test_reasoning(model: str, effort: str, sent: dict[str, Any]) -> None:
    """In the words of the model's family."""
    document = translated(model, reasoning_effort=effort)
    del document["messages"]
    assert document == sent


def test_reasoning_is_said_once() -> None:
    """Two answers to the same question are refused."""
    own = {"thinking": {"type": "disabled"}}
    assert refused(CLAUDE, reasoning_effort="low", additionalModelRequestFields=own).param == (
        "additionalModelRequestFields"
    )


def test_a_conversation_with_tools() -> None:
    """System prompt, turns, calls and results, each where Converse has it."""
    document = translated(
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Where?"},
            {"role": "assistant", "content": "Let me look.", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": "Bonn"},
            {"role": "user", "content": "Thanks."},
        ],
        tools=[TOOL, {"type": "function", "function": {"name": "b", "description": "B", "strict": True}}],
        tool_choice="required",
    )
    assert document["system"] == [{"text": "Be brief."}]
    assert document["messages"] == [
        {"role": "user", "content": [{"text": "Where?"}]},
        {
            "role": "assistant",
            "content": [
                {"text": "Let me look."},
                {"toolUse": {"toolUseId": "call_1", "name": "look", "input": {"city": "Bonn"}}},
            ],
        },
        {
            "role": "user",
            "content": [{"toolResult": {"toolUseId": "call_1", "content": [{"text": "Bonn"}]}}, {"text": "Thanks."}],
        },
    ]
    tools = document["toolConfig"]["tools"]
    assert tools[0] == {"toolSpec": SPEC}
    assert tools[1]["toolSpec"] == SPEC | {"name": "b", "description": "B", "strict": True}
    assert document["toolConfig"]["toolChoice"] == {"any": {}}


@pytest.mark.parametrize(
    ("choice", "sent"),
    [("auto", {"auto": {}}), ({"type": "function", "function": {"name": "look"}}, {"tool": {"name": "look"}})],
)
def test_tool_choices(choice: Any, sent: dict[str, Any]) -> None:
    """Those that Converse has."""
    assert translated(tools=[TOOL], tool_choice=choice)["toolConfig"]["toolChoice"] == sent


def test_images_and_documents() -> None:
    """As bytes, documents under names that Bedrock takes."""
    text = base64.b64encode("Grüße".encode()).decode()
    found = content(
        {"type": "text", "text": "Look:"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a_b.pdf"}},
        {"type": "file", "file": {"file_data": PDF, "filename": "a_b.pdf"}},
        {"type": "file", "file": {"file_data": f"data:text/plain;base64,{text}"}},
    )
    assert found == [
        {"text": "Look:"},
        {"image": {"format": "png", "source": {"bytes": PNG}}},
        {"document": {"format": "pdf", "name": "a-b-pdf", "source": {"bytes": PDF}}},
        {"document": {"format": "pdf", "name": "a-b-pdf 2", "source": {"bytes": PDF}}},
        {"document": {"format": "txt", "name": "document", "source": {"bytes": text}}},
    ]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
        {"type": "image_url", "image_url": {"url": f"data:image/tiff;base64,{PNG}"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "input_audio", "input_audio": {}},
    ],
)
def test_parts_that_cannot_be_sent(part: dict[str, Any]) -> None:
    """Bedrock fetches nothing, and cannot read OpenAI's files."""
    error = refused(messages=[{"role": "user", "content": [part]}])
    assert error.param is not None and error.param.startswith("messages")


def test_thinking_goes_back() -> None:
    """Signed or redacted, as an earlier answer had it."""
    thinking = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": PNG},
    ]
    said = {"role": "assistant", "content": "Hi.", "reasoning_content": "hm", "thinking_blocks": thinking}
    document = translated(CLAUDE, messages=[USER, said, USER])
    assert document["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
        {"reasoningContent": {"redactedContent": PNG}},
        {"text": "Hi."},
    ]
    broken = said | {"thinking_blocks": [{"type": "thinking", "thinking": "hm", "mood": "good"}]}
    assert refused(CLAUDE, messages=[USER, broken, USER]).param == "messages.thinking_blocks.mood"


def test_marks_of_a_cache() -> None:
    """A point behind the block that is to be kept."""
    point = {"mode": "explicit", "ttl": "12h"}
    found = content({"type": "text", "text": "long", "prompt_cache_breakpoint": point}, {"type": "text", "text": "x"})
    assert found == [{"text": "long"}, {"cachePoint": {"type": "default", "ttl": "1h"}}, {"text": "x"}]


def test_an_item_in_anthropics_form() -> None:
    """By way of a chat completion, with nothing lost."""
    body = {
        "model": NOVA,
        "max_tokens": 9,
        "system": "Be brief.",
        "messages": [USER],
        "stop_sequences": ["END"],
        "tools": [{"name": "look", "input_schema": {"type": "object", "properties": {}}}],
        "tool_choice": {"type": "any"},
        "metadata": {"user_id": "u-1"},
    }
    request = TRANSLATOR.request(MESSAGES, orjson.dumps(body))
    assert isinstance(request, ProviderRequest)
    assert_is_converse(request.path, request.body, NOVA)
    assert orjson.loads(request.body) == {
        "messages": [{"role": "user", "content": [{"text": "hi"}]}],
        "system": [{"text": "Be brief."}],
        "inferenceConfig": {"maxTokens": 9, "stopSequences": ["END"]},
        "toolConfig": {"tools": [{"toolSpec": SPEC}], "toolChoice": {"any": {}}},
        "requestMetadata": {"user": "u-1"},
    }
    refusal = TRANSLATOR.request(MESSAGES, orjson.dumps(body | {"top_k": 5}))
    assert isinstance(refusal, Untranslatable) and refusal.param == "top_k"


def test_other_endpoints_and_broken_bodies() -> None:
    """Are refused as values, too."""
    for endpoint, body in (("/v1/moderations", b"{}"), (CHAT, b"["), (CHAT, b"{}"), (MESSAGES, b"[]")):
        assert isinstance(TRANSLATOR.request(endpoint, body), Untranslatable)
