"""What a provider's headers say about its limits, as calls a second: the first source of a lane's rate.

A limit is so much per period, and each limit of an answer allows its own rate; the lowest one counts.

    requests     limit / period
    tokens       the same, by what a call of the lane takes on average: all its tokens, or those of its input or output
    long ones    of hours, days or months: also what is left of it now, as if it had to last for a minute. The rate
                 sinks to that of the limit as it is used up, so that a small batch does not take a day

How long a period is says the name of the limit (`core.ratelimits`), else how soon what was used is there again: 24 of
160,000 tokens in 9 milliseconds is a minute. If that is no usual period, the headers say nothing about the rate, and it
is learned from refusals (`core.lane_pace`).
"""

from __future__ import annotations

from batchyard.core.ratelimits import Figures, RateAdvice, Window
from batchyard.core.usage import Usage

_MINUTE = 60.0
_PERIODS = {"second": 1.0, "minute": _MINUTE, "hour": 3600.0, "day": 86_400.0, "month": 30 * 86_400.0}
_MISJUDGED_BY = 1.5
"""Resets are rounded, to a millisecond or a second."""
_USED = 0.99
"""So much of a limit is used: calls do not come evenly, and what they take is an average."""
_KEPT = 0.98
"""A call's size is half forgotten after 34 others."""


class AdvisedRate:
    """What the provider of one lane allows, as far as it says so. Lives as long as the lane's process."""

    def __init__(self) -> None:
        self._advice: RateAdvice | None = None
        self._rate: float | None = None
        self._calls = self._input = self._output = 0.0

    def heard(self, advice: RateAdvice, usage: Usage | None) -> None:
        """An answer had this advice. `usage`: what its call took; None if it failed."""
        self._advice = advice
        if usage is not None:
            self._calls = self._calls * _KEPT + 1
            self._input = self._input * _KEPT + usage.input_tokens
            self._output = self._output * _KEPT + usage.output_tokens

    @property
    def calls_per_second(self) -> float | None:
        """By the last advice that says anything about it; None: there was none."""
        advice, self._advice = self._advice, None
        if advice is not None:
            rates = [self._rate_of(figures, window) for figures, window in advice.windows.items()]
            self._rate = min((rate for rate in rates if rate is not None), default=self._rate)
        return self._rate

    def _rate_of(self, figures: Figures, window: Window) -> float | None:
        """Calls a second that one limit allows; None: any number, or nobody knows."""
        period = period_seconds(figures, window)
        if not window.limit or period is None:
            return None
        per_second = _USED * window.limit / period
        if period > _MINUTE and window.remaining is not None:
            per_second += window.remaining / _MINUTE
        if figures.of_requests:
            return per_second
        tokens = {"input": self._input, "output": self._output}.get(figures.scope.partition("-")[0])
        tokens = self._input + self._output if tokens is None else tokens
        return per_second * self._calls / tokens if tokens else None


def period_seconds(figures: Figures, window: Window) -> float | None:
    """How long it takes until a limit that was used up is whole again; None: that is not known."""
    named = _PERIODS.get(figures.scope.rpartition("-")[2])
    refill = window.refill_per_second
    if named is not None or window.limit is None or not refill:
        return named
    seconds = window.limit / refill
    usual = (period for period in _PERIODS.values() if period / _MISJUDGED_BY <= seconds <= period * _MISJUDGED_BY)
    return next(usual, None)
