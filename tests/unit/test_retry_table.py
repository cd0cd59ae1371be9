"""The retry table: what is tried again, when, and what it costs."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from batchyard.core.retry import (
    NO_ADVICE,
    FailureReason,
    Failures,
    RetryAdvice,
    RetryPolicy,
    failure_of,
    read_retry_advice,
    wait_before_retry,
)

NOW = 1_800_000_000.0
POLICY = RetryPolicy(max_attempts=5, base_seconds=1.0, cap_seconds=60.0)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 520, 529, 599])
def test_these_statuses_are_tried_again(status: int) -> None:
    """What may pass by itself is retried."""
    reason = failure_of(status, NO_ADVICE)
    assert reason is not None and reason.may_be_retried


@pytest.mark.parametrize("status", [400, 403, 404, 405, 413, 415, 422, 451])
def test_these_statuses_are_final(status: int) -> None:
    """A request that is itself to blame is never sent twice."""
    reason = failure_of(status, NO_ADVICE)
    assert reason is FailureReason.REJECTED
    assert wait_before_retry(reason, Failures(1), NO_ADVICE, POLICY, 0.5) is None


@pytest.mark.parametrize(
    ("status", "is_object"), [(101, True), (301, True), (302, False), (304, False), (403, False), (404, False)]
)
def test_what_no_api_says_is_no_refusal(status: int, is_object: bool) -> None:
    """A gateway that is in trouble redirects to a page for people, or refuses in HTML: nothing of it is about the
    request, and it may pass."""
    assert failure_of(status, NO_ADVICE, is_object=is_object) is FailureReason.INVALID_RESPONSE


@pytest.mark.parametrize("status", [400, 413, 414, 422, 431])
def test_a_servers_refusal_of_a_requests_form_need_not_be_json(status: int) -> None:
    """nginx says in HTML that a request is too large: sent again it would be as large."""
    assert failure_of(status, NO_ADVICE, is_object=False) is FailureReason.REJECTED


@pytest.mark.parametrize(("status", "reason"), [(401, FailureReason.KEY_REFUSED), (402, FailureReason.OUT_OF_MONEY)])
@pytest.mark.parametrize("should_retry", [True, False, None])
def test_these_statuses_block_the_lane(status: int, reason: FailureReason, should_retry: bool | None) -> None:
    """No request is to blame for key and money: final for an item whose caller brought the key, and no advice changes
    it."""
    advice = RetryAdvice(should_retry=should_retry)
    assert failure_of(status, advice) is reason
    assert reason.blocks_the_lane and not reason.is_trouble
    assert wait_before_retry(reason, Failures(1), advice, POLICY, 0.5) is None


def test_trouble_is_what_a_provider_that_is_down_answers() -> None:
    """5xx, silence, broken connections and nonsense; not what says anything about the request, the pace or the key."""
    trouble = {reason for reason in FailureReason if reason.is_trouble}
    assert trouble == {
        FailureReason.OVERLOADED,
        FailureReason.SERVER_ERROR,
        FailureReason.TIMEOUT,
        FailureReason.CONNECTION,
        FailureReason.INVALID_RESPONSE,
        FailureReason.UNAFFORDABLE,
    }
    assert all(reason.may_be_retried and reason.costs_a_retry for reason in trouble)
    blocking = {reason for reason in FailureReason if reason.blocks_the_lane}
    assert blocking == {FailureReason.KEY_REFUSED, FailureReason.OUT_OF_MONEY}


def test_success_is_no_failure() -> None:
    """Every 2xx is an answer."""
    assert [failure_of(status, NO_ADVICE) for status in (200, 201, 204)] == [None] * 3


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 529])
def test_do_not_retry_means_not_now(status: int) -> None:
    """A client that waits for seconds gives up on x-should-retry: false; a batch has hours, and loses no item by it."""
    refused = RetryAdvice(should_retry=False)
    assert failure_of(status, refused) is failure_of(status, NO_ADVICE)
    assert failure_of(503, RetryAdvice(7.0, should_retry=False)) is FailureReason.THROTTLED


def test_the_server_overrules_the_table() -> None:
    """x-should-retry decides about what does not pass with the lane."""
    assert failure_of(409, RetryAdvice(should_retry=False)) is FailureReason.REJECTED
    assert failure_of(500, RetryAdvice(should_retry=True)) is FailureReason.SERVER_ERROR


def test_a_refusal_that_asks_for_a_repeat_is_no_server_error() -> None:
    """A 400 with x-should-retry is tried again and takes a retry, under a reason of its own."""
    reason = failure_of(400, RetryAdvice(should_retry=True))
    assert reason is FailureReason.RETRY_REQUESTED
    assert reason.may_be_retried and reason.costs_a_retry and not reason.asks_for_less


@pytest.mark.parametrize("status", [429, 503])
def test_being_throttled_costs_nothing(status: int) -> None:
    """A 429, and a 503 that says when to come back, never use up an item's calls, however often they come."""
    advice = RetryAdvice(retry_after_seconds=3.0)
    reason = failure_of(status, advice)
    assert reason is FailureReason.THROTTLED
    failures = Failures(counted=POLICY.max_attempts - 1)
    for _ in range(1000):
        failures = failures.plus(reason)
    assert failures.counted == POLICY.max_attempts - 1
    assert wait_before_retry(reason, failures, advice, POLICY, 0.0) == 3.0


def test_a_bare_503_costs_a_retry() -> None:
    """Without advice from the server a 503 is a failure like any other."""
    reason = failure_of(503, NO_ADVICE)
    assert reason is FailureReason.OVERLOADED and reason.costs_a_retry


def test_the_budget_ends() -> None:
    """The fifth counted failure is the last."""
    reason = FailureReason.SERVER_ERROR
    failures = Failures()
    waits = []
    for _ in range(POLICY.max_attempts):
        failures = failures.plus(reason)
        waits.append(wait_before_retry(reason, failures, NO_ADVICE, POLICY, 0.999999))
    assert waits[:4] == pytest.approx([1, 2, 4, 8], rel=1e-3)
    assert waits[4] is None


def test_backoff_is_capped_and_fully_jittered() -> None:
    """The wait is spread over everything from 0 to the cap, and no exponent overflows."""
    failures = Failures(throttled=5000)
    for random in (0.0, 0.25, 0.999):
        assert wait_before_retry(FailureReason.THROTTLED, failures, NO_ADVICE, POLICY, random) == 60.0 * random


def test_the_servers_advice_comes_first_and_is_never_cut_short() -> None:
    """Retry-After is a minimum; jitter only adds to it."""
    advice = RetryAdvice(retry_after_seconds=120.0)
    for random in (0.0, 0.5, 0.999):
        wait = wait_before_retry(FailureReason.SERVER_ERROR, Failures(1), advice, POLICY, random)
        assert wait is not None and 120.0 <= wait <= 121.0


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": formatdate(NOW + 30, usegmt=True)}, 30.0),
        ({"retry-after": formatdate(NOW - 30, usegmt=True)}, None),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "tomorrow"}, None),
        ({"retry-after": "899"}, 899.0),
        ({"retry-after": "86400"}, 900.0),
        ({"retry-after": "99999999999"}, 900.0),
        ({}, None),
    ],
)
def test_both_forms_of_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, milliseconds and HTTP dates are read; nonsense and the past are no advice at all."""
    assert read_retry_advice(headers, NOW).retry_after_seconds == seconds


def test_every_reason_has_words_for_people() -> None:
    """Whatever can end an item can be explained, without quoting the provider."""
    assert all(reason.message for reason in FailureReason)
