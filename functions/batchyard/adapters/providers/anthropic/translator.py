"""The translator of kind `anthropic`."""

from __future__ import annotations

from functools import partial

from batchyard.adapters.providers.anthropic.cache_marks import marked
from batchyard.adapters.providers.anthropic.replies import as_chat_completion, as_message
from batchyard.adapters.providers.anthropic.requests import VENDOR, messages_request
from batchyard.adapters.providers.translator import (
    ProviderRequest,
    Untranslatable,
    read_body,
    unserved,
    write_body,
)
from batchyard.core.calls import Answer, ProviderReply
from batchyard.core.json_types import JsonObject
from batchyard.core.lanes import Lane
from batchyard.core.providers import CHAT_COMPLETIONS, MESSAGES, Provider

_VERSION = "2023-06-01"
_PATH = "/messages"


class AnthropicTranslator:
    def __init__(self, provider: Provider) -> None:
        self._default_max_tokens = provider.default_max_tokens
        self._marks_caches = provider.cache_marks

    def headers(self, api_key: str) -> dict[str, str]:
        return {"x-api-key": api_key, "anthropic-version": _VERSION}

    def request(self, endpoint: str, body: bytes, lane: Lane | None = None) -> ProviderRequest | Untranslatable:
        try:
            document = read_body(body)
            model = lane.model if lane is not None else str(document.get("model") or "")
            if endpoint == CHAT_COMPLETIONS:
                request = messages_request(document, model, self._default_max_tokens)
                return ProviderRequest(_PATH, self._written(request), partial(_read, document.get("metadata")))
            if endpoint == MESSAGES:
                request = {name: value for name, value in document.items() if name != "stream"} | {"model": model}
                return ProviderRequest(_PATH, self._written(request), _read_message)
            return unserved(VENDOR, endpoint)
        except Untranslatable as error:
            return error

    def _written(self, request: JsonObject) -> bytes:
        return write_body(marked(request) if self._marks_caches else request)


def _read(metadata: object, answer: Answer, now: float) -> ProviderReply:
    return as_chat_completion(answer, metadata, now)


def _read_message(answer: Answer, now: float) -> ProviderReply:
    return as_message(answer)
