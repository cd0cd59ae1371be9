"""The one table of batch APIs: `kind` of an entry in providers.toml → the client of its provider jobs."""

from __future__ import annotations

from collections.abc import Callable

from batchyard.adapters.providers.anthropic_jobs import AnthropicJobs
from batchyard.adapters.providers.bedrock_jobs import REASONS, BedrockJobs, Exchange, RoleAuth, jobs_url
from batchyard.adapters.providers.gemini_jobs import GeminiJobs
from batchyard.adapters.providers.kinds import translator_of
from batchyard.adapters.providers.openai_jobs import OpenAIJobs
from batchyard.adapters.providers.provider_jobs import VendorJobs
from batchyard.adapters.providers.vendor_http import VendorHttp
from batchyard.core.native_limits import native_limits
from batchyard.core.providers import Provider

_JOBS: dict[str, Callable[[Provider, VendorHttp], VendorJobs]] = {
    "openai": lambda provider, http: OpenAIJobs(
        http, provider.variant, provider.native.window_hours if provider.native else 24
    ),
    "anthropic": lambda provider, http: AnthropicJobs(http),
    "gemini": lambda provider, http: GeminiJobs(http),
}


def connect_jobs(provider: Provider, base_url: str, api_key: str, exchange: Exchange | None = None) -> VendorJobs:
    """The jobs of `provider` at `base_url`, which may be another one than its own. `exchange`: for a provider that is
    called with our role, and works on our files."""
    if provider.uses_role:
        return _jobs_by_role(provider, base_url, None if api_key else exchange)
    return _JOBS[provider.kind](provider, VendorHttp(base_url, translator_of(provider).headers(api_key)))


def _jobs_by_role(provider: Provider, base_url: str, exchange: Exchange | None) -> BedrockJobs:
    http = VendorHttp(jobs_url(base_url), {}, auth=RoleAuth(provider.aws_region or ""), reasons=REASONS)
    return BedrockJobs(http, exchange, provider.native or native_limits(provider.variant, {}))
