"""The one table of what a worker speaks to providers: `kind` of an entry in providers.toml → its translator.

A new kind is a package with such a translator beside this module, a line here, and its name in `core.providers.KINDS`
and `VARIANTS`, so that an entry of that kind is accepted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from batchyard.adapters.providers.answer_memory import AnswerMemory
from batchyard.adapters.providers.anthropic.translator import AnthropicTranslator
from batchyard.adapters.providers.bedrock.translator import BedrockTranslator
from batchyard.adapters.providers.from_responses.by_chat import request_by_chat
from batchyard.adapters.providers.gemini.translator import GeminiTranslator
from batchyard.adapters.providers.openai.translator import OpenAITranslator, max_tokens_name
from batchyard.adapters.providers.provider_client import CallLimits, ProviderClient
from batchyard.adapters.providers.translator import ProviderRequest, Translator, Untranslatable, unserved
from batchyard.core.lanes import Lane
from batchyard.core.providers import CHAT_COMPLETIONS, RESPONSES, Provider

TRANSLATORS: dict[str, Callable[[Provider], Translator]] = {
    "anthropic": AnthropicTranslator,
    "bedrock": BedrockTranslator,
    "gemini": GeminiTranslator,
    "openai": OpenAITranslator,
}


class ServedTranslator:
    """A provider's translator, for the endpoints that the provider serves: an item for another one is not sent.
    Responses of a provider that has only chat completions come by way of those."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._translator = TRANSLATORS[provider.kind](provider)
        self.headers = self._translator.headers

    def request(self, endpoint: str, body: bytes, lane: Lane | None = None) -> ProviderRequest | Untranslatable:
        if not self._provider.serves(endpoint):
            return unserved(f"The provider '{self._provider.name}'", endpoint)
        if endpoint == RESPONSES and endpoint not in self._provider.endpoints:
            ask = partial(self._translator.request, CHAT_COMPLETIONS, lane=lane)
            name = max_tokens_name(self._provider.variant)
            return request_by_chat(body, lane, ask, vendor=self._provider.name, max_tokens_name=name)
        return self._translator.request(endpoint, body, lane)


def translator_of(provider: Provider) -> Translator:
    return ServedTranslator(provider)


def connect(provider: Provider, base_url: str, limits: CallLimits, memory: AnswerMemory) -> ProviderClient:
    """The client of `provider` at `base_url`, which may be another one than its own."""
    return ProviderClient(base_url, limits, memory, translator_of(provider))
