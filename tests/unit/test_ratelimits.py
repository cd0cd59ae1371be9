"""Rate limits as vendors write them in headers become one value, and nonsense becomes none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchyard.core.ratelimits import RATE_LIMIT_HEADERS, RateAdvice, Window, read_rate_advice

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z

OPENAI = {
    "x-ratelimit-limit-requests": "5000",
    "x-ratelimit-limit-tokens": "160000",
    "x-ratelimit-remaining-requests": "4999",
    "x-ratelimit-remaining-tokens": "159976",
    "x-ratelimit-reset-requests": "12ms",
    "x-ratelimit-reset-tokens": "9ms",
}
GROQ = {
    "x-ratelimit-limit-requests": "14400",
    "x-ratelimit-limit-tokens": "18000",
    "x-ratelimit-remaining-requests": "14370",
    "x-ratelimit-remaining-tokens": "17997",
    "x-ratelimit-reset-requests": "2m59.56s",
    "x-ratelimit-reset-tokens": "7.66s",
}
ANTHROPIC = {
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "49",
    "anthropic-ratelimit-requests-reset": "2027-01-15T08:00:01Z",
    "anthropic-ratelimit-tokens-limit": "60000",
    "anthropic-ratelimit-tokens-remaining": "58000",
    "anthropic-ratelimit-tokens-reset": "2027-01-15T08:00:02Z",
    "anthropic-ratelimit-input-tokens-limit": "50000",
    "anthropic-ratelimit-input-tokens-remaining": "50000",
    "anthropic-ratelimit-input-tokens-reset": "2027-01-15T08:00:00Z",
    "anthropic-ratelimit-output-tokens-limit": "10000",
    "anthropic-ratelimit-output-tokens-remaining": "8000",
    "anthropic-ratelimit-output-tokens-reset": "2027-01-15T10:00:12+02:00",
}
MISTRAL = {
    "x-ratelimit-limit-req-minute": "720",
    "x-ratelimit-remaining-req-minute": "717",
    "x-ratelimit-limit-tokens-minute": "5000000",
    "x-ratelimit-remaining-tokens-minute": "4999911",
    "x-ratelimit-limit-tokens-month": "0",
    "x-ratelimit-remaining-tokens-month": "0",
}
TOGETHER = {
    "x-ratelimit-limit": "10",
    "x-ratelimit-remaining": "9",
    "x-ratelimit-reset": "1",
    "x-tokenlimit-limit": "3000",
    "x-tokenlimit-remaining": "0",
    "x-tokenlimit-reset": "0.5",
}
CEREBRAS = {
    "x-ratelimit-limit-requests-day": "1000000000",
    "x-ratelimit-remaining-requests-day": "999997455",
    "x-ratelimit-reset-requests-day": "33011.382867",
    "x-ratelimit-limit-tokens-minute": "1000000",
    "x-ratelimit-remaining-tokens-minute": "999872",
    "x-ratelimit-reset-tokens-minute": "11.382867",
}
OPENROUTER = {
    "x-ratelimit-limit": "20",
    "x-ratelimit-remaining": "0",
    "x-ratelimit-reset": "1800000030000",
}


@pytest.mark.parametrize(
    ("headers", "requests", "tokens"),
    [
        (OPENAI, Window(5000, 4999, 0.012), Window(160_000, 159_976, 0.009)),
        (GROQ, Window(14_400, 14_370, 179.56), Window(18_000, 17_997, 7.66)),
        (ANTHROPIC, Window(50, 49, 1.0), Window(10_000, 8_000, 12.0)),
        (MISTRAL, Window(720, 717), Window(5_000_000, 4_999_911)),
        (TOGETHER, Window(10, 9, 1.0), Window(3000, 0, 0.5)),
        (CEREBRAS, Window(10**9, 999_997_455, 33_011.382867), Window(10**6, 999_872, 11.382867)),
        (OPENROUTER, Window(20, 0, 30.0), None),
    ],
    ids=["openai", "groq", "anthropic", "mistral", "together", "cerebras", "openrouter"],
)
def test_every_vendor_is_understood(headers: dict[str, str], requests: Window | None, tokens: Window | None) -> None:
    """Names, times and windows of each; of several windows the one nearest to its end, and a limit of 0 is none."""
    advice = read_rate_advice(headers | {"content-type": "application/json"}, NOW)
    assert advice == RateAdvice(requests, tokens)
    assert headers.keys() <= RATE_LIMIT_HEADERS
    assert not advice.allows_nothing


def test_what_is_used_up_says_how_long_to_wait() -> None:
    """A remaining of 0 with a reset; the longer one if both are used up; without a reset nobody knows."""
    assert read_rate_advice(OPENAI, NOW).wait_seconds == 0.0  # type: ignore[union-attr]
    assert read_rate_advice(OPENROUTER, NOW).wait_seconds == 30.0  # type: ignore[union-attr]
    assert RateAdvice(Window(10, 0, 2.0), Window(10, 0, 7.0)).wait_seconds == 7.0
    assert RateAdvice(Window(10, 0, 2.0), Window(10, 5, 7.0)).wait_seconds == 2.0
    assert RateAdvice(Window(10, 0)).wait_seconds == 0.0
    spent = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "4s"}
    full = {"x-ratelimit-remaining-tokens-minute": "5", "x-ratelimit-limit-tokens-minute": "9"}
    assert read_rate_advice(spent | full, NOW).wait_seconds == 4.0  # type: ignore[union-attr]
    assert RateAdvice(Window(None, 0, 3.0)).wait_seconds == 3.0


def test_a_limit_of_nothing_is_not_waited_for() -> None:
    """A limit of 0 means that the account may not use the lane at all."""
    headers = {"x-ratelimit-limit-tokens": "0", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m0s"}
    advice = read_rate_advice(headers, NOW)
    assert advice is not None and advice.allows_nothing and advice.wait_seconds == 0.0


def test_the_rate_that_a_steady_window_allows() -> None:
    """OpenAI's 5,000 a minute and Groq's 14,400 a day follow from what is left and when it is whole again."""
    openai, groq = read_rate_advice(OPENAI, NOW), read_rate_advice(GROQ, NOW)
    assert openai is not None and openai.requests is not None and groq is not None and groq.requests is not None
    assert openai.requests.refill_per_second == pytest.approx(5000 / 60)
    assert groq.requests.refill_per_second == pytest.approx(14_400 / 86_400, rel=0.01)
    for window in (Window(), Window(5, 5, 1.0), Window(5, 4, 0.0), Window(5, 4), Window(5, 9, 1.0)):
        assert window.refill_per_second is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("1h2m3.5s", 3723.5),
        ("500µs", 0.0005),
        ("1d", 86_400.0),
        ("0s", 0.0),
        ("12", 12.0),
        ("1800000012", 12.0),
        ("1700000000", 0.0),
        ("2020-01-01T00:00:00Z", 0.0),
        ("2027-01-15T08:00:01.25Z", 1.25),
        ("2027-01-15t03:00:01-05:00", 1.0),
        ("99d", None),
        ("2099-01-01T00:00:00Z", None),
        ("2027-13-01T00:00:00Z", None),
        ("9" * 400, None),
        *((text, None) for text in ("", "s", "-1s", "1s1", "1 s", "nan", "inf", "-5", "1e9", "soon", "\u0661s", "0x1")),
    ],
)
def test_every_form_of_a_reset(text: str, seconds: float | None) -> None:
    """Durations, plain seconds, unix times and dates; the past is now, and the far future and nonsense are nothing."""
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": text}
    advice = read_rate_advice(headers, NOW)
    assert advice is not None and advice.requests is not None
    assert advice.requests.resets_in_seconds == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    "text", ["", "-1", "nan", "inf", "1e5", "ten", "9" * 21, "1,000", "0x10", "+5", "\u0661", "1.", " 1"]
)
def test_counts_that_are_none(text: str) -> None:
    """No figure is no advice."""
    assert read_rate_advice({"x-ratelimit-limit-requests": text, "x-ratelimit-remaining-requests": text}, NOW) is None


def test_without_such_headers_there_is_no_advice() -> None:
    """Nothing, or a reset alone."""
    assert read_rate_advice({}, NOW) is None
    assert read_rate_advice({"content-type": "x", "retry-after": "1"}, NOW) is None
    assert read_rate_advice({"x-ratelimit-reset-requests": "1s"}, NOW) is None


@given(
    st.dictionaries(
        st.sampled_from(sorted(RATE_LIMIT_HEADERS)), st.text(max_size=30) | st.from_regex(r"[0-9a-z.:TZ-]+")
    )
)
def test_no_header_breaks_anything(headers: dict[str, str]) -> None:
    """Whatever a server sends, the advice is finite, and no wait is longer than a month."""
    advice = read_rate_advice(headers, NOW)
    if advice is not None:
        assert 0.0 <= advice.wait_seconds <= 31 * 86_400
        for window in (advice.requests, advice.tokens):
            assert window is None or 0.0 <= window.share_left <= 1.0
