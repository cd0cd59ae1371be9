"""Embeddings: one text goes to `embedContent`, several to `batchEmbedContents`. Pure."""

from __future__ import annotations

import base64
import struct
from typing import Any

from batchyard.adapters.providers.gemini.models import resource_of
from batchyard.adapters.providers.gemini.requests import VENDOR
from batchyard.adapters.providers.members import Members
from batchyard.core.json_types import JsonObject
from batchyard.core.usage import Usage, plausible_usage

ONE, SEVERAL = "embedContent", "batchEmbedContents"


def embed_request(document: JsonObject, model: str) -> tuple[str, JsonObject, bool]:
    """(method, request, whether the answer shall be base64). Raises Untranslatable."""
    body = Members(document, "", VENDOR)
    body.ignore("model", "user")
    texts = _texts(body)
    encoding = body.text("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise body.unsupported("encoding_format")
    common: JsonObject = {"model": resource_of(model)}
    dimensions = body.take("dimensions")
    if dimensions is not None:
        if type(dimensions) is not int or dimensions < 1:
            raise body.wrong("dimensions", "must be a whole number, 1 at least")
        common["outputDimensionality"] = dimensions
    body.end()
    requests = [common | {"content": {"parts": [{"text": text}]}} for text in texts]
    if len(requests) == 1:
        return ONE, requests[0], encoding == "base64"
    return SEVERAL, {"requests": requests}, encoding == "base64"


def _texts(body: Members) -> list[str]:
    given: Any = body.take("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise body.wrong("input", "must be a text or an array of texts")
    if not all(isinstance(text, str) for text in texts):
        raise body.unsupported("input", "Send texts: tokens are OpenAI's own.")
    return texts


def embedding_list(response: JsonObject, model: str, *, count: int, is_base64: bool) -> JsonObject | None:
    """None if `response` has not `count` embeddings."""
    found = [response["embedding"]] if "embedding" in response else response.get("embeddings")
    if not isinstance(found, list) or len(found) != count:
        return None
    data = []
    for index, embedding in enumerate(found):
        values = embedding.get("values") if isinstance(embedding, dict) else None
        if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
            return None
        written = _packed(values) if is_base64 else values
        if written is None:
            return None
        data.append({"object": "embedding", "index": index, "embedding": written})
    tokens = usage_of(response).input_tokens
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": model, "usage": usage}


def _packed(values: list[float]) -> str | None:
    """As OpenAI packs it: 32-bit floats, little-endian."""
    try:
        return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
    except (struct.error, OverflowError):
        return None


def usage_of(response: JsonObject) -> Usage:
    """Older embedding models do not say what they counted: nothing is billed then."""
    usage = response.get("usageMetadata")
    return plausible_usage(usage.get("promptTokenCount"), None, None, None) if isinstance(usage, dict) else Usage()
