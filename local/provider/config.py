"""What can be set on a simulated provider, at its start (`--settings`) or while it runs (`POST /_sim/config`)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from local.provider.faults import parse_fault

RETRY_AFTER_FORMS = ("seconds", "date", "none")


@dataclass(frozen=True, slots=True)
class Config:
    """The settings. Raises ValueError, which names the setting, if a value makes no sense."""

    seed: int = 0
    latency_ms: float = 0.0
    """Fixed, or the median if `latency_sigma` is set."""
    latency_sigma: float = 0.0
    """Spread of a lognormal latency; 0.5 puts one request in twenty above 2.3 times the median."""
    rate_per_second: float = 0.0
    """Requests above this get a 429; 0 sets no limit."""
    burst: int = 1
    """How many requests the token bucket holds."""
    retry_after: str = "seconds"
    """Form of the Retry-After header of a 429: seconds, date (an HTTP date) or none."""
    faults: dict[str, float] = field(default_factory=dict)
    """Fault -> its probability per attempt, such as {"status:500": 0.02, "hang": 0.001}; see faults.py."""
    keys: dict[str, str] = field(default_factory=dict)
    """Provider -> the only API key it accepts. A provider is the path's first word in `/<provider>/v1/...`, and
    "default" for `/v1/...`. One that is not listed accepts any key."""
    rate_headers: bool = False
    """Whether every answer has OpenAI's `x-ratelimit-*-requests` headers, if `rate_per_second` is set. A 429 above that
    rate always has them."""
    is_holding: bool = False
    """Whether answers wait, beyond their latency, until this is false again."""
    is_down: bool = False
    """Whether connections are refused, and the open ones reset."""
    huge_bytes: int = 32_000_000
    """Size of the body of a `malformed:huge`."""

    def __post_init__(self) -> None:
        if self.latency_ms < 0 or self.latency_sigma < 0 or self.rate_per_second < 0 or self.burst < 1:
            raise ValueError("latency_ms, latency_sigma and rate_per_second cannot be negative, nor burst below 1")
        if self.retry_after not in RETRY_AFTER_FORMS:
            raise ValueError(f"retry_after {self.retry_after!r} is not one of {', '.join(RETRY_AFTER_FORMS)}")
        for fault in self.faults:
            parse_fault(fault)
        if sum(self.faults.values()) > 1:
            raise ValueError("the probabilities of faults add up to more than 1")

    def changed(self, changes: dict[str, Any]) -> Config:
        """This configuration with `changes`. Raises ValueError for a name that does not exist."""
        unknown = changes.keys() - self.__dataclass_fields__.keys()
        if unknown:
            raise ValueError(f"unknown settings: {', '.join(sorted(unknown))}")
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
