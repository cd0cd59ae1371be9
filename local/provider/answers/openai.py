"""The bodies of good answers in OpenAI's shapes (openai/openai-openapi), which many vendors share."""

from __future__ import annotations

import base64
import struct

import orjson

from local.provider.answers.content import Body, Endpoint, Tokens, Unanswerable, example_of, vector_of, words_of

MODELS = ("gpt-4o-mini", "gpt-4o", "gpt-4.1-mini", "o4-mini", "text-embedding-3-small", "omni-moderation-latest")

_EMBEDDING_DIMENSIONS = {"text-embedding-3-large": 3072}
_CATEGORIES = ("harassment", "hate", "illicit", "self-harm", "sexual", "violence")
_STREAM_CHUNK_CHARS = 24


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
        encoded = _CHAT_CHOICES % words_of(tokens).encode()
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
            "choices": [{"text": words_of(tokens), "index": 0, "logprobs": None, "finish_reason": "stop"}],
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
        vector = vector_of(request, index, dimensions)
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
    content = {"type": "output_text", "text": words_of(tokens), "annotations": [], "logprobs": []}
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


def model_list(now: int) -> bytes:
    data = [{"id": name, "object": "model", "created": now, "owned_by": "simulator"} for name in MODELS]
    return orjson.dumps({"object": "list", "data": data})


def images(body: Body, tokens: Tokens, request: bytes, now: int) -> bytes:
    """As many pictures as are asked for, each as long as `user` says (`image-bytes:4000000`)."""
    _require(body, "prompt")
    if "images" in body and not body["images"]:
        raise Unanswerable("Invalid 'images': at least one image is required.", "images")
    if body.get("size") == "1x1":
        raise Unanswerable("Invalid size '1x1'.", "size")
    count, given = body.get("n") or 1, len(body.get("images") or ()) + ("mask" in body)
    made = count * _IMAGE_TOKENS.get(body.get("quality") or "auto", 4160)
    size = int(body.get("user", "").partition("image-bytes:")[2] or len(_PIXEL))
    picture = base64.b64encode((_PIXEL + bytes(size))[:size]).decode()
    usage = {
        "input_tokens": tokens.prompt + given * _GIVEN_IMAGE_TOKENS,
        "input_tokens_details": {"text_tokens": tokens.prompt, "image_tokens": given * _GIVEN_IMAGE_TOKENS},
        "output_tokens": made,
        "output_tokens_details": {"text_tokens": 0, "image_tokens": made},
        "total_tokens": tokens.prompt + given * _GIVEN_IMAGE_TOKENS + made,
    }
    echoed = {"background": "opaque", "output_format": "png", "quality": "high", "size": "1024x1024"}
    data = [{"b64_json": picture}] * count
    return orjson.dumps(
        {
            "created": now,
            **{name: body.get(name, value) for name, value in echoed.items()},
            "data": data,
            "usage": usage,
        }
    )


_IMAGE_TOKENS = {"low": 272, "medium": 1056}
_GIVEN_IMAGE_TOKENS = 4_096
_PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


ENDPOINTS = {
    "/v1/chat/completions": Endpoint(chat_completion, chat_stream),
    "/v1/completions": Endpoint(completion, chat_stream),
    "/v1/embeddings": Endpoint(embedding),
    "/v1/responses": Endpoint(response, response_stream),
    "/v1/moderations": Endpoint(moderation),
    "/v1/images/generations": Endpoint(images),
    "/v1/images/edits": Endpoint(images),
}


def _require(body: Body, *names: str) -> None:
    for name in ("model", *names):
        if not body.get(name):
            raise Unanswerable(f"Missing required parameter: '{name}'.", name)


def _usage(tokens: Tokens) -> bytes:
    total = tokens.prompt + tokens.output
    return _USAGE % (tokens.prompt, tokens.output, total, tokens.cached, tokens.reasoning)


def _message(body: Body, tokens: Tokens, request: bytes) -> tuple[Body, str]:
    message: Body = {"role": "assistant", "content": words_of(tokens), "refusal": None, "annotations": []}
    if body.get("tools") and body.get("tool_choice", "auto") != "none":
        tool = body["tools"][0].get("function") or {}
        properties = (tool.get("parameters") or {}).get("properties") or {}
        arguments = {name: example_of(schema) for name, schema in properties.items()}
        call = {
            "id": f"call_{request[:12].hex()}",
            "type": "function",
            "function": {"name": tool.get("name", "tool"), "arguments": orjson.dumps(arguments).decode()},
        }
        return message | {"content": None, "tool_calls": [call]}, "tool_calls"
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        schema = (wanted.get("json_schema") or {}).get("schema") or {}
        return message | {"content": orjson.dumps(example_of(schema)).decode()}, "stop"
    if wanted.get("type") == "json_object":
        return message | {"content": orjson.dumps({"answer": words_of(tokens)}).decode()}, "stop"
    return message, "stop"
