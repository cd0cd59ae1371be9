"""Where those who copied OpenAI's answers differ from them, as their SDKs' types say."""

from __future__ import annotations

import orjson

from local.provider.answers import openai
from local.provider.answers.content import Body, Endpoint, Tokens


def groq_chat(body: Body, tokens: Tokens, request: bytes, now: int) -> bytes:
    """Its plain service tier has another name."""
    answer = openai.chat_completion(body, tokens, request, now)
    return answer.replace(b'"service_tier":"default"', b'"service_tier":"on_demand"', 1)


def mistral_embedding(body: Body, tokens: Tokens, request: bytes, now: int) -> bytes:
    """With an id."""
    answer = orjson.loads(openai.embedding(body, tokens, request, now))
    usage = answer["usage"] | {"completion_tokens": 0}
    return orjson.dumps({"id": request.hex()} | answer | {"usage": usage})


def together_chat(body: Body, tokens: Tokens, request: bytes, now: int) -> bytes:
    """With a `prompt`, and without a service tier."""
    answer = orjson.loads(openai.chat_completion(body, tokens, request, now))
    del answer["service_tier"]
    return orjson.dumps(answer | {"prompt": []})


_CHAT = "/v1/chat/completions"

GROQ = openai.ENDPOINTS | {_CHAT: Endpoint(groq_chat, openai.chat_stream)}
MISTRAL = openai.ENDPOINTS | {"/v1/embeddings": Endpoint(mistral_embedding)}
TOGETHER = openai.ENDPOINTS | {_CHAT: Endpoint(together_chat, openai.chat_stream)}
