"""Good answers of Gemini's `generateContent` and embeddings, and what it refuses.

https://ai.google.dev/api/generate-content; https://ai.google.dev/api/embeddings
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from local.provider.answers.content import (
    Body,
    Endpoint,
    Tokens,
    Unanswerable,
    example_of,
    vector_of,
    words_of,
)
from local.provider.wire import Refused, Request

_PATH = re.compile(r"/v1beta/models/([^/:]+):(\w+)")
_CAPITAL = re.compile(r"[A-Z]")
_MODEL = re.compile(r"/models/([^/:]+):")
_FIELDS = frozenset(
    {
        "cachedContent",
        "contents",
        "generationConfig",
        "model",
        "safetySettings",
        "serviceTier",
        "store",
        "systemInstruction",
        "toolConfig",
        "tools",
    }
)
_GENERATION_FIELDS = frozenset(
    {
        "audioTimestamp",
        "candidateCount",
        "frequencyPenalty",
        "imageConfig",
        "logprobs",
        "maxOutputTokens",
        "mediaResolution",
        "presencePenalty",
        "responseJsonSchema",
        "responseLogprobs",
        "responseMimeType",
        "responseModalities",
        "responseSchema",
        "seed",
        "speechConfig",
        "stopSequences",
        "temperature",
        "thinkingConfig",
        "topK",
        "topP",
    }
)
_EMBED_FIELDS = frozenset({"content", "embedContentConfig", "model", "outputDimensionality", "taskType", "title"})
_DIMENSIONS = 3072
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def generate_content(body: Body, tokens: Tokens, request: bytes, now: int) -> bytes:
    _check_content(body)
    generation = _get(body, "generationConfig") or {}
    candidate = {"content": {"role": "model", "parts": _parts(body, generation, tokens, request)}}
    usage = {
        "promptTokenCount": tokens.prompt,
        "candidatesTokenCount": tokens.output - tokens.reasoning,
        "totalTokenCount": tokens.prompt + tokens.output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens.prompt}],
    }
    if tokens.reasoning:
        usage["thoughtsTokenCount"] = tokens.reasoning
    if tokens.cached:
        usage["cachedContentTokenCount"] = tokens.cached
    return orjson.dumps(
        {
            "candidates": [
                candidate | {"finishReason": "STOP", "index": index}
                for index in range(_get(generation, "candidateCount") or 1)
            ],
            "usageMetadata": usage,
            "modelVersion": body["model"],
            "responseId": request.hex(),
        }
    )


def embed_content(body: Body, tokens: Tokens, request: bytes, now: int) -> bytes:
    _check_known(body, _EMBED_FIELDS, "")
    if not isinstance(body.get("content"), dict):
        raise Unanswerable("* EmbedContentRequest.content: contents is not specified", "content")
    return orjson.dumps({"embedding": {"values": _vector(body, request, 0)}})


def batch_embed_contents(body: Body, tokens: Tokens, request: bytes, now: int) -> bytes:
    requests = body.get("requests")
    if not requests:
        raise Unanswerable("* BatchEmbedContentsRequest.requests: must not be empty", "requests")
    for asked in requests:
        _check_known(asked, _EMBED_FIELDS, "requests.")
    return orjson.dumps(
        {"embeddings": [{"values": _vector(asked, request, index)} for index, asked in enumerate(requests)]}
    )


_ENDPOINTS = {
    "generateContent": Endpoint(generate_content),
    "embedContent": Endpoint(embed_content),
    "batchEmbedContents": Endpoint(batch_embed_contents),
}


def find(path: str) -> Endpoint | None:
    match = _PATH.fullmatch(path)
    return _ENDPOINTS.get(match.group(2)) if match else None


def complete(body: Body, request: Request) -> Body:
    """The body with the model, which Gemini has in the path."""
    match = _MODEL.search(request.path)
    return body if match is None else body | {"model": match.group(1)}


def path_of(model: str, operation: str) -> str:
    return f"/v1beta/models/{model}:{operation}"


def error_of(refused: Refused) -> dict[str, Any]:
    status = _STATUSES.get(refused.status) or ("INTERNAL" if refused.status >= 500 else "FAILED_PRECONDITION")
    return {"code": refused.status, "message": refused.message, "status": status}


def error_body(refused: Refused) -> bytes:
    return orjson.dumps({"error": error_of(refused)})


def _check_content(body: Body) -> None:
    _check_known(body, _FIELDS, "")
    _check_known(_get(body, "generationConfig") or {}, _GENERATION_FIELDS, "generation_config.")
    if not body.get("contents"):
        raise Unanswerable("* GenerateContentRequest.contents: contents is not specified", "contents")
    for turn in body["contents"]:
        if type(turn) is not dict or turn.get("role", "user") not in ("user", "model"):
            raise Unanswerable("Please use a valid role: user, model.", "contents")
        if not turn.get("parts"):
            raise Unanswerable("* GenerateContentRequest.contents: contents.parts must not be empty.", "contents")


def _check_known(body: Body, fields: frozenset[str], place: str) -> None:
    for name in body:
        head, *rest = name.split("_")
        if name not in fields and head + "".join(word.title() for word in rest) not in fields:
            what = f"Unknown name \"{name}\" at '{place or 'body'}'"
            raise Unanswerable(f"Invalid JSON payload received. {what}: Cannot find field.", name)


def _get(body: Body | None, name: str) -> Any:
    """A field that may be written in snake case, as protocol buffers allow it, and Google's SDK sometimes does."""
    if not body:
        return None
    return body.get(name, body.get(_CAPITAL.sub(lambda letter: f"_{letter.group().lower()}", name)))


def _parts(body: Body, generation: Body, tokens: Tokens, request: bytes) -> list[Body]:
    parts: list[Body] = []
    if _get(_get(generation, "thinkingConfig"), "includeThoughts"):
        parts.append({"text": "Let me see.", "thought": True})
    mode = _get(_get(_get(body, "toolConfig"), "functionCallingConfig"), "mode")
    declared = [function for tool in body.get("tools") or [] for function in _get(tool, "functionDeclarations") or []]
    if declared and mode != "NONE":
        schema = _get(declared[0], "parametersJsonSchema") or declared[0].get("parameters") or {}
        arguments = example_of(schema | {"type": "object"})
        call = {"id": f"call_{request[:12].hex()}", "name": declared[0].get("name"), "args": arguments}
        return [*parts, {"functionCall": call}]
    schema = _get(generation, "responseJsonSchema") or _get(generation, "responseSchema")
    if _get(generation, "responseMimeType") == "application/json":
        content = example_of(schema) if schema else {"answer": words_of(tokens)}
        return [*parts, {"text": orjson.dumps(content).decode()}]
    return [*parts, {"text": words_of(tokens)}]


def _vector(body: Body, request: bytes, index: int) -> list[float]:
    config = _get(body, "embedContentConfig") or body
    return vector_of(request, index, int(_get(config, "outputDimensionality") or _DIMENSIONS))
