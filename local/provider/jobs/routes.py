"""Which batch API each vendor has."""

from __future__ import annotations

from local.provider.jobs import anthropic, gemini, mistral, openai, together
from local.provider.jobs.calls import Route

ROUTES: dict[str, list[Route]] = {
    "openai": openai.ROUTES,
    "azure": openai.ROUTES,
    "groq": openai.ROUTES,
    "anthropic": anthropic.ROUTES,
    "gemini": gemini.ROUTES,
    "mistral": mistral.ROUTES,
    "together": together.ROUTES,
}
