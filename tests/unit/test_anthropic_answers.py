"""Anthropic's answers as chat completions, and as they are: texts, tools, thinking, refusals, tokens, errors."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from anthropic.types import Message
from openai.types.chat import ChatCompletion

from batchyard.adapters.providers.anthropic.translator import AnthropicTranslator
from batchyard.adapters.providers.openai_replies import Received, reply_of
from batchyard.adapters.providers.translator import ProviderRequest
from batchyard.core.calls import Answer, NoAnswer, ProviderReply
from batchyard.core.providers import Provider
from batchyard.core.retry import FailureReason
from batchyard.core.usage import Price, Usage

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
NOW = 1_790_000_000.5
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-4-6-20260101",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 10, "output_tokens": 5},
}
TRANSLATOR = AnthropicTranslator(Provider("anthropic", "anthropic", "https://api.anthropic.com/v1"))


def reply(
    document: Any, endpoint: str = CHAT, status: int = 200, headers: dict[str, str] | None = None
) -> ProviderReply:
    """What an item for `endpoint` gets when Anthropic answers with `document`, as it comes through the client."""
    body = (
        b'{"model":"claude-opus-4-6","max_tokens":9,"messages":[{"role":"user","content":"x"}],"metadata":{"run":"7"}}'
    )
    request = TRANSLATOR.request(endpoint, body)
    assert isinstance(request, ProviderRequest) and request.read_answer is not None
    content = document if isinstance(document, bytes) else orjson.dumps(document)
    answer = reply_of(status, headers or {}, Received(content), NOW)
    return request.read_answer(answer, NOW) if isinstance(answer, Answer) else answer


def completion(**fields: Any) -> dict[str, Any]:
    """The chat completion for a Message with `fields`, which is one for OpenAI's SDK too."""
    Message.model_validate(MESSAGE | fields)
    answer = reply(MESSAGE | fields)
    assert isinstance(answer, Answer) and answer.failure is None
    document: dict[str, Any] = orjson.loads(answer.body)
    ChatCompletion.model_validate(document, strict=True)
    return document


def test_a_text() -> None:
    """All members that OpenAI's clients expect, and the labels of the request as OpenAI sends them back."""
    assert completion() == {
        "id": "msg_1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "claude-opus-4-6-20260101",
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
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
        "metadata": {"run": "7"},
    }


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "stop"),
    ],
)
def test_finish_reasons(stop_reason: str, finish_reason: str) -> None:
    """OpenAI's word for each of Anthropic's, which stands beside it."""
    (choice,) = completion(stop_reason=stop_reason)["choices"]
    assert (choice["finish_reason"], choice["native_finish_reason"]) == (finish_reason, stop_reason)


def test_which_stop_sequence_it_was() -> None:
    """OpenAI does not say; others put it beside the finish reason."""
    (choice,) = completion(stop_reason="stop_sequence", stop_sequence="END")["choices"]
    assert choice["stop_reason"] == "END"


def test_thinking_texts_and_tools() -> None:
    """Texts are joined, calls keep their ids, thinking stays whole so that it can go back."""
    thinking = [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "redacted_thinking", "data": "secret"},
    ]
    texts = [{"type": "text", "text": "Let me "}, {"type": "text", "text": "look."}]
    call = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"city": "Bonn", "n": 1}}
    (choice,) = completion(content=[*thinking, *texts, call, call | {"input": {}}], stop_reason="tool_use")["choices"]
    message = choice["message"]
    assert message["content"] == "Let me look."
    assert [each["function"]["arguments"] for each in message["tool_calls"]] == ['{"city":"Bonn","n":1}', "{}"]
    assert {(each["id"], each["function"]["name"]) for each in message["tool_calls"]} == {("toolu_1", "look")}
    assert (message["reasoning_content"], message["thinking_blocks"]) == ("hm", thinking)


def test_a_call_without_words_has_no_content() -> None:
    """null, as OpenAI's."""
    call = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}
    assert completion(content=[call])["choices"][0]["message"]["content"] is None


def test_a_refusal() -> None:
    """With the vendor's explanation if there is one."""
    details = {"type": "refusal", "category": "cyber", "explanation": "Not that."}
    (choice,) = completion(content=[], stop_reason="refusal", stop_details=details)["choices"]
    assert (choice["message"]["refusal"], choice["message"]["content"]) == ("Not that.", None)
    assert completion(stop_reason="refusal")["choices"][0]["message"]["refusal"]


def test_a_block_that_nobody_knows_is_kept() -> None:
    """The answer is paid for."""
    answer = reply(MESSAGE | {"content": [{"type": "hologram", "data": 1}]})
    assert isinstance(answer, Answer)
    message = orjson.loads(answer.body)["choices"][0]["message"]
    assert message["content_blocks"] == [{"type": "hologram", "data": 1}]


@pytest.mark.parametrize("endpoint", [CHAT, MESSAGES])
def test_tokens_of_the_cache_are_input(endpoint: str) -> None:
    """Anthropic counts what it reads from its cache and writes to it apart; the bill has all of it, at its price."""
    usage = {"input_tokens": 10, "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 200}
    usage |= {"output_tokens": 50, "output_tokens_details": {"thinking_tokens": 20}}
    answer = reply(MESSAGE | {"usage": usage}, endpoint)
    assert isinstance(answer, Answer)
    assert answer.usage == Usage(1210, 1000, 50, 20, cache_write_tokens=200)
    assert Price(100, 10, 500, 125).cost_picousd(answer.usage) == 10 * 100 + 1000 * 10 + 200 * 125 + 50 * 500
    assert Price(100, 10, 500).cost_picousd(answer.usage) == 210 * 100 + 1000 * 10 + 50 * 500


def test_tokens_of_the_cache_in_the_answer() -> None:
    """In OpenAI's sense: parts of the prompt's tokens."""
    usage = {"input_tokens": 10, "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 200}
    usage |= {"output_tokens": 50, "output_tokens_details": {"thinking_tokens": 20}}
    found = completion(usage=usage)["usage"]
    assert (found["prompt_tokens"], found["total_tokens"]) == (1210, 1260)
    assert found["prompt_tokens_details"] == {"cached_tokens": 1000, "cache_write_tokens": 200}
    assert found["completion_tokens_details"] == {"reasoning_tokens": 20}


@pytest.mark.parametrize("count", ["many", -1, 1.5, 99_000_000])
def test_figures_that_cannot_be_true_are_refused(count: Any) -> None:
    """As everybody else's: no bill is better than a wrong one."""
    answer = reply(MESSAGE | {"usage": {"input_tokens": count, "output_tokens": 1}})
    assert isinstance(answer, Answer) and answer.usage.refused


def test_an_item_in_anthropics_form_gets_the_bytes_as_they_are() -> None:
    """Also what nobody here knows."""
    content = orjson.dumps(MESSAGE | {"new": 12345678901234567890})
    answer = reply(content, MESSAGES)
    assert isinstance(answer, Answer)
    assert (answer.body, answer.usage) == (content, Usage(10, 0, 5, 0))


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (400, "invalid_request_error", FailureReason.REJECTED),
        (401, "authentication_error", FailureReason.KEY_REFUSED),
        (402, "billing_error", FailureReason.OUT_OF_MONEY),
        (403, "permission_error", FailureReason.KEY_REFUSED),
        (404, "not_found_error", FailureReason.REJECTED),
        (413, "request_too_large", FailureReason.REJECTED),
        (429, "rate_limit_error", FailureReason.THROTTLED),
        (500, "api_error", FailureReason.SERVER_ERROR),
        (504, "timeout_error", FailureReason.SERVER_ERROR),
        (529, "overloaded_error", FailureReason.OVERLOADED),
    ],
)
def test_errors(status: int, kind: str, reason: FailureReason) -> None:
    """Anthropic's statuses mean what they say, its error objects become OpenAI's, and stay for items of its form."""
    document = {"type": "error", "error": {"type": kind, "message": "No."}, "request_id": "req_1"}
    headers = {"request-id": "req_1"}
    answer = reply(document, CHAT, status, headers)
    assert isinstance(answer, Answer)
    assert (answer.status, answer.failure, answer.request_id) == (status, reason, "req_1")
    assert orjson.loads(answer.body) == {"error": {"message": "No.", "type": kind, "param": None, "code": None}}
    native = reply(document, MESSAGES, status, headers)
    assert isinstance(native, Answer) and orjson.loads(native.body) == document


def test_a_429_says_how_long_to_wait() -> None:
    """By retry-after, and by Anthropic's own headers about its limits."""
    document = {"type": "error", "error": {"type": "rate_limit_error", "message": "No."}}
    limits = {
        "retry-after": "7",
        "anthropic-ratelimit-input-tokens-limit": "50000",
        "anthropic-ratelimit-input-tokens-remaining": "0",
        "anthropic-ratelimit-input-tokens-reset": "2026-09-21T13:33:30Z",
    }
    answer = reply(document, CHAT, 429, limits)
    assert isinstance(answer, Answer) and answer.failure is FailureReason.THROTTLED
    assert answer.retry_advice.retry_after_seconds == 7
    assert answer.rate_advice is not None and answer.rate_advice.tokens is not None
    assert answer.rate_advice.tokens.is_used_up


@pytest.mark.parametrize("endpoint", [CHAT, MESSAGES])
@pytest.mark.parametrize("document", [{}, {"content": "x"}, {"content": ["x"]}, {"type": "message"}])
def test_what_is_no_message_is_no_answer(document: Any, endpoint: str) -> None:
    """A server that answers something else is in trouble."""
    assert reply(document, endpoint) == NoAnswer(FailureReason.INVALID_RESPONSE)


def test_odd_texts_survive() -> None:
    """Lone surrogates and long numbers, which not every JSON reader takes."""
    content = orjson.dumps(MESSAGE | {"stop_sequence": "MARK"}).replace(b"MARK", b"\\ud800")
    answer = reply(content)
    assert isinstance(answer, Answer) and b"\\ud800" in answer.body
    call = {"type": "tool_use", "id": "t", "name": "n", "input": {"n": "MARK"}}
    content = orjson.dumps(MESSAGE | {"content": [call]}).replace(b'"MARK"', b"12345678901234567890123")
    answer = reply(content)
    assert isinstance(answer, Answer) and b"12345678901234567890123" in answer.body
