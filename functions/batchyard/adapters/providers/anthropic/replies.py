"""Answers of Anthropic's Messages as chat completions, and what they say about tokens. Pure.

    Message                                chat completion
    text blocks                            message.content, joined
    tool_use blocks                        message.tool_calls
    thinking blocks                        message.reasoning_content, and as they are in message.thinking_blocks
    stop_reason refusal, stop_details      finish_reason content_filter, message.refusal
    input + cache reads + cache writes     usage.prompt_tokens, with the two in prompt_tokens_details

What OpenAI has no member for stands beside those that it has, under names that other gateways use, too.
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
    "refusal": "content_filter",
}
_SERVICE_TIERS = {"standard": "default", "priority": "priority"}
_REFUSED = "The model declined to answer."


def as_message(answer: Answer) -> ProviderReply:
    """An answer to an item in Anthropic's own form: its bytes, with its tokens counted as Anthropic counts them."""
    if answer.failure is not None:
        return answer
    message = _message(answer)
    if message is None:
        return NoAnswer(FailureReason.INVALID_RESPONSE)
    return replace(answer, usage=usage_of(message))


def as_chat_completion(answer: Answer, metadata: object, now: float) -> ProviderReply:
    """The answer as a chat completion created at `now` (unix seconds), with the `metadata` of the request."""
    if answer.failure is not None:
        return _failed(answer)
    message = _message(answer)
    if message is None:
        return NoAnswer(FailureReason.INVALID_RESPONSE)
    document = chat_completion(message, int(now))
    if isinstance(metadata, dict):
        document["metadata"] = metadata
    return rewritten(answer, document, usage_of(message))


def chat_completion(message: JsonObject, created: int) -> JsonObject:
    """`message`: an object whose `content` is a list of objects."""
    usage = message.get("usage")
    document: JsonObject = {
        "id": message.get("id"),
        "object": "chat.completion",
        "created": created,
        "model": message.get("model"),
        "choices": [_choice(message)],
        "usage": _usage(usage if isinstance(usage, dict) else {}),
    }
    tier = _SERVICE_TIERS.get(str(usage.get("service_tier"))) if isinstance(usage, dict) else None
    return document if tier is None else document | {"service_tier": tier}


def usage_of(message: JsonObject) -> Usage:
    """What the item used. Anthropic's `input_tokens` are those that have nothing to do with its cache."""
    usage = message.get("usage")
    if not isinstance(usage, dict):
        return Usage()
    read, written = usage.get("cache_read_input_tokens"), usage.get("cache_creation_input_tokens")
    details = usage.get("output_tokens_details")
    thought = details.get("thinking_tokens") if isinstance(details, dict) else None
    counts = usage.get("input_tokens"), read, written
    if any(type(count) not in (int, type(None)) for count in counts):
        return plausible_usage("not a count", None, None, None)
    given = sum(count for count in counts if count is not None)
    return plausible_usage(given, read, usage.get("output_tokens"), thought, written)


def _message(answer: Answer) -> JsonObject | None:
    """The Message, or None if this is none."""
    message = read_document(answer)
    if message is None or not isinstance(message.get("content"), list):
        return None
    return message if all(isinstance(block, dict) for block in message["content"]) else None


def _choice(message: JsonObject) -> JsonObject:
    stopped = message.get("stop_reason")
    choice: JsonObject = {
        "index": 0,
        "message": _assistants_message(message, stopped == "refusal"),
        "logprobs": None,
        "finish_reason": _FINISH_REASONS.get(str(stopped), "stop"),
        "native_finish_reason": stopped,
    }
    if message.get("stop_sequence") is not None:
        choice["stop_reason"] = message["stop_sequence"]
    return choice


def _assistants_message(message: JsonObject, is_refused: bool) -> JsonObject:
    texts: list[str] = []
    thinking: list[JsonObject] = []
    calls: list[JsonObject] = []
    others: list[JsonObject] = []
    for block in message["content"]:
        match block.get("type"):
            case "text":
                texts.append(str(block.get("text") or ""))
            case "thinking" | "redacted_thinking":
                thinking.append(block)
            case "tool_use":
                calls.append(_tool_call(block))
            case _:
                others.append(block)
    found: JsonObject = {"role": "assistant", "content": "".join(texts) if texts else None, "refusal": None}
    if is_refused:
        found["refusal"] = _explanation(message.get("stop_details"))
    if calls:
        found["tool_calls"] = calls
    if thinking:
        found["reasoning_content"] = "".join(str(block.get("thinking") or "") for block in thinking)
        found["thinking_blocks"] = thinking
    if others:
        found["content_blocks"] = others
    return found


def _tool_call(block: JsonObject) -> JsonObject:
    function = {"name": block.get("name"), "arguments": json_text(block.get("input") or {})}
    return {"id": block.get("id"), "type": "function", "function": function}


def _explanation(details: Any) -> str:
    explanation = details.get("explanation") if isinstance(details, dict) else None
    return explanation if isinstance(explanation, str) else _REFUSED


def _usage(usage: Mapping[str, Any]) -> JsonObject:
    """In OpenAI's sense: prompt tokens include those of the cache."""
    read, written = _count(usage, "cache_read_input_tokens"), _count(usage, "cache_creation_input_tokens")
    given, made = _count(usage, "input_tokens") + read + written, _count(usage, "output_tokens")
    details = usage.get("output_tokens_details")
    thought = _count(details, "thinking_tokens") if isinstance(details, dict) else 0
    return {
        "prompt_tokens": given,
        "completion_tokens": made,
        "total_tokens": given + made,
        "prompt_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


def _count(usage: Mapping[str, Any], name: str) -> int:
    value = usage.get(name)
    return value if type(value) is int else 0


def _failed(answer: Answer) -> ProviderReply:
    """Anthropic's error object as OpenAI's; anything else as it is."""
    document = read_document(answer)
    error = document.get("error") if document is not None else None
    if document is None or document.get("type") != "error" or not isinstance(error, dict):
        return answer
    told = {"message": error.get("message"), "type": error.get("type"), "param": None, "code": None}
    return rewritten(answer, {"error": told})
