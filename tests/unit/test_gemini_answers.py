"""Gemini's answers as chat completions, Messages and embeddings: texts, tools, thoughts, filters, tokens, errors."""

from __future__ import annotations

import base64
import struct
from typing import Any

import orjson
import pytest
from anthropic.types import Message
from google.genai.types import GenerateContentResponse
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion

from batchyard.adapters.providers.gemini.translator import GeminiTranslator
from batchyard.adapters.providers.openai_replies import Received, reply_of
from batchyard.adapters.providers.translator import ProviderRequest
from batchyard.core.calls import Answer, NoAnswer, ProviderReply
from batchyard.core.providers import Provider
from batchyard.core.retry import FailureReason
from batchyard.core.usage import Usage

CHAT, EMBEDDINGS, MESSAGES = "/v1/chat/completions", "/v1/embeddings", "/v1/messages"
NOW = 1_790_000_000.5
CANDIDATE: dict[str, Any] = {
    "content": {"role": "model", "parts": [{"text": "Hello"}]},
    "finishReason": "STOP",
    "index": 0,
}
RESPONSE: dict[str, Any] = {
    "candidates": [CANDIDATE],
    "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15},
    "modelVersion": "gemini-3.8-flash",
    "responseId": "r1",
}
BODIES: dict[str, Any] = {
    CHAT: {"messages": [{"role": "user", "content": "x"}], "metadata": {"run": "7"}},
    MESSAGES: {"messages": [{"role": "user", "content": "x"}], "max_tokens": 9},
    EMBEDDINGS: {"input": ["a", "b"]},
}
TRANSLATOR = GeminiTranslator(Provider("gemini", "gemini", "https://generativelanguage.googleapis.com/v1beta"))


def reply(
    document: Any, endpoint: str = CHAT, status: int = 200, headers: dict[str, str] | None = None, **fields: Any
) -> ProviderReply:
    """What an item for `endpoint` gets when Gemini answers with `document`, as it comes through the client."""
    request = TRANSLATOR.request(endpoint, orjson.dumps({"model": "gemini-flash-latest"} | BODIES[endpoint] | fields))
    assert isinstance(request, ProviderRequest) and request.read_answer is not None
    content = document if isinstance(document, bytes) else orjson.dumps(document)
    answer = reply_of(status, headers or {}, Received(content), NOW)
    return request.read_answer(answer, NOW) if isinstance(answer, Answer) else answer


def completion(**fields: Any) -> dict[str, Any]:
    """The chat completion for a response with `fields`, which is one for both SDKs."""
    GenerateContentResponse.model_validate(RESPONSE | fields)
    answer = reply(RESPONSE | fields)
    assert isinstance(answer, Answer) and answer.failure is None
    document: dict[str, Any] = orjson.loads(answer.body)
    ChatCompletion.model_validate(document, strict=True)
    return document


def choice_of(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The choice for a candidate with `parts`."""
    content = {"role": "model", "parts": list(parts)}
    (choice,) = completion(candidates=[CANDIDATE | {"content": content} | fields])["choices"]
    found: dict[str, Any] = choice
    return found


def test_a_text() -> None:
    """All members that OpenAI's clients expect, and the labels of the request as OpenAI sends them back."""
    assert completion() == {
        "id": "r1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "gemini-3.8-flash",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
                "native_finish_reason": "STOP",
            }
        ],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
        "metadata": {"run": "7"},
    }


@pytest.mark.parametrize(
    ("reason", "finish_reason", "is_refused"),
    [
        ("STOP", "stop", False),
        ("FINISH_REASON_UNSPECIFIED", "stop", False),
        ("MAX_TOKENS", "length", False),
        ("CONTINUATION", "length", False),
        ("SAFETY", "content_filter", True),
        ("RECITATION", "content_filter", True),
        ("LANGUAGE", "content_filter", True),
        ("BLOCKLIST", "content_filter", True),
        ("PROHIBITED_CONTENT", "content_filter", True),
        ("SPII", "content_filter", True),
        ("IMAGE_SAFETY", "content_filter", True),
        ("ESCALATION", "content_filter", True),
        ("MALFORMED_FUNCTION_CALL", "stop", True),
        ("OTHER", "stop", True),
    ],
)
def test_finish_reasons(reason: str, finish_reason: str, is_refused: bool) -> None:
    """OpenAI's word for each of Gemini's, which stands beside it; an answer that was not completed says so."""
    choice = choice_of(finishReason=reason)
    assert (choice["finish_reason"], choice["native_finish_reason"]) == (finish_reason, reason)
    assert (choice["message"]["refusal"] is not None) == is_refused
    assert choice["message"]["content"] is None


def test_a_filter_tells_why() -> None:
    """In Gemini's words, if it has some, with its ratings beside."""
    rating = {"category": "HARM_CATEGORY_HARASSMENT", "probability": "HIGH", "blocked": True}
    choice = choice_of({"text": "Well"}, finishReason="SAFETY", finishMessage="Not that.", safetyRatings=[rating])
    assert (choice["message"]["content"], choice["message"]["refusal"]) == ("Well", "Not that.")
    assert choice["safety_ratings"] == [rating]


@pytest.mark.parametrize("told", [{}, {"blockReasonMessage": "Not that."}])
def test_a_prompt_that_was_blocked_is_an_answer(told: dict[str, Any]) -> None:
    """A refusal, paid for as far as Gemini counts tokens; no crash, and nothing to try again."""
    feedback = {"blockReason": "PROHIBITED_CONTENT"} | told
    document = {"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 10}, "modelVersion": "m"}
    GenerateContentResponse.model_validate(document)
    answer = reply(document)
    assert isinstance(answer, Answer) and answer.failure is None and answer.usage == Usage(10)
    (choice,) = ChatCompletion.model_validate_json(answer.body, strict=True).choices
    assert (choice.finish_reason, choice.message.content) == ("content_filter", None)
    assert choice.message.refusal == told.get("blockReasonMessage", "The prompt was blocked: PROHIBITED_CONTENT.")


def test_several_candidates() -> None:
    """Are several choices."""
    second = CANDIDATE | {"index": 1, "content": {"role": "model", "parts": [{"text": "Hi"}]}}
    choices = completion(candidates=[CANDIDATE, second])["choices"]
    assert [(choice["index"], choice["message"]["content"]) for choice in choices] == [(0, "Hello"), (1, "Hi")]


def test_thoughts_texts_and_tools() -> None:
    """Texts are joined, thoughts stand apart, calls keep their ids and signatures or get ids of their own."""
    call = {"name": "look", "args": {"city": "Bonn", "n": 1}}
    choice = choice_of(
        {"text": "hm", "thought": True},
        {"text": "Let me "},
        {"text": "look.", "thoughtSignature": "dGV4dA=="},
        {"functionCall": call | {"id": "c1"}, "thoughtSignature": "c2lnbg=="},
        {"functionCall": {"name": "look"}},
    )
    message = choice["message"]
    assert (choice["finish_reason"], message["content"]) == ("tool_calls", "Let me look.")
    assert message["reasoning_content"] == "hm"
    assert message["extra_content"] == {"google": {"thought_signature": "dGV4dA=="}}
    assert message["tool_calls"] == [
        {
            "id": "c1",
            "type": "function",
            "function": {"name": "look", "arguments": '{"city":"Bonn","n":1}'},
            "extra_content": {"google": {"thought_signature": "c2lnbg=="}},
        },
        {"id": "r1_0_1", "type": "function", "function": {"name": "look", "arguments": "{}"}},
    ]


def test_what_openai_has_no_member_for_is_kept() -> None:
    """The answer is paid for."""
    picture = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    citations = {"citations": [{"uri": "https://x.example"}]}
    choice = choice_of({"text": "a"}, picture, citationMetadata=citations)
    assert (choice["message"]["content"], choice["message"]["content_parts"]) == ("a", [picture])
    assert choice["citation_metadata"] == citations


def test_logprobs() -> None:
    """Each token with its bytes and those that it was chosen from."""
    result = {
        "chosenCandidates": [{"token": "é", "tokenId": 7, "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "e", "tokenId": 8, "logProbability": -1.5}]}],
    }
    top = {"token": "e", "logprob": -1.5, "bytes": [101]}
    assert choice_of({"text": "é"}, logprobsResult=result)["logprobs"] == {
        "content": [{"token": "é", "logprob": -0.5, "bytes": [195, 169], "top_logprobs": [top]}],
        "refusal": None,
    }
    assert choice_of(logprobsResult={"chosenCandidates": [{}]})["logprobs"]["content"][0]["top_logprobs"] == []


def test_thoughts_are_output() -> None:
    """Gemini counts them apart and bills them alike; what its own tools found is input."""
    usage: dict[str, Any] = {"promptTokenCount": 1000, "cachedContentTokenCount": 800, "toolUsePromptTokenCount": 20}
    usage |= {"candidatesTokenCount": 50, "thoughtsTokenCount": 30, "serviceTier": "flex"}
    answer = reply(RESPONSE | {"usageMetadata": usage})
    assert isinstance(answer, Answer) and answer.usage == Usage(1020, 800, 80, 30)
    document = orjson.loads(answer.body)
    assert document["service_tier"] == "flex"
    assert document["usage"] == {
        "prompt_tokens": 1020,
        "completion_tokens": 80,
        "total_tokens": 1100,
        "prompt_tokens_details": {"cached_tokens": 800},
        "completion_tokens_details": {"reasoning_tokens": 30},
    }


@pytest.mark.parametrize("count", ["many", -1, 1.5, 99_000_000, [], True])
@pytest.mark.parametrize("name", ["promptTokenCount", "thoughtsTokenCount", "cachedContentTokenCount"])
def test_figures_that_cannot_be_true_are_refused(name: str, count: Any) -> None:
    """As everybody else's: no bill is better than a wrong one."""
    answer = reply(RESPONSE | {"usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1} | {name: count}})
    assert isinstance(answer, Answer) and answer.usage.refused


def test_an_item_in_anthropics_form_gets_a_message() -> None:
    """With Anthropic's stop reasons and its way to count."""
    parts = [{"text": "Hello"}, {"functionCall": {"id": "c1", "name": "look", "args": {"n": 1}}}]
    usage = {"promptTokenCount": 100, "cachedContentTokenCount": 80, "candidatesTokenCount": 5, "thoughtsTokenCount": 3}
    candidate = CANDIDATE | {"content": {"role": "model", "parts": parts}}
    answer = reply(RESPONSE | {"candidates": [candidate], "usageMetadata": usage}, MESSAGES)
    assert isinstance(answer, Answer) and answer.usage == Usage(100, 80, 8, 3)
    message = Message.model_validate_json(answer.body)
    assert [block.type for block in message.content] == ["text", "tool_use"]
    assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == ("tool_use", 20, 8)
    blocked = reply({"promptFeedback": {"blockReason": "SAFETY"}}, MESSAGES)
    assert isinstance(blocked, Answer) and orjson.loads(blocked.body)["stop_reason"] == "refusal"


def error(status: str, message: str = "No.", **fields: Any) -> dict[str, Any]:
    return {"error": {"code": 0, "message": message, "status": status} | fields}


def info(reason: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com"}


@pytest.mark.parametrize(
    ("status", "name", "kind", "reason"),
    [
        (400, "INVALID_ARGUMENT", "invalid_request_error", FailureReason.REJECTED),
        (400, "FAILED_PRECONDITION", "invalid_request_error", FailureReason.REJECTED),
        (401, "UNAUTHENTICATED", "authentication_error", FailureReason.KEY_REFUSED),
        (403, "PERMISSION_DENIED", "permission_error", FailureReason.REJECTED),
        (404, "NOT_FOUND", "invalid_request_error", FailureReason.REJECTED),
        (409, "ABORTED", "server_error", FailureReason.CONFLICT),
        (429, "RESOURCE_EXHAUSTED", "rate_limit_error", FailureReason.THROTTLED),
        (500, "INTERNAL", "server_error", FailureReason.SERVER_ERROR),
        (503, "UNAVAILABLE", "server_error", FailureReason.OVERLOADED),
        (504, "DEADLINE_EXCEEDED", "server_error", FailureReason.SERVER_ERROR),
    ],
)
def test_errors(status: int, name: str, kind: str, reason: FailureReason) -> None:
    """Google's statuses mean what they say, and its error objects become those of the item's form."""
    answer = reply(error(name), CHAT, status)
    assert isinstance(answer, Answer) and (answer.status, answer.failure) == (status, reason)
    told = {"message": "No.", "type": kind, "param": None, "code": name.lower()}
    assert orjson.loads(answer.body) == {"error": told}
    message = reply(error(name), MESSAGES, status)
    assert isinstance(message, Answer) and message.failure is reason
    assert orjson.loads(message.body)["error"]["message"] == "No."
    embeddings = reply(error(name), EMBEDDINGS, status)
    assert isinstance(embeddings, Answer) and embeddings.body == answer.body


@pytest.mark.parametrize(
    ("status", "document", "reason"),
    [
        (400, error("INVALID_ARGUMENT", details=[info("API_KEY_INVALID")]), FailureReason.KEY_REFUSED),
        (400, error("INVALID_ARGUMENT", "API key not valid. Please pass one."), FailureReason.KEY_REFUSED),
        (400, error("INVALID_ARGUMENT", "Bad prompt: 'API key not valid'"), FailureReason.REJECTED),
        (403, error("PERMISSION_DENIED", details=[info("API_KEY_SERVICE_BLOCKED")]), FailureReason.KEY_REFUSED),
        (403, error("PERMISSION_DENIED", details=[info("SERVICE_DISABLED")]), FailureReason.KEY_REFUSED),
        (403, error("PERMISSION_DENIED", "Your API key was reported as leaked."), FailureReason.KEY_REFUSED),
        (403, error("PERMISSION_DENIED", details=[info("BILLING_DISABLED")]), FailureReason.OUT_OF_MONEY),
        (429, error("RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."), FailureReason.OUT_OF_MONEY),
        (429, error("RESOURCE_EXHAUSTED", details=[{"violations": [{"quotaValue": "0"}]}]), FailureReason.OUT_OF_MONEY),
        (
            429,
            error("RESOURCE_EXHAUSTED", "You exceeded your current quota.\n* metric, limit: 0, model: x"),
            FailureReason.OUT_OF_MONEY,
        ),
        (
            429,
            error("RESOURCE_EXHAUSTED", "You exceeded your current quota.\n* metric, limit: 0.5, model: x"),
            FailureReason.THROTTLED,
        ),
        (429, error("RESOURCE_EXHAUSTED", details=[{"violations": [{"quotaValue": "250"}]}]), FailureReason.THROTTLED),
        (500, error("INTERNAL", details=[info("API_KEY_INVALID")]), FailureReason.SERVER_ERROR),
    ],
)
def test_what_the_details_say(status: int, document: dict[str, Any], reason: FailureReason) -> None:
    """A key that is not valid is a 400 there, money that is gone a 429: no status tells."""
    for endpoint in (CHAT, MESSAGES, EMBEDDINGS):
        answer = reply(document, endpoint, status)
        assert isinstance(answer, Answer) and answer.failure is reason


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [("26s", 26.0), ("3.25s", 3.25), ("0s", None), ("soon", None), (5, None), ("1e9s", 900.0)],
)
def test_a_429_says_how_long_to_wait(delay: Any, seconds: float | None) -> None:
    """In its details; a header would come first."""
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    document = error("RESOURCE_EXHAUSTED", details=[{"violations": []}, retry])
    answer = reply(document, CHAT, 429)
    assert isinstance(answer, Answer) and answer.failure is FailureReason.THROTTLED
    assert answer.retry_advice.retry_after_seconds == seconds
    assert orjson.loads(answer.body)["error"]["details"][1] == retry
    told = reply(document, CHAT, 429, {"retry-after": "7"})
    assert isinstance(told, Answer) and told.retry_advice.retry_after_seconds == 7


def test_an_error_names_the_field() -> None:
    """The first one that Google complains about, in Google's words."""
    details = [{"fieldViolations": [{"field": "generation_config.seed", "description": "No."}]}]
    answer = reply(error("INVALID_ARGUMENT", details=details), CHAT, 400)
    assert isinstance(answer, Answer) and orjson.loads(answer.body)["error"]["param"] == "generation_config.seed"


@pytest.mark.parametrize("content", [b"<html>", b"[]", b'{"error":{"message":"x"}}', b'{"error":"x"}'])
def test_errors_that_are_none_of_googles(content: bytes) -> None:
    """Of something between us and Google: told as they are."""
    answer = reply(content, CHAT, 502)
    assert isinstance(answer, Answer) and answer.failure is FailureReason.SERVER_ERROR
    assert "error" in orjson.loads(answer.body)


@pytest.mark.parametrize("endpoint", [CHAT, MESSAGES, EMBEDDINGS])
@pytest.mark.parametrize(
    "document",
    [{}, {"candidates": []}, {"candidates": ["x"]}, {"promptFeedback": {}}, {"embeddings": [{"values": ["x"]}] * 2}],
)
def test_what_is_no_answer_is_none(document: Any, endpoint: str) -> None:
    """A server that answers something else is in trouble."""
    assert reply(document, endpoint) == NoAnswer(FailureReason.INVALID_RESPONSE)


def test_embeddings() -> None:
    """In the order of the texts, with the tokens that newer models count."""
    document = {"embeddings": [{"values": [0.5, 1]}, {"values": [-0.25, 0]}], "usageMetadata": {"promptTokenCount": 6}}
    answer = reply(document, EMBEDDINGS)
    assert isinstance(answer, Answer) and answer.usage == Usage(6)
    found = CreateEmbeddingResponse.model_validate_json(answer.body)
    assert [(one.index, one.embedding) for one in found.data] == [(0, [0.5, 1]), (1, [-0.25, 0])]
    assert (found.usage.prompt_tokens, found.usage.total_tokens, found.model) == (6, 6, "gemini-flash-latest")
    single = reply({"embedding": {"values": [0.5]}}, EMBEDDINGS, input="a", encoding_format="base64")
    assert isinstance(single, Answer) and single.usage == Usage()
    (one,) = orjson.loads(single.body)["data"]
    assert struct.unpack("<f", base64.b64decode(one["embedding"])) == (0.5,)


def test_as_many_embeddings_as_texts() -> None:
    """Fewer would be joined to the wrong ones."""
    short = {"embeddings": [{"values": [0.5]}]}
    assert reply(short, EMBEDDINGS) == NoAnswer(FailureReason.INVALID_RESPONSE)
    too_large = {"embedding": {"values": [1e300]}}
    assert reply(too_large, EMBEDDINGS, input="a", encoding_format="base64") == NoAnswer(FailureReason.INVALID_RESPONSE)


def test_odd_texts_survive() -> None:
    """Lone surrogates and long numbers, which not every JSON reader takes."""
    content = orjson.dumps(RESPONSE).replace(b"Hello", b"\\ud800")
    answer = reply(content)
    assert isinstance(answer, Answer) and b"\\ud800" in answer.body
    part = {"functionCall": {"name": "n", "args": {"n": "MARK"}}}
    document = RESPONSE | {"candidates": [CANDIDATE | {"content": {"parts": [part]}}]}
    answer = reply(orjson.dumps(document).replace(b'"MARK"', b"12345678901234567890123"))
    assert isinstance(answer, Answer) and b"12345678901234567890123" in answer.body
