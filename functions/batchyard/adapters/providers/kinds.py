"""The one table of the dialects that a worker speaks to providers: `kind` of an entry in providers.toml → its client.

A new kind is a module with such a client beside this one, a line here, and its name in `core.providers.KINDS`, so that
an entry of that kind is accepted.
"""

from __future__ import annotations

from batchyard.adapters.providers.answer_memory import AnswerMemory
from batchyard.adapters.providers.openai_compatible import CallLimits, OpenAICompatible

CLIENTS: dict[str, type[OpenAICompatible]] = {
    "openai": OpenAICompatible,
}


def connect(kind: str, base_url: str, limits: CallLimits, memory: AnswerMemory) -> OpenAICompatible:
    """The client of a provider of `kind`, which is one of `core.providers.KINDS`."""
    return CLIENTS[kind](base_url, limits, memory)
