"""The bodies of good answers, in OpenAI's shapes (openai/openai-openapi). What they say is derived from the request:
the same body always gets the same words and the same token counts."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from local.provider.faults import Wishes

MODELS = ("gpt-4o-mini", "gpt-4o", "gpt-4.1-mini", "o4-mini", "text-embedding-3-small", "omni-moderation-latest")

Body = dict[str, Any]
"""A JSON object, parsed."""

_WORDS = (
    "Here is what the request asks for, worked out step by step and kept short. The figures were checked twice; where "
    "the text leaves a choice open, the more careful reading was taken. Nothing was left out that a reader would miss. "
) * 40
_CHARS_PER_TOKEN = 4
_EMBEDDING_DIMENSIONS = {"text-embedding-3-large": 3072}
_CATEGORIES = ("harassment", "hate", "illicit", "self-harm", "sexual", "violence")
_SHORTEST_CACHED_PROMPT = 1024
_STREAM_CHUNK_CHARS = 24


class Unanswerable(Exception):
    """The request lacks a parameter; the message is OpenAI's, `args[1]` the parameter."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """`cached` are part of `prompt`, `reasoning` part of `output`."""

    prompt: int
    cached: int
    output: int
    reasoning: int


def count_tokens(body: Body, size: int, request: bytes, wishes: Wishes) -> Tokens:
    """Token counts of a request of `size` bytes with the hash `request`."""
    numbers = wishes.numbers
    prompt = size // _CHARS_PER_TOKEN + 1
    output = int(numbers.get("output", 8 + request[0] % 56))
    limit = body.get("max_completion_tokens") or body.get("max_tokens") or body.get("max_output_tokens")
    if isinstance(limit, int) and limit > 0:
        output = min(output, limit)
    model = body.get("model")
    thinks = isinstance(model, str) and model.startswith(("o1", "o3", "o4", "gpt-5", "gpt-6"))
    reasoning = int(numbers.get("reasoning", output // 2 if thinks else 0))
    cached = int(numbers.get("cached", prompt // 256 * 128 if prompt >= _SHORTEST_CACHED_PROMPT else 0))
    return Tokens(max(prompt, cached), cached, max(output, reasoning), reasoning)


def chat_completion(body: Body, tokens: Tokens, request: bytes, now: int) -> bytes:
    _require(body, "messages")
    if "tools" in body or "response_format" in body or "n" in body:
        message, finish_reason = _message(body, tokens, request)
        choices = [
            {"index": index, "message": message, "logprobs": None, "finish_reason": finish_reason}
            for index in range(body.get("n") or 1)
        ]
        encoded = orjson.dumps(choices)
    else:
        encoded = _CHAT_CHOICES % _text(tokens).encode()
    return _CHAT % (request.hex().encode(), now, orjson.dumps(body["model"]), encoded, _usage(tokens))


_CHAT = (
    b'{"id":"chatcmpl-%b","object":"chat.completion","created":%d,"model":%b,"choices":%b,"usage":%b,'
    b'"service_tier":"default","system_fingerprint":"fp_simulated"}'
)
_CHAT_CHOICES = (
    b'[{"index":0,"message":{"role":"assistant","content":"%b","refusal":null,"annotations":[]},'
    b'"logprobs":null,"finish_reason":"stop"}]'
)
_USAGE = (
    b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,'
    b'"prompt_tokens_details":{"cached_tokens":%d,"audio_tokens":0},'
    b'"completion_tokens_details":{"reasoning_tokens":%d,"audio_tokens":0,'
    b'"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}'
)


def completion(body: Body, tokens: Tokens, request: bytes, now: int) -> bytes:
    _require(body, "prompt")
    return orjson.dumps(
        {
            "id": f"cmpl-{request.hex()}",
            "object": "text_completion",
            "created": now,
            "model": body["model"],
            "choices": [{"text": _text(tokens), "index": 0, "logprobs": None, "finish_reason": "stop"}],
            "usage": orjson.Fragment(_usage(tokens)),
        }
    )


def embedding(body: Body, tokens: Tokens, request: bytes, now: int) -> bytes:
    _require(body, "input")
    inputs = body["input"]
    single = isinstance(inputs, str) or (isinstance(inputs, list) and bool(inputs) and isinstance(inputs[0], int))
    dimensions = body.get("dimensions") or _EMBEDDING_DIMENSIONS.get(body["model"], 1536)
    data = []
    for index in range(1 if single else len(inputs)):
        turn = request[index % 16] / 256
        vector = [round((turn + step * 0.618034) % 1 * 0.05 - 0.025, 6) for step in range(dimensions)]
        encoded = (
            base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode()
            if body.get("encoding_format") == "base64"
            else vector
        )
        data.append({"object": "embedding", "index": index, "embedding": encoded})
    usage = {"prompt_tokens": tokens.prompt, "total_tokens": tokens.prompt}
    return orjson.dumps({"object": "list", "data": data, "model": body["model"], "usage": usage})


def response(body: Body, tokens: Tokens, request: bytes, now: int) -> bytes:
    _require(body, "input")
    content = {"type": "output_text", "text": _text(tokens), "annotations": [], "logprobs": []}
    message = {
        "id": f"msg_{request.hex()}",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [content],
    }
    echoed: Body = {
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "store": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "user": None,
    }
    usage = {
        "input_tokens": tokens.prompt,
        "input_tokens_details": {"cached_tokens": tokens.cached},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.prompt + tokens.output,
    }
    return orjson.dumps(
        {
            "id": f"resp_{request.hex()}",
            "object": "response",
            "created_at": now,
            "status": "completed",
            "error": None,
            "incomplete_details": None,
            "model": body["model"],
            "output": [message],
            "reasoning": {"effort": None, "summary": None},
            "usage": usage,
        }
        | {name: body.get(name, value) for name, value in echoed.items()}
    )


def moderation(body: Body, tokens: Tokens, request: bytes, now: int) -> bytes:
    if "input" not in body:
        raise Unanswerable("Missing required parameter: 'input'.", "input")
    inputs = body["input"]
    results = []
    for text in [inputs] if isinstance(inputs, str) else inputs:
        flagged = "violence" if isinstance(text, str) and "kill" in text else None
        results.append(
            {
                "flagged": flagged is not None,
                "categories": {name: name == flagged for name in _CATEGORIES},
                "category_scores": {name: 0.98 if name == flagged else 0.0001 for name in _CATEGORIES},
                "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
            }
        )
    model = body.get("model") or "omni-moderation-latest"
    return orjson.dumps({"id": f"modr-{request.hex()}", "model": model, "results": results})


def chat_stream(body: Body, answer: bytes) -> list[bytes]:
    """The server-sent events of a streamed chat or text completion that says what `answer` says."""
    whole = orjson.loads(answer)
    options = body.get("stream_options") or {}
    head = {key: whole[key] for key in ("id", "created", "model")}
    chat = whole["object"] == "chat.completion"
    head["object"] = "chat.completion.chunk" if chat else "text_completion"
    choice = whole["choices"][0]
    text = (choice["message"]["content"] if chat else choice["text"]) or ""
    deltas: list[Body] = []
    if chat:
        first: Body = {"role": "assistant", "content": ""}
        if calls := choice["message"].get("tool_calls"):
            first = {"role": "assistant", "content": None, "tool_calls": [{"index": 0, **calls[0]}]}
        deltas.append({"delta": first})
    for start in range(0, len(text), _STREAM_CHUNK_CHARS):
        piece = text[start : start + _STREAM_CHUNK_CHARS]
        deltas.append({"delta": {"content": piece}} if chat else {"text": piece})
    deltas.append({"delta": {}} if chat else {"text": ""})
    usage = {"usage": None} if options.get("include_usage") else {}
    events = [
        head
        | {
            "choices": [
                {"index": 0, "logprobs": None, "finish_reason": choice["finish_reason"] if last else None} | delta
            ]
        }
        | usage
        for delta, last in zip(deltas, [False] * (len(deltas) - 1) + [True], strict=True)
    ]
    if options.get("include_usage"):
        events.append(head | {"choices": [], "usage": whole["usage"]})
    return [b"data: " + orjson.dumps(event) + b"\n\n" for event in events] + [b"data: [DONE]\n\n"]


def response_stream(body: Body, answer: bytes) -> list[bytes]:
    """The server-sent events of a streamed response."""
    whole = orjson.loads(answer)
    item = whole["output"][0]
    begun = whole | {"status": "in_progress", "output": [], "usage": None}
    place = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    events = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_text.delta", "delta": item["content"][0]["text"], "logprobs": [], **place},
        {"type": "response.output_text.done", "text": item["content"][0]["text"], "logprobs": [], **place},
        {"type": "response.completed", "response": whole},
    ]
    return [
        f"event: {event['type']}\n".encode() + b"data: " + orjson.dumps(event | {"sequence_number": number}) + b"\n\n"
        for number, event in enumerate(events)
    ]


def error_body(message: str, kind: str, param: str | None = None, code: str | None = None) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})


def model_list(now: int) -> bytes:
    data = [{"id": name, "object": "model", "created": now, "owned_by": "simulator"} for name in MODELS]
    return orjson.dumps({"object": "list", "data": data})


Answer = Callable[[Body, Tokens, bytes, int], bytes]
Stream = Callable[[Body, bytes], list[bytes]]

ENDPOINTS: dict[str, tuple[Answer, Stream | None]] = {
    "/v1/chat/completions": (chat_completion, chat_stream),
    "/v1/completions": (completion, chat_stream),
    "/v1/embeddings": (embedding, None),
    "/v1/responses": (response, response_stream),
    "/v1/moderations": (moderation, None),
}


def _require(body: Body, *names: str) -> None:
    for name in ("model", *names):
        if not body.get(name):
            raise Unanswerable(f"Missing required parameter: '{name}'.", name)


def _text(tokens: Tokens) -> str:
    """As many words as the answer's tokens, at four characters a token. No character in them needs escaping."""
    length = (tokens.output - tokens.reasoning) * _CHARS_PER_TOKEN
    return (_WORDS if length <= len(_WORDS) else _WORDS * (length // len(_WORDS) + 1))[:length]


def _usage(tokens: Tokens) -> bytes:
    total = tokens.prompt + tokens.output
    return _USAGE % (tokens.prompt, tokens.output, total, tokens.cached, tokens.reasoning)


def _message(body: Body, tokens: Tokens, request: bytes) -> tuple[Body, str]:
    message: Body = {"role": "assistant", "content": _text(tokens), "refusal": None, "annotations": []}
    if body.get("tools") and body.get("tool_choice", "auto") != "none":
        tool = body["tools"][0].get("function") or {}
        properties = (tool.get("parameters") or {}).get("properties") or {}
        arguments = {name: _example(schema) for name, schema in properties.items()}
        call = {
            "id": f"call_{request[:12].hex()}",
            "type": "function",
            "function": {"name": tool.get("name", "tool"), "arguments": orjson.dumps(arguments).decode()},
        }
        return message | {"content": None, "tool_calls": [call]}, "tool_calls"
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        schema = (wanted.get("json_schema") or {}).get("schema") or {}
        return message | {"content": orjson.dumps(_example(schema)).decode()}, "stop"
    if wanted.get("type") == "json_object":
        return message | {"content": orjson.dumps({"answer": _text(tokens)}).decode()}, "stop"
    return message, "stop"


def _example(schema: Body) -> Any:
    """A value that fits a simple JSON schema."""
    if schema.get("enum"):
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {name: _example(member) for name, member in (schema.get("properties") or {}).items()}
        case "array":
            return [_example(schema.get("items") or {})]
        case "integer" | "number":
            return 1
        case "boolean":
            return True
    return "example"
