"""The translator of kind `gemini`."""

from __future__ import annotations

from functools import partial

from batchyard.adapters.providers.from_messages.replies import as_message
from batchyard.adapters.providers.from_messages.requests import chat_request
from batchyard.adapters.providers.gemini.embeddings import embed_request, embedding_list
from batchyard.adapters.providers.gemini.embeddings import usage_of as embedding_usage_of
from batchyard.adapters.providers.gemini.errors import as_openai_error
from batchyard.adapters.providers.gemini.models import path_of
from batchyard.adapters.providers.gemini.replies import chat_completion, usage_of
from batchyard.adapters.providers.gemini.requests import VENDOR, content_request
from batchyard.adapters.providers.translator import (
    ProviderRequest,
    Untranslatable,
    read_body,
    read_document,
    rewritten,
    unserved,
    write_body,
)
from batchyard.core.calls import Answer, NoAnswer, ProviderReply
from batchyard.core.json_types import JsonObject
from batchyard.core.lanes import Lane, Mode
from batchyard.core.providers import CHAT_COMPLETIONS, EMBEDDINGS, MESSAGES, Provider
from batchyard.core.retry import FailureReason

_GENERATE = "generateContent"


class GeminiTranslator:
    def __init__(self, provider: Provider) -> None:
        """All providers of this kind are alike."""

    def headers(self, api_key: str) -> dict[str, str]:
        return {"x-goog-api-key": api_key}

    def request(self, endpoint: str, body: bytes, lane: Lane | None = None) -> ProviderRequest | Untranslatable:
        try:
            document = read_body(body)
            model = lane.model if lane is not None else str(document.get("model") or "")
            is_flex = lane is not None and lane.mode is Mode.FLEX
            if endpoint == CHAT_COMPLETIONS:
                request = content_request(document, model, is_flex=is_flex)
                read = partial(_read, model, document.get("metadata"))
                return ProviderRequest(path_of(model, _GENERATE), write_body(request), read)
            if endpoint == MESSAGES:
                chat = chat_request(document, model, VENDOR, max_tokens_name="max_completion_tokens")
                request = content_request(chat, model, is_flex=is_flex)
                return ProviderRequest(path_of(model, _GENERATE), write_body(request), partial(_read_message, model))
            if endpoint == EMBEDDINGS:
                return _embed(document, model)
            return unserved(VENDOR, endpoint)
        except Untranslatable as error:
            return error


def _embed(document: JsonObject, model: str) -> ProviderRequest:
    method, request, is_base64 = embed_request(document, model)
    count = len(request.get("requests", (request,)))
    read = partial(_read_embeddings, model, count, is_base64)
    return ProviderRequest(path_of(model, method), write_body(request), read)


def _read(model: str, metadata: object, answer: Answer, now: float) -> ProviderReply:
    """The answer as a chat completion, with the `metadata` of the request."""
    if answer.failure is not None:
        return as_openai_error(answer)
    response = read_document(answer)
    document = chat_completion(response, model, int(now)) if response is not None else None
    if response is None or document is None:
        return NoAnswer(FailureReason.INVALID_RESPONSE)
    if isinstance(metadata, dict):
        document["metadata"] = metadata
    return rewritten(answer, document, usage_of(response))


def _read_message(model: str, answer: Answer, now: float) -> ProviderReply:
    reply = _read(model, None, answer, now)
    return as_message(reply) if isinstance(reply, Answer) else reply


def _read_embeddings(model: str, count: int, is_base64: bool, answer: Answer, now: float) -> ProviderReply:
    if answer.failure is not None:
        return as_openai_error(answer)
    response = read_document(answer)
    document = embedding_list(response, model, count=count, is_base64=is_base64) if response is not None else None
    if response is None or document is None:
        return NoAnswer(FailureReason.INVALID_RESPONSE)
    return rewritten(answer, document, embedding_usage_of(response))
