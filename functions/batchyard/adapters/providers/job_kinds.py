"""The one table of batch APIs: `kind` of an entry in providers.toml → the client of its provider jobs."""

from __future__ import annotations

from collections.abc import Callable

from batchyard.adapters.providers.anthropic_jobs import AnthropicJobs
from batchyard.adapters.providers.gemini_jobs import GeminiJobs
from batchyard.adapters.providers.kinds import translator_of
from batchyard.adapters.providers.openai_jobs import OpenAIJobs
from batchyard.adapters.providers.provider_jobs import VendorJobs
from batchyard.adapters.providers.vendor_http import VendorHttp
from batchyard.core.providers import Provider

_JOBS: dict[str, Callable[[Provider, VendorHttp], VendorJobs]] = {
    "openai": lambda provider, http: OpenAIJobs(
        http, provider.variant, provider.native.window_hours if provider.native else 24
    ),
    "anthropic": lambda provider, http: AnthropicJobs(http),
    "gemini": lambda provider, http: GeminiJobs(http),
}


def connect_jobs(provider: Provider, base_url: str, api_key: str) -> VendorJobs:
    """The jobs of `provider` at `base_url`, which may be another one than its own."""
    return _JOBS[provider.kind](provider, VendorHttp(base_url, translator_of(provider).headers(api_key)))
