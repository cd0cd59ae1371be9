"""What vendors' headers say becomes a rate of calls: per request and per token, per second, minute and day."""

from __future__ import annotations

import pytest

from batchyard.core.advised_rates import AdvisedRate
from batchyard.core.ratelimits import read_rate_advice
from batchyard.core.usage import Usage
from tests.unit.test_ratelimits import ANTHROPIC, CEREBRAS, GROQ, MISTRAL, NOW, OPENAI, OPENROUTER, TOGETHER

CALL = Usage(input_tokens=900, output_tokens=100)
USED = 0.99
"""Of every limit."""


def rate(headers: dict[str, str], usage: Usage | None = CALL) -> float | None:
    """What a lane may have after one answer with these headers."""
    advised = AdvisedRate()
    advice = read_rate_advice(headers, NOW)
    assert advice is not None
    advised.heard(advice, usage)
    return advised.calls_per_second


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        # 5,000 requests and 160,000 tokens a minute: its resets say how fast a limit fills. 160 calls of 1,000 tokens.
        (OPENAI, USED * 160_000 / 60 / 1000),
        # 14,400 requests a *day*, of which nearly all are left, and 18,000 tokens a minute, 300 a second.
        (GROQ | {"x-ratelimit-remaining-tokens": "15702"}, USED * 18_000 / 60 / 1000),
        # All per minute: 50 requests, 60,000 tokens, 50,000 of inputs, 10,000 of outputs. The requests are fewest.
        (ANTHROPIC, USED * 50 / 60),
        # 720 requests a minute; 5,000,000 tokens are 5,000 calls; a limit of 0 a month is none.
        (MISTRAL, USED * 720 / 60),
        # 1,000,000 tokens a minute are 1,000 calls; 10^9 requests a day are more.
        (CEREBRAS, USED * 1_000_000 / 60 / 1000),
        # 10 requests, 1 used and there again in a second: no period that anybody has. 3,000 tokens in half a second are
        # judged to be per second.
        (TOGETHER | {"x-tokenlimit-reset": "1"}, USED * 3000 / 1000),
        # 20, all used, and there again in half a minute: nobody knows what that is 20 of.
        (OPENROUTER, None),
    ],
    ids=["openai", "groq", "anthropic", "mistral", "cerebras", "together", "openrouter"],
)
def test_what_each_vendor_allows(headers: dict[str, str], expected: float | None) -> None:
    """Of all limits of an answer the lowest rate counts, tokens by what a call takes."""
    assert rate(headers) == (None if expected is None else pytest.approx(expected, rel=0.02))


def test_requests_alone() -> None:
    """OpenAI's and Groq's requests, when no tokens are told: 5,000 a minute; 14,400 a day, of which 14,370 are left."""
    requests = {name: text for name, text in OPENAI.items() if "requests" in name}
    assert rate(requests) == pytest.approx(USED * 5000 / 60)
    requests = {name: text for name, text in GROQ.items() if "requests" in name}
    assert rate(requests) == pytest.approx(USED * 14_400 / 86_400 + 14_370 / 60)


def test_a_limit_per_day_is_no_slow_lane_until_it_is_used_up() -> None:
    """What is left may be used within minutes; the less is left, the nearer to what the day refills."""
    rates = []
    for left in (14_400, 1_440, 144, 0):
        headers = {"x-ratelimit-limit-requests-day": "14400", "x-ratelimit-remaining-requests-day": str(left)}
        rates.append(rate(headers))
    assert rates == [pytest.approx(left / 60 + USED / 6) for left in (14_400, 1_440, 144, 0)]


@pytest.mark.parametrize(
    ("limited", "expected"),
    [("tokens", 60_000 / 1000), ("input-tokens", 60_000 / 900), ("output-tokens", 60_000 / 100)],
)
def test_each_kind_of_tokens_by_what_a_call_takes_of_it(limited: str, expected: float) -> None:
    """Anthropic limits tokens of inputs and of outputs each by itself."""
    headers = {f"anthropic-ratelimit-{limited}-limit": "60000", f"anthropic-ratelimit-{limited}-remaining": "59000"}
    assert rate(headers) == pytest.approx(USED * expected / 60)


def test_tokens_say_nothing_before_a_call_was_counted() -> None:
    """A refusal has headers too, and no usage: what it says of requests counts, what of tokens counts later."""
    assert rate(OPENAI, usage=None) == pytest.approx(USED * 5000 / 60)
    assert rate({name: text for name, text in OPENAI.items() if "tokens" in name}, usage=None) is None


def test_the_size_of_calls_is_followed() -> None:
    """Calls that become ten times as large are soon a tenth as many."""
    advised = AdvisedRate()
    advice = read_rate_advice({name: text for name, text in OPENAI.items() if "tokens" in name}, NOW)
    assert advice is not None
    for tokens in [100] * 100 + [1000] * 300:
        advised.heard(advice, Usage(input_tokens=tokens))
    assert advised.calls_per_second == pytest.approx(USED * 160_000 / 60 / 1000, rel=0.02)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-ratelimit-limit-requests": "5000", "x-ratelimit-remaining-requests": "4999"},
        OPENAI | dict.fromkeys(("x-ratelimit-reset-requests", "x-ratelimit-reset-tokens"), "0s"),
        {"x-ratelimit-limit-requests": "0", "x-ratelimit-remaining-requests": "0"},
        {"x-ratelimit-limit-tokens-month": "0", "x-ratelimit-remaining-tokens-month": "0"},
        {"x-ratelimit-remaining-requests-minute": "7"},
    ],
)
def test_nothing_follows_from_half_a_word(headers: dict[str, str]) -> None:
    """Without a reset, with one that is over, without a limit, or with one of 0, refusals have to teach the rate."""
    assert rate(headers) is None


def test_what_was_said_holds_until_something_else_is() -> None:
    """A full window does not say how fast it fills, and takes back nothing."""
    advised = AdvisedRate()
    requests = {name: text for name, text in OPENAI.items() if "requests" in name}
    for left, expected in (("4999", 5000), ("5000", 5000)):
        advice = read_rate_advice(requests | {"x-ratelimit-remaining-requests": left}, NOW)
        assert advice is not None
        advised.heard(advice, CALL)
        assert advised.calls_per_second == pytest.approx(USED * expected / 60)
