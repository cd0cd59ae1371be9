"""Answers of Bedrock's Converse as chat completions, what they say about tokens, and what its errors mean. Pure.

    Converse                                 chat completion
    text blocks                              message.content, joined
    toolUse                                  message.tool_calls
    reasoningContent                         message.reasoning_content, and whole in message.thinking_blocks
    other blocks                             message.content_blocks
    guardrail_intervened, content_filtered   finish_reason content_filter
    input + cache reads + cache writes       usage.prompt_tokens, with the two in prompt_tokens_details

What OpenAI has no member for stands beside those that it has. Errors come with their kind in a header
(`openai_replies.py` puts it into the error object); some mean something else than their status.
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from batchyard.adapters.providers.translator import json_text, read_document, rewritten
from batchyard.core.calls import Answer, NoAnswer, ProviderReply
from batchyard.core.json_types import JsonObject
from batchyard.core.retry import FailureReason
from batchyard.core.usage import Usage, plausible_usage

_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
_KEPT = ("additionalModelResponseFields", "trace", "performanceConfig")
"""Members that go on as they are."""

FAILURES = {
    "ModelErrorException": FailureReason.SERVER_ERROR,
    "ServiceQuotaExceededException": FailureReason.THROTTLED,
    "AccessDeniedException": FailureReason.KEY_REFUSED,
    "UnrecognizedClientException": FailureReason.KEY_REFUSED,
    "InvalidSignatureException": FailureReason.KEY_REFUSED,
    "IncompleteSignatureException": FailureReason.KEY_REFUSED,
    "MissingAuthenticationTokenException": FailureReason.KEY_REFUSED,
    "ExpiredTokenException": FailureReason.KEY_REFUSED,
}
"""Errors whose status (424, 400, 403) says something else. Without access to a model, or with the wrong role, every
call of the lane fails alike until a person acts."""


def as_chat_completion(answer: Answer, model: str, metadata: object, now: float) -> ProviderReply:
    """The answer of `model` as a chat completion created at `now` (unix seconds), with the `metadata` of the
    request."""
    if answer.failure is not None:
        return failed(answer)
    document = read_document(answer)
    blocks = _blocks(document) if document is not None else None
    if document is None or blocks is None:
        return NoAnswer(FailureReason.INVALID_RESPONSE)
    completion = _completion(document, blocks) | {
        "id": f"chatcmpl-{answer.request_id or int(now * 1000)}",
        "created": int(now),
        "model": model,
    }
    if isinstance(metadata, dict):
        completion["metadata"] = metadata
    return rewritten(answer, completion, usage_of(document))


def failed(answer: Answer) -> Answer:
    """The failure with the reason that its kind has at AWS."""
    document = read_document(answer)
    error = document.get("error") if document is not None else None
    kind = error.get("type") if isinstance(error, dict) else None
    reason = FAILURES.get(kind) if isinstance(kind, str) else None
    return answer if reason is None else replace(answer, failure=reason)


def _blocks(document: JsonObject) -> list[JsonObject] | None:
    """The content of the message; None if there is none."""
    output = document.get("output")
    message = output.get("message") if isinstance(output, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        return None
    return content


def _completion(document: JsonObject, blocks: list[JsonObject]) -> JsonObject:
    stopped = document.get("stopReason")
    choice = {
        "index": 0,
        "message": _message(blocks),
        "logprobs": None,
        "finish_reason": _FINISH_REASONS.get(str(stopped), "stop"),
        "native_finish_reason": stopped,
    }
    found: JsonObject = {"object": "chat.completion", "choices": [choice], "usage": _usage(document.get("usage"))}
    tier = document.get("serviceTier")
    if isinstance(tier, dict) and isinstance(tier.get("type"), str):
        found["service_tier"] = tier["type"]
    return found | {name: document[name] for name in _KEPT if document.get(name) is not None}


def _message(blocks: list[JsonObject]) -> JsonObject:
    texts: list[str] = []
    thinking: list[JsonObject] = []
    calls: list[JsonObject] = []
    others: list[JsonObject] = []
    for block in blocks:
        match block:
            case {"text": str(text)}:
                texts.append(text)
            case {"toolUse": {"name": str(name)} as call}:
                function = {"name": name, "arguments": json_text(call.get("input") or {})}
                calls.append({"id": call.get("toolUseId"), "type": "function", "function": function})
            case {"reasoningContent": {"reasoningText": {"text": str(text)} as thought}}:
                signature = {"signature": thought["signature"]} if thought.get("signature") else {}
                thinking.append({"type": "thinking", "thinking": text} | signature)
            case {"reasoningContent": {"redactedContent": str(data)}}:
                thinking.append({"type": "redacted_thinking", "data": data})
            case _:
                others.append(block)
    found: JsonObject = {"role": "assistant", "content": "".join(texts) if texts else None, "refusal": None}
    if calls:
        found["tool_calls"] = calls
    if thinking:
        found["reasoning_content"] = "".join(block.get("thinking", "") for block in thinking)
        found["thinking_blocks"] = thinking
    if others:
        found["content_blocks"] = others
    return found


def _usage(usage: object) -> JsonObject:
    """In OpenAI's sense: prompt tokens include those of the cache. Converse does not tell what was thought."""
    read, written = _count(usage, "cacheReadInputTokens"), _count(usage, "cacheWriteInputTokens")
    given, made = _count(usage, "inputTokens") + read + written, _count(usage, "outputTokens")
    return {
        "prompt_tokens": given,
        "completion_tokens": made,
        "total_tokens": given + made,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
    }


def _count(usage: object, name: str) -> int:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if type(value) is int else 0


def usage_of(document: JsonObject) -> Usage:
    """What is billed."""
    found: Any = document.get("usage")
    usage: Mapping[str, Any] = found if isinstance(found, dict) else {}
    read, written = usage.get("cacheReadInputTokens") or 0, usage.get("cacheWriteInputTokens") or 0
    given = usage.get("inputTokens")
    if type(given) is int and type(read) is int and type(written) is int:
        given += read + written
    return plausible_usage(given, read, usage.get("outputTokens"), None, written)
