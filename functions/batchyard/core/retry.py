"""The one retry table: what may go wrong with a provider call, whether it is tried again, and when.

    answer or fault                          reason              again?  costs a try?  trouble?  blocks the lane?
    429, or 503 with Retry-After             throttled           yes     no            no        no
    503, 529                                 overloaded          yes     yes           yes       no
    other 5xx                                server_error        yes     yes           yes       no
    408, or no answer in time                request_timeout     yes     yes           yes       no
    connection refused, broken, cut short    connection_error    yes     yes           yes       no
    2xx that is no JSON object, any 3xx      invalid_response    yes     yes           yes       no
    403, 404, 405 that is no JSON object     invalid_response    yes     yes           yes       no
    402 for more than the money left         unaffordable        yes     yes           yes       see below
    409                                      conflict            yes     yes           no        no
    2xx longer than the limit                response_too_large  no      -             no        no
    401 and 403 about the key                key_refused         no      -             no        yes
    402, no quota or money (429, 400, 403)   out_of_money        no      -             no        yes
    429 for more than a minute's limit       rejected            no      -             no        no
    other 4xx                                rejected            no      -             no        no
    never sent: the vendor cannot do it      unsupported         no      -             no        no
    the last one, with x-should-retry: true  retry_requested     yes     yes           no        no

*Trouble* is what many calls of a lane fail with when the provider is down, whatever they ask: also what something in
front of it answers then, a redirect to a page for people, or a refusal in HTML. What *blocks the lane*
fails every call until a person acts (`core.refusals` tells it from a rejected request). Whose key it was decides what
follows: with the deployment's own the lane stands still and the item is as if never tried; with the caller's own it is
the caller's error and, as this table says, final for the item.

An item that is `unaffordable` fails once its tries are used up, if other items got through meanwhile. If none did, what
is left pays for nothing that is asked: the lane is blocked as `out_of_money`, even if a witness, which costs next to
nothing, gets through.

`x-should-retry`, which OpenAI's servers send, is meant for a client that waits for seconds: "false" says that a repeat
will not help it. A batch has hours, so what passes with the lane (429, 408, 5xx) stays what its status says; anything
else becomes `rejected`. "true" makes a failure that would be final `retry_requested`. Neither changes what blocks the
lane. A 2xx that holds nothing but an error
counts as the status that the error names. A throttled item is tried again for as long as its batch may run; the caller
watches the deadline, of which this table knows nothing. The wait is the one that the server asked for, else exponential
with full jitter. Reasons are metric labels and go to logs; what a provider wrote in a body never does, because prompts
are echoed there.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from batchyard.core.refusals import (
    NO_DETAILS,
    ErrorDetails,
    says_key_refused,
    says_no_money,
    says_too_dear,
    says_too_large,
)


class FailureReason(enum.StrEnum):
    """The value is the metric label and, if no answer came, the item's error code."""

    THROTTLED = "throttled"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    UNAFFORDABLE = "unaffordable"
    CONFLICT = "conflict"
    RETRY_REQUESTED = "retry_requested"
    TIMEOUT = "request_timeout"
    CONNECTION = "connection_error"
    INVALID_RESPONSE = "invalid_response"
    TOO_LARGE = "response_too_large"
    KEY_REFUSED = "key_refused"
    OUT_OF_MONEY = "out_of_money"
    REJECTED = "rejected"
    UNSUPPORTED = "unsupported"

    @property
    def may_be_retried(self) -> bool:
        """Whether the same item may be sent again, as far as the item is concerned."""
        return self not in _FINAL

    @property
    def costs_a_retry(self) -> bool:
        return self is not FailureReason.THROTTLED

    @property
    def asks_for_less(self) -> bool:
        """Whether the provider says that it gets too many calls."""
        return self in (FailureReason.THROTTLED, FailureReason.OVERLOADED)

    @property
    def is_trouble(self) -> bool:
        """Whether this is how calls fail when the lane itself is in trouble."""
        return self in _TROUBLE

    @property
    def blocks_the_lane(self) -> bool:
        """Whether every call with this key fails alike until a person acts."""
        return self in _BLOCKING

    @property
    def message(self) -> str:
        """For people, if there is no answer of the provider to show them."""
        return _MESSAGES[self]


_BLOCKING = frozenset({FailureReason.KEY_REFUSED, FailureReason.OUT_OF_MONEY})
_FINAL = _BLOCKING | {FailureReason.TOO_LARGE, FailureReason.REJECTED, FailureReason.UNSUPPORTED}
_TROUBLE = frozenset(
    {FailureReason.OVERLOADED, FailureReason.SERVER_ERROR, FailureReason.TIMEOUT}
    | {FailureReason.CONNECTION, FailureReason.INVALID_RESPONSE, FailureReason.UNAFFORDABLE}
)

_MESSAGES = {
    FailureReason.THROTTLED: "The provider's rate limit refused this request.",
    FailureReason.OVERLOADED: "The provider was overloaded.",
    FailureReason.SERVER_ERROR: "The provider failed to process this request.",
    FailureReason.UNAFFORDABLE: "The provider's account has too little money left for this request.",
    FailureReason.CONFLICT: "The provider reported a conflict with another request.",
    FailureReason.RETRY_REQUESTED: "The provider refused this request and asked to have it sent again.",
    FailureReason.TIMEOUT: "The provider did not answer this request in time.",
    FailureReason.CONNECTION: "The connection to the provider failed or broke off before the answer was complete.",
    FailureReason.INVALID_RESPONSE: "The provider's answer was not a JSON object.",
    FailureReason.TOO_LARGE: "The provider's answer was larger than this deployment accepts.",
    FailureReason.KEY_REFUSED: "The provider did not accept the API key.",
    FailureReason.OUT_OF_MONEY: "The provider's account has no money or quota left.",
    FailureReason.REJECTED: "The provider rejected this request.",
    FailureReason.UNSUPPORTED: "The provider cannot do what this request asks for.",
}

_LONGEST_WAIT_SECONDS = 900.0
"""A server that asks for a longer wait gets this one, which is also as long as the message of a shard can wait. One
answer with a wait of a day must not cost a batch all the time that it has."""

_OFTEN_A_GATEWAYS = frozenset({403, 404, 405})
"""Statuses of APIs whose servers say more than a status; without that they come from something in front of them. The
other 4xx may be about a request's size or form also then."""

_BY_STATUS = {
    408: FailureReason.TIMEOUT,
    409: FailureReason.CONFLICT,
    429: FailureReason.THROTTLED,
    503: FailureReason.OVERLOADED,
    529: FailureReason.OVERLOADED,
}


@dataclass(frozen=True, slots=True)
class RetryAdvice:
    """What an answer's headers say about calling again."""

    retry_after_seconds: float | None = None
    should_retry: bool | None = None


NO_ADVICE = RetryAdvice()


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`max_attempts`: calls per item, throttled ones not counted. Waits double from `base_seconds` to `cap_seconds`."""

    max_attempts: int = 5
    base_seconds: float = 1.0
    cap_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Failures:
    """What an item has been through in this claim of its shard."""

    counted: int = 0
    throttled: int = 0

    def plus(self, reason: FailureReason) -> Failures:
        if reason.costs_a_retry:
            return Failures(self.counted + 1, 0)
        return Failures(self.counted, self.throttled + 1)


def failure_of(
    status: int,
    advice: RetryAdvice,
    details: ErrorDetails = NO_DETAILS,
    *,
    limit_is_zero: bool = False,
    is_object: bool = True,
) -> FailureReason | None:
    """Why an answer with `status` is a failure; None for 2xx. `details`: what its error object says. `limit_is_zero`:
    the provider's headers allow 0 requests or tokens. `is_object`: whether its body is a JSON object."""
    if 200 <= status < 300:
        return None
    if status < 400 or (status in _OFTEN_A_GATEWAYS and not is_object):
        return FailureReason.INVALID_RESPONSE
    if 400 <= status < 500:
        if says_too_large(status, details):
            return FailureReason.REJECTED
        if says_too_dear(status, details):
            return FailureReason.UNAFFORDABLE
        if says_no_money(status, details, limit_is_zero):
            return FailureReason.OUT_OF_MONEY
        if says_key_refused(status, details):
            return FailureReason.KEY_REFUSED
    if status == 503 and advice.retry_after_seconds is not None:
        reason = FailureReason.THROTTLED
    else:
        reason = _BY_STATUS.get(status) or (FailureReason.SERVER_ERROR if status >= 500 else FailureReason.REJECTED)
    if advice.should_retry is False and not (reason.is_trouble or reason.asks_for_less):
        return FailureReason.REJECTED
    if advice.should_retry is True and not reason.may_be_retried:
        return FailureReason.RETRY_REQUESTED
    return reason


def wait_before_retry(
    reason: FailureReason, failures: Failures, advice: RetryAdvice, policy: RetryPolicy, random: float
) -> float | None:
    """Seconds until the next call of an item; None: no further call. `failures` include the one of `reason`, `random`
    is in [0, 1)."""
    if not reason.may_be_retried or failures.counted >= policy.max_attempts:
        return None
    if advice.retry_after_seconds is not None:
        return advice.retry_after_seconds + random * min(1.0, policy.base_seconds, advice.retry_after_seconds)
    failed = failures.counted + failures.throttled
    return random * min(policy.cap_seconds, policy.base_seconds * 2.0 ** min(failed - 1, 32))


def read_retry_advice(headers: Mapping[str, str], now: float) -> RetryAdvice:
    """Reads `retry-after-ms`, `retry-after` (seconds or an HTTP date, RFC 9110 section 10.2.3) and `x-should-retry`.
    Header names in lower case; `now` in unix seconds."""
    retry_after = _milliseconds(headers.get("retry-after-ms"))
    if retry_after is None:
        retry_after = _seconds_or_date(headers.get("retry-after"), now)
    if retry_after is not None:
        retry_after = min(retry_after, _LONGEST_WAIT_SECONDS)
    return RetryAdvice(retry_after, {"true": True, "false": False}.get(headers.get("x-should-retry", "").lower()))


def _milliseconds(text: str | None) -> float | None:
    number = _number(text)
    return None if number is None else number / 1000


def _seconds_or_date(text: str | None, now: float) -> float | None:
    if text is None:
        return None
    seconds = _number(text)
    if seconds is not None:
        return seconds
    try:
        seconds = parsedate_to_datetime(text).timestamp() - now
    except (ValueError, OverflowError):
        return None
    return seconds if seconds > 0 else None


def _number(text: str | None) -> float | None:
    """A finite number above 0, or None. "Retry after 0" is no advice: it must not make a busy loop."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 else None
