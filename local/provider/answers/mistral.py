"""Good answers in Mistral's shapes: OpenAI's, and in places a field more."""

from __future__ import annotations

import orjson

from local.provider.answers import openai
from local.provider.answers.content import Body, Endpoint, Tokens


def embedding(body: Body, tokens: Tokens, request: bytes, now: int) -> bytes:
    answer = orjson.loads(openai.embedding(body, tokens, request, now))
    usage = answer["usage"] | {"completion_tokens": 0}
    return orjson.dumps({"id": request.hex()} | answer | {"usage": usage})


ENDPOINTS = openai.ENDPOINTS | {"/v1/embeddings": Endpoint(embedding)}
