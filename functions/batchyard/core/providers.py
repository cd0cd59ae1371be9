"""A provider: an upstream vendor or private endpoint, as `providers.toml` describes it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from batchyard.core.lane_limits import LaneLimits

ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/moderations")
"""The endpoints that a batch may ask for. A provider serves all of them unless its entry says otherwise."""

KINDS = ("openai",)
"""Dialects that a worker can speak to a provider; `adapters.providers.kinds` has the client of each."""

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")


@dataclass(frozen=True, slots=True)
class Provider:
    """`max_concurrency`: worker invocations at once on this provider's queue (SQS takes 2 to 1000), each of which has
    many calls in flight. `catalogue`: the provider's key in catalogue.json; None: only its own `[[models]]` exist.

    `base_url` ends before the endpoint's path: `https://api.openai.com/v1` + `/chat/completions`. Raises ValueError if
    a value cannot be right.
    """

    name: str
    kind: str
    base_url: str
    max_concurrency: int = 10
    catalogue: str | None = None
    endpoints: tuple[str, ...] = ENDPOINTS
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    """The operator's limits for each of the provider's models; None: as many as the provider takes."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"provider name {self.name!r}: lower-case letters, digits and hyphens, 31 at most")
        if self.kind not in KINDS:
            raise ValueError(f"provider {self.name}: kind {self.kind!r} is not one of {', '.join(KINDS)}")
        if not self.base_url.startswith(("https://", "http://")) or self.base_url.endswith("/"):
            raise ValueError(f"provider {self.name}: base_url {self.base_url!r} must be http(s) and not end in '/'")
        if not 2 <= self.max_concurrency <= 1000:
            raise ValueError(f"provider {self.name}: max_concurrency is 2 to 1000, not {self.max_concurrency}")
        try:
            LaneLimits(self.requests_per_minute, self.tokens_per_minute)
        except ValueError as error:
            raise ValueError(f"provider {self.name}: {error}") from error
        unknown = set(self.endpoints) - set(ENDPOINTS)
        if unknown:
            raise ValueError(f"provider {self.name}: unknown endpoints {', '.join(sorted(unknown))}")

    @property
    def limits(self) -> LaneLimits:
        """Of each of its models."""
        return LaneLimits(self.requests_per_minute, self.tokens_per_minute)
