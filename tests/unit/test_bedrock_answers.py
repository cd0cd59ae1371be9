"""Bedrock's answers as chat completions and as Messages: texts, tools, thinking, guardrails, tokens, errors."""

from __future__ import annotations

import base64
import struct
from typing import Any

import orjson
import pytest
from anthropic.types import Message
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion

from batchyard.adapters.providers.bedrock.translator import BedrockTranslator
from batchyard.adapters.providers.openai_replies import Received, reply_of
from batchyard.adapters.providers.translator import ProviderRequest, Untranslatable
from batchyard.core.calls import Answer, NoAnswer, ProviderReply
from batchyard.core.providers import Provider
from batchyard.core.retry import FailureReason
from batchyard.core.usage import Usage
from tests.bedrock_model import assert_is_answer, operation

CHAT, MESSAGES, EMBEDDINGS = "/v1/chat/completions", "/v1/messages", "/v1/embeddings"
NOW = 1_790_000_000.5
HEADERS = {"x-amzn-requestid": "r-1"}
NOVA, TITAN = "amazon.nova-pro-v1:0", "amazon.titan-embed-text-v2:0"
TRANSLATOR = BedrockTranslator(Provider("bedrock", "bedrock", "https://bedrock-runtime.us-east-1.amazonaws.com"))
BODIES = {
    CHAT: {"model": NOVA, "messages": [{"role": "user", "content": "x"}], "metadata": {"run": "7"}},
    MESSAGES: {"model": NOVA, "messages": [{"role": "user", "content": "x"}], "max_tokens": 9},
    EMBEDDINGS: {"model": TITAN, "input": "x"},
}


def converse(*blocks: dict[str, Any], stop: str = "end_turn", **fields: Any) -> dict[str, Any]:
    """An answer of Converse with `blocks`, held to botocore's model."""
    document: dict[str, Any] = {
        "output": {"message": {"role": "assistant", "content": list(blocks or ({"text": "Hello"},))}},
        "stopReason": stop,
        "usage": {"inputTokens": 10, "outputTokens": 5, "totalTokens": 15},
        "metrics": {"latencyMs": 100},
    } | fields
    assert_is_answer(document)
    return document


def reply(
    document: Any, endpoint: str = CHAT, status: int = 200, headers: dict[str, str] | None = None, **fields: Any
) -> ProviderReply:
    """What an item for `endpoint` gets when Bedrock answers with `document`, as it comes through the client."""
    request = TRANSLATOR.request(endpoint, orjson.dumps(BODIES[endpoint] | fields))
    assert isinstance(request, ProviderRequest) and request.read_answer is not None
    content = document if isinstance(document, bytes) else orjson.dumps(document)
    answer = reply_of(status, HEADERS | (headers or {}), Received(content), NOW)
    return request.read_answer(answer, NOW) if isinstance(answer, Answer) else answer


def completion(document: dict[str, Any]) -> dict[str, Any]:
    """The chat completion, which is one for OpenAI's SDK too."""
    answer = reply(document)
    assert isinstance(answer, Answer) and answer.failure is None
    found: dict[str, Any] = orjson.loads(answer.body)
    ChatCompletion.model_validate(found, strict=True)
    return found


def test_a_text() -> None:
    """All members that OpenAI's clients expect; id and model, which Converse does not send, are ours."""
    assert completion(converse()) == {
        "id": "chatcmpl-r-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": NOVA,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
                "native_finish_reason": "end_turn",
            }
        ],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        },
        "metadata": {"run": "7"},
    }


def test_every_stop_reason_has_a_finish_reason() -> None:
    """OpenAI's word for each of Converse's, which stands beside it."""
    said = {}
    for stop in operation("Converse").output_shape.members["stopReason"].enum:
        (choice,) = completion(converse(stop=stop))["choices"]
        assert choice["native_finish_reason"] == stop
        said[stop] = choice["finish_reason"]
    assert said == {
        "end_turn": "stop",
        "tool_use": "tool_calls",
        "max_tokens": "length",
        "stop_sequence": "stop",
        "guardrail_intervened": "content_filter",
        "content_filtered": "content_filter",
        "malformed_model_output": "stop",
        "malformed_tool_use": "stop",
        "model_context_window_exceeded": "length",
    }


def test_thinking_texts_and_tools() -> None:
    """Texts are joined, calls keep their ids, thinking stays whole so that it can go back."""
    redacted = base64.b64encode(b"secret").decode()
    (choice,) = completion(
        converse(
            {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
            {"reasoningContent": {"redactedContent": redacted}},
            {"text": "Let me "},
            {"text": "look."},
            {"toolUse": {"toolUseId": "t-1", "name": "look", "input": {"city": "Bonn", "n": 1}}},
            {"toolUse": {"toolUseId": "t-2", "name": "look", "input": {}}},
            stop="tool_use",
        )
    )["choices"]
    message = choice["message"]
    assert (message["content"], message["reasoning_content"]) == ("Let me look.", "hm")
    assert [each["id"] for each in message["tool_calls"]] == ["t-1", "t-2"]
    assert [each["function"]["arguments"] for each in message["tool_calls"]] == ['{"city":"Bonn","n":1}', "{}"]
    assert message["thinking_blocks"] == [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": redacted},
    ]


def test_what_openai_has_no_member_for_is_kept() -> None:
    """The answer is paid for."""
    block = {"citationsContent": {"content": [{"text": "x"}]}}
    found = completion(
        converse(block, additionalModelResponseFields={"stop_sequence": "END"}, serviceTier={"type": "flex"})
    )
    assert found["choices"][0]["message"]["content_blocks"] == [block]
    assert (found["additionalModelResponseFields"], found["service_tier"]) == ({"stop_sequence": "END"}, "flex")


@pytest.mark.parametrize("endpoint", [CHAT, MESSAGES])
def test_tokens_of_the_cache_are_input(endpoint: str) -> None:
    """Converse counts what it reads from its cache and writes to it apart; the bill has all of it."""
    usage = {"inputTokens": 10, "cacheReadInputTokens": 1000, "cacheWriteInputTokens": 200}
    answer = reply(converse(usage=usage | {"outputTokens": 50, "totalTokens": 1260}), endpoint)
    assert isinstance(answer, Answer)
    assert answer.usage == Usage(1210, 1000, 50, 0, cache_write_tokens=200)
    told = orjson.loads(answer.body)["usage"]
    if endpoint == CHAT:
        assert (told["prompt_tokens"], told["total_tokens"]) == (1210, 1260)
        assert told["prompt_tokens_details"] == {"cached_tokens": 1000, "cache_write_tokens": 200}
    else:
        assert (told["input_tokens"], told["cache_read_input_tokens"], told["output_tokens"]) == (10, 1000, 50)


@pytest.mark.parametrize("count", ["many", -1, 1.5, 99_000_000])
def test_figures_that_cannot_be_true_are_refused(count: Any) -> None:
    """As everybody else's: no bill is better than a wrong one."""
    document = converse() | {"usage": {"inputTokens": count, "outputTokens": 1}}
    answer = reply(document)
    assert isinstance(answer, Answer) and answer.usage.refused


def test_an_item_in_anthropics_form_gets_a_message() -> None:
    """Which Anthropic's SDK reads."""
    answer = reply(converse({"toolUse": {"toolUseId": "t", "name": "n", "input": {}}}, stop="tool_use"), MESSAGES)
    assert isinstance(answer, Answer)
    found = Message.model_validate_json(answer.body, strict=True)
    assert (found.stop_reason, found.content[0].type, found.model) == ("tool_use", "tool_use", NOVA)


def test_every_error_of_converse_has_a_reason() -> None:
    """By the status that botocore's model gives it and by its name, which comes in a header; as an error object of the
    item's form."""
    found = {}
    for shape in operation("Converse").error_shapes:
        status = shape.metadata["error"]["httpStatusCode"]
        headers = {"x-amzn-errortype": f"{shape.name}:http://internal.amazon.com/coral/com.amazon.bedrock/"}
        answer = reply({"message": "No."}, CHAT, status, headers)
        assert isinstance(answer, Answer) and (answer.status, answer.request_id) == (status, "r-1")
        error = {"message": "No.", "type": shape.name, "param": None, "code": None}
        assert orjson.loads(answer.body) == {"error": error}
        found[shape.name] = answer.failure
        native = reply({"message": "No."}, MESSAGES, status, headers)
        assert isinstance(native, Answer) and native.failure is answer.failure
        assert orjson.loads(native.body)["error"]["message"] == "No."
    assert found == {
        "AccessDeniedException": FailureReason.KEY_REFUSED,
        "ThrottlingException": FailureReason.THROTTLED,
        "ResourceNotFoundException": FailureReason.REJECTED,
        "ModelTimeoutException": FailureReason.TIMEOUT,
        "InternalServerException": FailureReason.SERVER_ERROR,
        "ServiceUnavailableException": FailureReason.OVERLOADED,
        "ValidationException": FailureReason.REJECTED,
        "ModelNotReadyException": FailureReason.THROTTLED,
        "ModelErrorException": FailureReason.SERVER_ERROR,
    }


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (400, "ServiceQuotaExceededException", FailureReason.THROTTLED),
        (403, "UnrecognizedClientException", FailureReason.KEY_REFUSED),
        (403, "InvalidSignatureException", FailureReason.KEY_REFUSED),
        (403, "ExpiredTokenException", FailureReason.KEY_REFUSED),
        (403, "MissingAuthenticationTokenException", FailureReason.KEY_REFUSED),
    ],
)
def test_errors_in_front_of_the_service(status: int, kind: str, reason: FailureReason) -> None:
    """Some of them write Message."""
    answer = reply({"Message": "No."}, CHAT, status, {"x-amzn-errortype": kind})
    assert isinstance(answer, Answer) and answer.failure is reason
    assert orjson.loads(answer.body)["error"]["message"] == "No."


def test_an_error_of_a_proxy() -> None:
    """Is told as it is."""
    answer = reply(b"<html>bad gateway</html>", CHAT, 502, {"x-amzn-errortype": "X"})
    assert isinstance(answer, Answer) and answer.failure is FailureReason.SERVER_ERROR
    assert "bad gateway" in orjson.loads(answer.body)["error"]["message"]


@pytest.mark.parametrize("endpoint", [CHAT, MESSAGES, EMBEDDINGS])
@pytest.mark.parametrize(
    "document", [{}, {"output": {}}, {"output": {"message": {"content": ["x"]}}}, {"embedding": [""]}]
)
def test_what_is_no_answer(document: Any, endpoint: str) -> None:
    """A server that answers something else is in trouble."""
    assert reply(document, endpoint) == NoAnswer(FailureReason.INVALID_RESPONSE)


def test_an_embedding_of_titan() -> None:
    """As OpenAI's SDK reads it, in numbers or in base64; one text a call."""
    request = TRANSLATOR.request(EMBEDDINGS, orjson.dumps(BODIES[EMBEDDINGS] | {"input": ["x"], "dimensions": 256}))
    assert isinstance(request, ProviderRequest)
    assert request.path == "/model/amazon.titan-embed-text-v2%3A0/invoke"
    assert orjson.loads(request.body) == {"inputText": "x", "dimensions": 256}
    document = {"embedding": [0.5, -1.0], "inputTextTokenCount": 3, "embeddingsByType": {}}
    answer = reply(document, EMBEDDINGS)
    assert isinstance(answer, Answer) and answer.usage == Usage(3, 0, 0, 0)
    found = CreateEmbeddingResponse.model_validate_json(answer.body, strict=True)
    assert (found.data[0].embedding, found.usage.prompt_tokens, found.model) == ([0.5, -1.0], 3, TITAN)
    packed = reply(document, EMBEDDINGS, encoding_format="base64")
    assert isinstance(packed, Answer)
    assert struct.unpack("<2f", base64.b64decode(orjson.loads(packed.body)["data"][0]["embedding"])) == (0.5, -1.0)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": "cohere.embed-v4:0"}, "model"),
        ({"input": ["a", "b"]}, "input"),
        ({"input": [1, 2]}, "input"),
        ({"dimensions": "all"}, "dimensions"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_embeddings_that_cannot_be_had(fields: dict[str, Any], param: str) -> None:
    """The item's error says why."""
    error = TRANSLATOR.request(EMBEDDINGS, orjson.dumps(BODIES[EMBEDDINGS] | fields))
    assert isinstance(error, Untranslatable) and error.param == param
