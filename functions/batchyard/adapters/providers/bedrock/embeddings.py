"""Embeddings by Amazon's Titan, which takes one text a call (InvokeModel). Pure.

Cohere's models want to know what an embedding is for, which OpenAI's form does not say, so they are refused.
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-titan-embed-text.html
"""

from __future__ import annotations

import array
import base64
import sys
from typing import Any

from batchyard.adapters.providers.bedrock.replies import failed
from batchyard.adapters.providers.members import Members
from batchyard.adapters.providers.translator import read_document, rewritten
from batchyard.core.calls import Answer, NoAnswer, ProviderReply
from batchyard.core.json_types import JsonObject
from batchyard.core.retry import FailureReason
from batchyard.core.usage import plausible_usage

_TITAN = "amazon.titan-embed-text-"


def titan_request(body: Members, model: str) -> tuple[JsonObject, bool]:
    """The request to POST to `/model/<model>/invoke`, and whether the vector is wanted as base64. Raises
    Untranslatable."""
    if _TITAN not in model:
        raise body.unsupported("model", "Of its embeddings only those of Amazon Titan can be had here.")
    body.ignore("model", "user")
    texts: Any = body.take("input")
    if isinstance(texts, list) and len(texts) == 1:
        (texts,) = texts
    if not isinstance(texts, str):
        raise body.unsupported("input", "It takes one text per request.")
    request: JsonObject = {"inputText": texts}
    dimensions = body.take("dimensions")
    if dimensions is not None:
        if type(dimensions) is not int:
            raise body.wrong("dimensions", "must be a whole number")
        request["dimensions"] = dimensions
    form = body.text("encoding_format")
    if form not in (None, "float", "base64"):
        raise body.wrong("encoding_format", "must be float or base64")
    body.end()
    return request, form == "base64"


def as_embeddings(answer: Answer, model: str, as_base64: bool) -> ProviderReply:
    """The answer of Titan as OpenAI's list of embeddings."""
    if answer.failure is not None:
        return failed(answer)
    document = read_document(answer)
    vector = document.get("embedding") if document is not None else None
    if document is None or not isinstance(vector, list) or not all(type(each) in (int, float) for each in vector):
        return NoAnswer(FailureReason.INVALID_RESPONSE)
    tokens = document.get("inputTextTokenCount")
    usage = plausible_usage(tokens, None, None, None, None)
    found = {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": _base64(vector) if as_base64 else vector}],
        "model": model,
        "usage": {"prompt_tokens": usage.input_tokens, "total_tokens": usage.input_tokens},
    }
    return rewritten(answer, found, usage)


def _base64(vector: list[float]) -> str:
    """Little-endian floats of 32 bits."""
    numbers = array.array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()
