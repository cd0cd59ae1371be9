"""Good answers of Anthropic's Messages, and what it refuses.

https://docs.claude.com/en/api/messages; the SDK's `types/message_create_params.py`
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import orjson

from local.provider.answers.content import Body, Endpoint, Tokens, Unanswerable, example_of, words_of
from local.provider.wire import Refused, Request

_FIELDS = frozenset(
    {
        "cache_control",
        "container",
        "diagnostics",
        "inference_geo",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "output_config",
        "service_tier",
        "speed",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    }
)
_VERSIONS = ("2023-06-01", "2026-10-21")
_SAMPLING = ("temperature", "top_k", "top_p")
_NEEDED = ("model", "messages", "max_tokens")
_LEAST_THINKING_TOKENS = 1024
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def message(body: Body, tokens: Tokens, request: bytes, now: int) -> bytes:
    check_params(body)
    blocks, stop_reason = _blocks(body, tokens, request)
    usage = {
        "input_tokens": tokens.prompt - tokens.cached - tokens.written,
        "cache_creation_input_tokens": tokens.written,
        "cache_read_input_tokens": tokens.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": tokens.written, "ephemeral_1h_input_tokens": 0},
        "output_tokens": tokens.output,
        "service_tier": "standard",
    }
    return orjson.dumps(
        {
            "id": f"msg_{request.hex()}",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": blocks,
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": usage,
        }
    )


def check_params(body: Body) -> None:
    """Raises Unanswerable for what Anthropic refuses: fields that it does not know, too."""
    for name in _NEEDED:
        if body.get(name) is None:
            raise Unanswerable(f"{name}: Field required", name)
    for name in body:
        if name not in _FIELDS:
            raise Unanswerable(f"{name}: Extra inputs are not permitted", name)
    for name in body.get("metadata") or {}:
        if name != "user_id":
            raise Unanswerable(f"metadata.{name}: Extra inputs are not permitted", "metadata")
    if type(body["max_tokens"]) is not int or body["max_tokens"] < 1:
        raise Unanswerable("max_tokens: Input should be greater than or equal to 1", "max_tokens")
    temperature = body.get("temperature")
    if isinstance(temperature, int | float) and not 0 <= temperature <= 1:
        raise Unanswerable("temperature: Input should be less than or equal to 1", "temperature")
    if not body["messages"]:
        raise Unanswerable("messages: at least one message is required", "messages")
    for number, turn in enumerate(body["messages"]):
        _check_turn(number, turn)
    thinking = body.get("thinking") or {}
    if thinking.get("type") == "enabled":
        budget = thinking.get("budget_tokens")
        if not isinstance(budget, int) or not _LEAST_THINKING_TOKENS <= budget < body["max_tokens"]:
            raise Unanswerable("thinking.budget_tokens: has to be 1024 or more, and below max_tokens", "thinking")


def message_stream(body: Body, answer: bytes) -> list[bytes]:
    """The server-sent events of a streamed message."""
    whole = orjson.loads(answer)
    begun = whole | {"content": [], "stop_reason": None, "usage": whole["usage"] | {"output_tokens": 1}}
    events: list[Body] = [{"type": "message_start", "message": begun}]
    for index, block in enumerate(whole["content"]):
        empty, delta = _pieces(block)
        events += [
            {"type": "content_block_start", "index": index, "content_block": empty},
            {"type": "content_block_delta", "index": index, "delta": delta},
            {"type": "content_block_stop", "index": index},
        ]
    ended = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    usage = {"output_tokens": whole["usage"]["output_tokens"]}
    events += [{"type": "message_delta", "delta": ended, "usage": usage}, {"type": "message_stop"}]
    return [f"event: {event['type']}\n".encode() + b"data: " + orjson.dumps(event) + b"\n\n" for event in events]


ENDPOINTS = {"/v1/messages": Endpoint(message, message_stream)}


def error_body(refused: Refused) -> bytes:
    kind = _ERROR_TYPES.get(refused.status) or ("api_error" if refused.status >= 500 else "invalid_request_error")
    return orjson.dumps(
        {"type": "error", "error": {"type": kind, "message": refused.message}, "request_id": "req_simulated"}
    )


def check_call(request: Request, body: Body) -> None:
    """Raises Refused without the header that every call has to have, and for what that version does not take: the first
    one knows no system turns, the second one no sampling."""
    version = request.header(b"anthropic-version")
    if version not in _VERSIONS:
        raise Refused(400, "anthropic-version: header is required, with a version that exists")
    for name in _SAMPLING if version == _VERSIONS[1] else ():
        if name in body:
            raise Refused(400, f"{name}: Extra inputs are not permitted", param=name)
    for number, turn in enumerate(body.get("messages") or [] if version == _VERSIONS[0] else []):
        if type(turn) is dict and turn.get("role") == "system":
            raise Refused(400, f"messages.{number}.role: Input should be 'user' or 'assistant'", param="messages")


def _check_turn(number: int, turn: Any) -> None:
    place = f"messages.{number}"
    if type(turn) is not dict or turn.get("role") not in ("user", "assistant", "system"):
        raise Unanswerable(f"{place}.role: Input should be 'user', 'assistant' or 'system'", "messages")
    content = turn.get("content")
    if not content:
        raise Unanswerable(f"{place}.content: Field required", "messages")
    if type(content) is list and any(type(block) is not dict or "type" not in block for block in content):
        raise Unanswerable(f"{place}.content: each block has to have a type", "messages")


def _blocks(body: Body, tokens: Tokens, request: bytes) -> tuple[list[Body], str]:
    blocks: list[Body] = []
    if (body.get("thinking") or {}).get("type") in ("enabled", "adaptive"):
        signature = base64.b64encode(hashlib.blake2b(request).digest()).decode()
        blocks.append({"type": "thinking", "thinking": "Let me see.", "signature": signature})
    choice = (body.get("tool_choice") or {}).get("type", "auto")
    if body.get("tools") and choice != "none":
        tool = body["tools"][0]
        schema = tool.get("input_schema") or {}
        call = {"type": "tool_use", "id": f"toolu_{request[:12].hex()}", "name": tool.get("name", "tool")}
        return [*blocks, call | {"input": example_of(schema | {"type": "object"})}], "tool_use"
    wanted = (body.get("output_config") or {}).get("format") or {}
    if wanted.get("type") == "json_schema":
        text = orjson.dumps(example_of(wanted.get("schema") or {})).decode()
    else:
        text = words_of(tokens)
    return [*blocks, {"type": "text", "text": text, "citations": None}], "end_turn"


def _pieces(block: Body) -> tuple[Body, Body]:
    """A block without its content, and its content as one delta."""
    match block["type"]:
        case "text":
            return block | {"text": ""}, {"type": "text_delta", "text": block["text"]}
        case "thinking":
            return block | {"thinking": ""}, {"type": "thinking_delta", "thinking": block["thinking"]}
    return block | {"input": {}}, {
        "type": "input_json_delta",
        "partial_json": orjson.dumps(block["input"]).decode(),
    }
