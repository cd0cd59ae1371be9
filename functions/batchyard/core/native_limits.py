"""What vendors allow and charge in their own batch APIs: the limits that a provider job has to keep to.

Vendors change these figures without notice and raise them per account, so an entry of providers.toml may set each of
them (`native = { max_items = 10_000 }`). Where a vendor's documents disagree with each other, the lower figure stands.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from batchyard.core.json_types import JsonObject

_MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class NativeLimits:
    """Of one provider job, unless it says otherwise. `max_id_chars`: of an item's id. `max_enqueued_tokens`: input
    tokens of all unfinished jobs of a model; `max_jobs`: unfinished jobs side by side. `window_hours`: the vendor gives
    up a job after that. `price_percent`: what an item costs of its realtime price. None: no limit is known.

    Raises ValueError if a value cannot be right.
    """

    max_items: int
    max_bytes: int
    endpoints: tuple[str, ...]
    min_items: int = 1
    max_id_chars: int = 64
    max_enqueued_tokens: int | None = None
    max_jobs: int | None = None
    window_hours: int = 24
    price_percent: int = 50

    def __post_init__(self) -> None:
        for name in ("max_items", "max_bytes", "min_items", "max_id_chars", "window_hours"):
            if getattr(self, name) < 1:
                raise ValueError(f"native.{name} is 1 at least, not {getattr(self, name)}")
        for name in ("max_enqueued_tokens", "max_jobs"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"native.{name} is 1 at least, not {getattr(self, name)}")
        if self.min_items > self.max_items:
            raise ValueError(f"native.min_items {self.min_items} is more than native.max_items {self.max_items}")
        if not 0 < self.price_percent <= 100:
            raise ValueError(f"native.price_percent is 1 to 100, not {self.price_percent}")


_CHAT = "/v1/chat/completions"
_RESPONSES = "/v1/responses"
_MESSAGES = "/v1/messages"

BY_VARIANT = {
    "openai": NativeLimits(
        50_000,
        200 * _MEGABYTE,
        (
            *(_CHAT, "/v1/completions", "/v1/embeddings", _RESPONSES, "/v1/moderations", _MESSAGES),
            *("/v1/images/generations", "/v1/images/edits"),
        ),
    ),
    "azure": NativeLimits(50_000, 200 * _MEGABYTE, (_CHAT, "/v1/embeddings", _RESPONSES, _MESSAGES)),
    "groq": NativeLimits(50_000, 100 * _MEGABYTE, (_CHAT, _MESSAGES)),
    "mistral": NativeLimits(
        100_000,
        512 * _MEGABYTE,
        (_CHAT, "/v1/embeddings", "/v1/moderations", _RESPONSES, _MESSAGES),
        window_hours=24,
    ),
    "together": NativeLimits(50_000, 100 * _MEGABYTE, (_CHAT, "/v1/completions", _RESPONSES, _MESSAGES)),
    "anthropic": NativeLimits(100_000, 256 * _MEGABYTE, (_CHAT, _RESPONSES, _MESSAGES)),
    "gemini": NativeLimits(
        50_000, 2000 * _MEGABYTE, (_CHAT, "/v1/embeddings", _RESPONSES, _MESSAGES), max_jobs=100, window_hours=48
    ),
    "bedrock": NativeLimits(50_000, 1000 * _MEGABYTE, (_CHAT, _RESPONSES, _MESSAGES), min_items=100, max_jobs=10),
}
"""Variant of a kind of provider -> its vendor's defaults."""


def native_limits(variant: str, changes: JsonObject) -> NativeLimits:
    """The defaults of `variant` with the `changes` of an entry of providers.toml. Raises ValueError or TypeError."""
    if "endpoints" in changes:
        changes = changes | {"endpoints": tuple(changes["endpoints"])}
    return replace(BY_VARIANT[variant], **changes)
