"""Answers of Gemini's `generateContent` as chat completions, and what they say about tokens. Pure.

    Gemini                                    chat completion
    text parts of a candidate                 message.content, joined
    functionCall parts                        message.tool_calls
    texts of thoughts                         message.reasoning_content
    thoughtSignature                          extra_content.google.thought_signature, of a call or of the message
    other parts                               message.content_parts, as they are
    finishReason SAFETY, RECITATION, …        finish_reason content_filter, message.refusal
    promptFeedback.blockReason, no candidate  a choice with that finish_reason and refusal
    prompt + results of Gemini's own tools    usage.prompt_tokens
    candidates + thoughts                     usage.completion_tokens

What OpenAI has no member for stands beside those that it has.
"""

from __future__ import annotations

from typing import Any

from batchyard.adapters.providers.gemini.logprobs import logprobs_of
from batchyard.adapters.providers.translator import json_text
from batchyard.core.json_types import JsonObject
from batchyard.core.usage import REFUSED_USAGE, Usage, plausible_usage

_FINISH_REASONS = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
    "FINISH_REASON_UNSPECIFIED": "stop",
    "OTHER": "stop",
    "MALFORMED_FUNCTION_CALL": "stop",
    "UNEXPECTED_TOOL_CALL": "stop",
    "TOO_MANY_TOOL_CALLS": "stop",
    "MISSING_THOUGHT_SIGNATURE": "stop",
    "MALFORMED_RESPONSE": "stop",
    "NO_IMAGE": "stop",
    "IMAGE_OTHER": "stop",
}
"""All others are filters that the answer ran into."""
_FILTERED = "content_filter"
_FINISHED = frozenset({"", "STOP", "MAX_TOKENS", "CONTINUATION", "FINISH_REASON_UNSPECIFIED"})
"""After any other reason the answer is not the one that the model wanted to give, and says so."""
_BESIDE = {
    "citationMetadata": "citation_metadata",
    "groundingMetadata": "grounding_metadata",
    "urlContextMetadata": "url_context_metadata",
    "safetyRatings": "safety_ratings",
    "avgLogprobs": "avg_logprobs",
}
_COUNTS = (
    *("promptTokenCount", "toolUsePromptTokenCount", "cachedContentTokenCount"),
    *("candidatesTokenCount", "thoughtsTokenCount"),
)
_SERVICE_TIERS = {"standard": "default", "flex": "flex", "priority": "priority"}


def chat_completion(response: JsonObject, model: str, created: int) -> JsonObject | None:
    """`model`: the one that was asked. None if there is neither a candidate nor a reason why there is none."""
    choices = _choices(response)
    if not choices:
        return None
    usage = response.get("usageMetadata")
    document: JsonObject = {
        "id": response.get("responseId") or "",
        "object": "chat.completion",
        "created": created,
        "model": response.get("modelVersion") or model,
        "choices": choices,
        "usage": _usage(usage if isinstance(usage, dict) else {}),
    }
    tier = _SERVICE_TIERS.get(str(usage.get("serviceTier")).lower()) if isinstance(usage, dict) else None
    return document if tier is None else document | {"service_tier": tier}


def usage_of(response: JsonObject) -> Usage:
    """What the item used. Gemini counts thoughts apart from the answer, and bills both as output."""
    usage = response.get("usageMetadata")
    if not isinstance(usage, dict):
        return Usage()
    counts = [usage.get(name) for name in _COUNTS]
    if any(plausible_usage(count, None, None, None).refused for count in counts):
        return REFUSED_USAGE
    prompt, tools, cached, made, thought = (int(count or 0) for count in counts)
    return plausible_usage(prompt + tools, cached, made + thought, thought)


def _choices(response: JsonObject) -> list[JsonObject]:
    candidates = response.get("candidates")
    if isinstance(candidates, list) and candidates:
        if not all(isinstance(candidate, dict) for candidate in candidates):
            return []
        return [_choice(candidate, number, response) for number, candidate in enumerate(candidates)]
    feedback = response.get("promptFeedback")
    reason = feedback.get("blockReason") if isinstance(feedback, dict) else None
    if not isinstance(feedback, dict) or not isinstance(reason, str):
        return []
    told = feedback.get("blockReasonMessage")
    refusal = told if isinstance(told, str) and told else f"The prompt was blocked: {reason}."
    message = {"role": "assistant", "content": None, "refusal": refusal}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _FILTERED}
    return [choice | {"native_finish_reason": reason} | _beside(feedback)]


def _choice(candidate: JsonObject, number: int, response: JsonObject) -> JsonObject:
    reason = candidate.get("finishReason")
    name = reason if isinstance(reason, str) else ""
    content = candidate.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    message = _message(parts if isinstance(parts, list) else [], f"{response.get('responseId') or 'call'}_{number}")
    finish_reason = _FINISH_REASONS.get(name, _FILTERED) if name else "stop"
    if finish_reason == "stop" and "tool_calls" in message:
        finish_reason = "tool_calls"
    if name not in _FINISHED:
        message["refusal"] = _explanation(name, candidate.get("finishMessage"))
    index = candidate.get("index")
    return {
        "index": index if type(index) is int else number,
        "message": message,
        "logprobs": logprobs_of(candidate.get("logprobsResult")),
        "finish_reason": finish_reason,
        "native_finish_reason": reason,
    } | _beside(candidate)


def _beside(holder: JsonObject) -> JsonObject:
    return {name: holder[theirs] for theirs, name in _BESIDE.items() if holder.get(theirs) is not None}


def _explanation(reason: str, told: object) -> str:
    return told if isinstance(told, str) and told else f"The answer was not completed: {reason}."


def _message(parts: list[Any], call_prefix: str) -> JsonObject:
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[JsonObject] = []
    others: list[Any] = []
    signature = None
    for part in parts:
        found = part if isinstance(part, dict) else {}
        if isinstance(found.get("functionCall"), dict):
            calls.append(_tool_call(found, f"{call_prefix}_{len(calls)}"))
            continue
        signature = found.get("thoughtSignature") or signature
        if isinstance(found.get("text"), str):
            (thoughts if found.get("thought") is True else texts).append(found["text"])
        elif found.keys() - {"thoughtSignature", "thought"}:
            others.append(part)
    message: JsonObject = {"role": "assistant", "content": "".join(texts) if texts else None, "refusal": None}
    if calls:
        message["tool_calls"] = calls
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    if others:
        message["content_parts"] = others
    return message | _extra(signature)


def _tool_call(part: JsonObject, own_id: str) -> JsonObject:
    """`own_id`: for models that give their calls none."""
    call = part["functionCall"]
    function = {"name": call.get("name"), "arguments": json_text(call.get("args") or {})}
    identified = {"id": call.get("id") or own_id, "type": "function", "function": function}
    return identified | _extra(part.get("thoughtSignature"))


def _extra(signature: object) -> JsonObject:
    return {"extra_content": {"google": {"thought_signature": signature}}} if isinstance(signature, str) else {}


def _usage(usage: JsonObject) -> JsonObject:
    """In OpenAI's sense: what the model thought is part of what it wrote."""
    prompt, tools, cached, written, thought = (_count(usage.get(name)) for name in _COUNTS)
    given, made = prompt + tools, written + thought
    return {
        "prompt_tokens": given,
        "completion_tokens": made,
        "total_tokens": given + made,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


def _count(value: object) -> int:
    return value if type(value) is int and value > 0 else 0
