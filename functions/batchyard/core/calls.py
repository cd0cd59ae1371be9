"""What a call to a provider comes to: its reply, which is an answer or the reason why there is none. A value, never an
exception."""

from __future__ import annotations

from dataclasses import dataclass, field

from batchyard.core.ratelimits import RateAdvice
from batchyard.core.retry import NO_ADVICE, FailureReason, RetryAdvice
from batchyard.core.usage import Usage


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is a JSON value on one line. `failure` is None for a 2xx whose body is a JSON object. A 2xx that holds
    nothing but an error is a failure, and `status` is then the one that the error names."""

    status: int
    body: bytes
    request_id: str | None = None
    usage: Usage = field(default_factory=Usage)
    failure: FailureReason | None = None
    retry_advice: RetryAdvice = NO_ADVICE
    rate_advice: RateAdvice | None = None
    """What its headers say about the provider's rate limits; None if they say nothing."""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """No answer came, or none that can be used."""

    failure: FailureReason
    retry_advice: RetryAdvice = NO_ADVICE


ProviderReply = Answer | NoAnswer
