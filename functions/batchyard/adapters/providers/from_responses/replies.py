"""Chat completions as responses. Pure.

    finish_reason stop, tool_calls            status completed
    length                                    incomplete: max_output_tokens
    content_filter                            incomplete: content_filter; completed if the message says why it refuses
    message.reasoning_content, reasoning      an item of the type reasoning
    message.content, message.refusal          an item of the type message
    message.tool_calls                        items of the type function_call

What a response has no member for stands beside those that it has, under the name that the provider's answer gave it;
behind `chat_` if a response calls something else by that name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from batchyard.adapters.providers.translator import read_document, rewritten
from batchyard.core.calls import Answer, NoAnswer, ProviderReply
from batchyard.core.json_types import JsonObject
from batchyard.core.retry import FailureReason

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_REPEATED: JsonObject = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
"""What a response repeats of its request, and what stands there if the request does not say."""
_NEVER: JsonObject = {
    "background": False,
    "error": None,
    "max_tool_calls": None,
    "previous_response_id": None,
    "store": False,
}
_NEVER_HAD = frozenset(
    {"access_programs", "completed_at", "context_management", "conversation", "image", "input_transformations"}
    | {"moderation", "output_text", "prompt", "prompt_cache_diagnostics", "prompt_cache_options"}
    | {"prompt_cache_retention", "tool_usage"}
)
"""Members that a response may have and these never do. Vendors have members of these names in chat completions that
mean something else: Together's `prompt` is a list."""
_OF_COMPLETION = frozenset({"id", "object", "created", "model", "choices", "usage", "service_tier", "metadata"})
_OF_CHOICE = frozenset({"index", "message", "logprobs", "finish_reason"})
_OF_MESSAGE = frozenset(
    {"role", "content", "refusal", "tool_calls", "reasoning_content", "reasoning", "annotations", "function_call"}
)


def as_response(answer: Answer, asked: JsonObject, now: float) -> ProviderReply:
    """The answer of a server of chat completions as a response to the request `asked`, created at `now` (unix seconds)
    if the answer does not say. Errors are alike in both forms."""
    if answer.failure is not None:
        return answer
    completion = read_document(answer)
    response = response_of(completion, asked, int(now)) if completion is not None else None
    return NoAnswer(FailureReason.INVALID_RESPONSE) if response is None else rewritten(answer, response)


def response_of(completion: JsonObject, asked: JsonObject, now: int) -> JsonObject | None:
    """None if `completion` has no choice with a message."""
    choices = completion.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    said = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(said, dict):
        return None
    identifier = str(completion.get("id") or "response")
    why = _INCOMPLETE.get(str(choice.get("finish_reason")))
    if why == "content_filter" and said.get("refusal"):
        why = None
    created = completion.get("created")
    response = {
        "id": identifier,
        "object": "response",
        "created_at": created if type(created) is int else now,
        "status": "completed" if why is None else "incomplete",
        "incomplete_details": None if why is None else {"reason": why},
        "model": completion.get("model"),
        "output": _output(identifier, choice, said, "completed" if why is None else "incomplete"),
        "usage": _usage(completion.get("usage")),
        "service_tier": completion.get("service_tier") or asked.get("service_tier"),
        **_NEVER,
        **_repeated(asked),
    }
    others = _others(completion, _OF_COMPLETION) | _others(choice, _OF_CHOICE) | _others(said, _OF_MESSAGE)
    taken = response.keys() | _NEVER_HAD
    return {f"chat_{name}" if name in taken else name: value for name, value in others.items()} | response


def _repeated(asked: JsonObject) -> JsonObject:
    """What a response repeats of its request."""
    fields = {name: default if asked.get(name) is None else asked[name] for name, default in _REPEATED.items()}
    if isinstance(fields["text"], dict):
        given = {name: value for name, value in fields["text"].items() if value is not None}
        fields["text"] = _REPEATED["text"] | given
    return fields | {"tools": [{"parameters": None, "strict": None} | tool for tool in asked.get("tools") or ()]}


def _others(given: Mapping[str, Any], known: frozenset[str]) -> JsonObject:
    return {name: value for name, value in given.items() if name not in known and value is not None}


def _output(identifier: str, choice: JsonObject, said: JsonObject, status: str) -> list[JsonObject]:
    items: list[JsonObject] = []
    thought = said.get("reasoning_content") or said.get("reasoning")
    if isinstance(thought, str) and thought:
        content = [{"type": "reasoning_text", "text": thought}]
        items.append({"id": f"rs_{identifier}", "type": "reasoning", "summary": [], "content": content})
    calls = [_call(call) for call in _list(said.get("tool_calls")) if isinstance(call, dict)]
    if parts := _parts(choice, said, has_calls=bool(calls)):
        message: JsonObject = {"id": f"msg_{identifier}", "type": "message", "role": "assistant", "status": status}
        items.append(message | {"content": parts})
    return items + calls


def _parts(choice: JsonObject, said: JsonObject, *, has_calls: bool) -> list[JsonObject]:
    parts: list[JsonObject] = []
    text, refusal = said.get("content"), said.get("refusal")
    if isinstance(text, str) and (text or not (has_calls or refusal)):
        annotations = [_annotation(each) for each in _list(said.get("annotations"))]
        logprobs = [_logprob(each) for each in _list(_content(choice.get("logprobs")))]
        parts.append({"type": "output_text", "text": text, "annotations": annotations, "logprobs": logprobs})
    if isinstance(refusal, str) and refusal:
        parts.append({"type": "refusal", "refusal": refusal})
    return parts


def _annotation(given: Any) -> Any:
    """In a chat completion a citation is an object inside; in a response its members stand beside the type."""
    inside = given.get(str(given.get("type"))) if isinstance(given, dict) else None
    return {"type": given["type"], **inside} if isinstance(inside, dict) else given


def _content(logprobs: Any) -> Any:
    return logprobs.get("content") if isinstance(logprobs, dict) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _logprob(given: Any) -> Any:
    """A response has bytes for each token."""
    if not isinstance(given, dict):
        return given
    found = given | {"bytes": given.get("bytes") or []}
    if isinstance(given.get("top_logprobs"), list):
        found["top_logprobs"] = [_logprob(each) for each in given["top_logprobs"]]
    return found


def _call(call: JsonObject) -> JsonObject:
    function = call.get("function")
    name, arguments = (function.get("name"), function.get("arguments")) if isinstance(function, dict) else (None, None)
    identifier = call.get("id")
    item = {"id": f"fc_{identifier}", "type": "function_call", "call_id": identifier, "status": "completed"}
    others = _others(call, frozenset({"id", "type", "function", "index"}))
    return others | item | {"name": name, "arguments": arguments if isinstance(arguments, str) else ""}


def _usage(usage: Any) -> JsonObject | None:
    if not isinstance(usage, dict):
        return None
    given, made = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    read, written = (_count(usage.get("prompt_tokens_details"), f"{name}_tokens") for name in ("cached", "cache_write"))
    thought = _count(usage.get("completion_tokens_details"), "reasoning_tokens")
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": read, "cache_write_tokens": written},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": given + made,
    }


def _count(usage: Any, name: str) -> int:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if type(value) is int and value > 0 else 0
