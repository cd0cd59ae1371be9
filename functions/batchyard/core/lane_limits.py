"""What an operator allows a lane, in requests and in tokens a minute, as calls a second.

A limit in tokens becomes one in calls by what a call takes: estimated from the items' bodies before the first one, then
counted from what providers say that calls took, by all workers of the lane together (`core.lane_pace`).
"""

from __future__ import annotations

from dataclasses import dataclass

from batchyard.core.stated_output import output_tokens

_BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """None: no limit. Raises ValueError if a limit is below 1."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None

    def __post_init__(self) -> None:
        for name in ("requests_per_minute", "tokens_per_minute"):
            limit = getattr(self, name)
            if limit is not None and (type(limit) is not int or limit < 1):
                raise ValueError(f"{name} is a whole number, 1 at least, not {limit!r}")

    @property
    def counts_tokens(self) -> bool:
        return self.tokens_per_minute is not None

    def within(self, other: LaneLimits) -> LaneLimits:
        """These limits, and for what they do not limit the other ones."""
        return LaneLimits(
            other.requests_per_minute if self.requests_per_minute is None else self.requests_per_minute,
            other.tokens_per_minute if self.tokens_per_minute is None else self.tokens_per_minute,
        )

    def calls_per_second(self, tokens_per_call: float | None) -> float | None:
        """How many calls may start; None: any number. `tokens_per_call`: on average, None if that is not known."""
        requests, tokens = self.requests_per_minute, self.tokens_per_minute
        by_tokens = None if tokens is None else tokens / 60 / max(1.0, tokens_per_call or 1.0)
        return lower(None if requests is None else requests / 60, by_tokens)


NO_LIMITS = LaneLimits()


def lower(one: float | None, other: float | None) -> float | None:
    """The lower one of two limits."""
    return min((limit for limit in (one, other) if limit is not None), default=None)


def estimated_tokens(body: bytes) -> int:
    """About how many tokens a call with this request body takes at most."""
    return len(body) // _BYTES_PER_TOKEN + output_tokens(body, 0)
