"""Chat completions as Anthropic's Messages: what an item in Anthropic's form gets from every other vendor. Pure."""

from __future__ import annotations

from batchyard.adapters.providers.translator import read_document, rewritten
from batchyard.core import exact_json
from batchyard.core.calls import Answer, NoAnswer, ProviderReply
from batchyard.core.json_types import JsonObject
from batchyard.core.retry import FailureReason

_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_WRONG_ARGUMENTS = "invalid_json"
"""The one member of a tool's input that the model wrote wrongly: its text. (OpenAI's models may do so if `strict` is
not set; Anthropic's form has no place for it, and the answer is paid for.)"""


def as_message(answer: Answer) -> ProviderReply:
    """The answer of a server of chat completions in the form of Messages."""
    document = read_document(answer)
    if answer.failure is not None:
        return rewritten(answer, _error(answer, document))
    message = message_of(document) if document is not None else None
    if message is None:
        return NoAnswer(FailureReason.INVALID_RESPONSE)
    return rewritten(answer, message)


def message_of(completion: JsonObject) -> JsonObject | None:
    """None if `completion` has no choice with a message."""
    choices = completion.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    said = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(said, dict):
        return None
    refusal = said.get("refusal")
    stopped_by = choice.get("stop_reason") if isinstance(choice.get("stop_reason"), str) else None
    return {
        "id": completion.get("id"),
        "type": "message",
        "role": "assistant",
        "model": completion.get("model"),
        "content": _content(said),
        "stop_reason": _stop_reason(choice, refused=bool(refusal), stopped_by=stopped_by),
        "stop_sequence": stopped_by,
        "stop_details": {"type": "refusal", "category": None, "explanation": refusal} if refusal else None,
        "usage": _usage(completion.get("usage")),
    }


def _stop_reason(choice: JsonObject, *, refused: bool, stopped_by: str | None) -> str:
    if refused:
        return "refusal"
    if stopped_by is not None:
        return "stop_sequence"
    return _STOP_REASONS.get(str(choice.get("finish_reason")), "end_turn")


def _content(said: JsonObject) -> list[JsonObject]:
    blocks: list[JsonObject] = []
    thought = said.get("reasoning_content") or said.get("reasoning")
    if isinstance(thought, str) and thought:
        blocks.append({"type": "thinking", "thinking": thought, "signature": ""})
    for name in ("content", "refusal"):
        text = said.get(name)
        if isinstance(text, str) and text:
            blocks.append({"type": "text", "text": text})
    for call in said.get("tool_calls") or ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            value = _arguments(function.get("arguments"))
            blocks.append({"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": value})
    return blocks


def _arguments(text: object) -> JsonObject:
    if text is None or text == "":
        return {}
    try:
        value = exact_json.loads(str(text).encode("utf-8", "surrogatepass"))
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {_WRONG_ARGUMENTS: text}


def _usage(usage: object) -> JsonObject:
    """In Anthropic's sense: input tokens without those of the cache."""
    given, made = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    details = usage.get("prompt_tokens_details") if isinstance(usage, dict) else None
    read = min(_count(details, "cached_tokens"), given)
    written = min(_count(details, "cache_write_tokens"), given - read)
    made_details = usage.get("completion_tokens_details") if isinstance(usage, dict) else None
    return {
        "input_tokens": given - read - written,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
        "output_tokens": made,
        "output_tokens_details": {"thinking_tokens": _count(made_details, "reasoning_tokens")},
    }


def _count(usage: object, name: str) -> int:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if type(value) is int and value > 0 else 0


def _error(answer: Answer, document: JsonObject | None) -> JsonObject:
    """An error object of any vendor as Anthropic's."""
    error = document.get("error", document) if document is not None else None
    message = error.get("message") if isinstance(error, dict) else error
    kind = _ERROR_TYPES.get(answer.status, "api_error" if answer.status >= 500 else "invalid_request_error")
    told = {"type": kind, "message": message if isinstance(message, str) else answer.body.decode("utf-8", "replace")}
    return {"type": "error", "error": told}
