"""What can be set on a simulated provider, at its start (`--settings`) or while it runs (`POST /_sim/config`)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from local.provider.faults import parse_call_fault, parse_fault, parse_job_fault

RETRY_AFTER_FORMS = ("seconds", "date", "none")
CALLS_OF_JOBS = ("upload", "create", "look", "list", "cancel", "results", "delete_file", "delete_job")


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
    cache_seconds: float = 300.0
    """How long a prompt is kept in the vendor's prompt cache; 0 caches nothing."""
    flex_faults: dict[str, float] = field(default_factory=dict)
    """As `faults`, for flex calls, which have only these."""
    vendors: dict[str, str] = field(default_factory=dict)
    """Provider -> the vendor that it is, if its name does not say it; see dialects.py."""

    without_jobs: list[str] = field(default_factory=list)
    """Providers that know no batch API: everything about files and jobs is a 404. "*" means all."""
    clock_speed: float = 1.0
    """How many seconds of a job go by in one second; 0: only `SimulatedProvider.advance` moves its clock."""
    job_seconds: float = 60.0
    """What a job takes, on its clock; the median if `job_sigma` is set."""
    job_sigma: float = 0.0
    """Spread of a lognormal duration."""
    job_window_seconds: float = 86_400.0
    """After this an unfinished job expires."""
    cancel_seconds: float = 10.0
    """From the request to cancel a job until it is cancelled."""
    job_faults: dict[str, float] = field(default_factory=dict)
    """Fault of a job -> its probability, such as {"job_stall:50": 0.1}."""
    item_faults: dict[str, float] = field(default_factory=dict)
    """As `faults`, for items of jobs."""
    call_faults: dict[str, dict[str, float]] = field(default_factory=dict)
    """Call of the batch API (CALLS_OF_JOBS) -> fault -> its probability, such as {"look": {"status:503": 0.2}}. A
    fault that ends in `xN` is for the first N of these calls since this was set. A call that gets a status has no
    effect; one that gets a `late_status` or a broken connection has its effect, and only the answer is lost."""
    enqueued_tokens: int = 0
    """Most tokens of one model in all unfinished jobs of a key; 0 sets no limit."""
    jobs_at_once: int = 0
    """Most unfinished jobs of a key; 0 sets no limit."""

    def __post_init__(self) -> None:
        self._check_jobs()
        if self.latency_ms < 0 or self.latency_sigma < 0 or self.rate_per_second < 0 or self.burst < 1:
            raise ValueError("latency_ms, latency_sigma and rate_per_second cannot be negative, nor burst below 1")
        if self.retry_after not in RETRY_AFTER_FORMS:
            raise ValueError(f"retry_after {self.retry_after!r} is not one of {', '.join(RETRY_AFTER_FORMS)}")
        for faults in (self.faults, self.flex_faults, self.item_faults):
            for fault in faults:
                parse_fault(fault)
        draws = (self.faults, self.flex_faults, self.item_faults, self.job_faults, *self.call_faults.values())
        if any(sum(probabilities.values()) > 1 for probabilities in draws):
            raise ValueError("the probabilities of faults add up to more than 1")

    def _check_jobs(self) -> None:
        if min(self.clock_speed, self.job_seconds, self.job_sigma, self.cancel_seconds, self.cache_seconds) < 0:
            raise ValueError("clock_speed, job_seconds, job_sigma, cancel_seconds and cache_seconds cannot be negative")
        if self.job_window_seconds <= 0 or self.enqueued_tokens < 0 or self.jobs_at_once < 0:
            raise ValueError("job_window_seconds has to be positive, enqueued_tokens and jobs_at_once not negative")
        for fault in self.job_faults:
            parse_job_fault(fault)
        for call, faults in self.call_faults.items():
            if call not in CALLS_OF_JOBS:
                raise ValueError(f"call_faults: {call!r} is not one of {', '.join(CALLS_OF_JOBS)}")
            for fault in faults:
                parse_call_fault(fault)

    def changed(self, changes: dict[str, Any]) -> Config:
        """This configuration with `changes`. Raises ValueError for a name that does not exist."""
        unknown = changes.keys() - self.__dataclass_fields__.keys()
        if unknown:
            raise ValueError(f"unknown settings: {', '.join(sorted(unknown))}")
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
