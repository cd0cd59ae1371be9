"""How many calls a lane may have in flight: additive increase, multiplicative decrease, as TCP does it.

    limit
      │      ╱│        ╱│      opening: some at once, more one by one, then +1 per success, until it is too much
      │     ╱ │    ╱╱╱  │      then: a small step per round of calls that succeed
      │    ╱  │ ╱╱╱     │╱╱    too much (429): half, at most once per round of calls in flight
      │   ╱             │
      └──────────────────────▶ time

`Retry-After` is always the word for the item that got it. Once a whole round of calls was refused it also holds back
new calls of the lane until then: the provider is spent, not just busy. Other lanes never notice. Once the workers of a
lane know how many calls a second its provider takes (`core.lane_pace`), each starts no more than its share of them,
and fewer for a moment after each refusal.
Time is passed in, in seconds of any one clock, which may be set back: what was to come then comes as much earlier.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_STEP_SHARE = 1 / 8
"""A round of success adds this share of the limit, and 1 at least: a halved limit is back after half a dozen rounds,
which at an LLM's latency is half a minute."""
_WEIGHT_KEPT = 0.98
"""A large answer is half forgotten after 34 smaller ones."""
_ROOM_ABOVE_RATE = 1.5
_LEAST_CALL_SECONDS = 0.1
_CALLS_TO_KNOW = 32
"""So many calls say how long they take. Then no more may be in flight than the rate needs: were they all to hang, each
would have been called in vain."""
_FIRST_PER_SECOND = 256.0
"""So quickly the first calls follow those that start at once. A slow lane refuses one before all have started."""
_SAVED_SECONDS = 0.25
CALLS_LESS_PER_REFUSAL = 4
"""Each refused call costs so many more of those that the rate allows: if it is too high by ten per cent, two per cent
are refused until the lane's workers have worked out a better one."""
_LONGEST_DEBT_SECONDS = 0.5
_TIMER_SECONDS = 0.0005
"""Timers may go off a little early."""
_CALLS_AFTER_TROUBLE = 8
_REFUSALS_TO_PAUSE = 3
"""At least so many, and as many as may be in flight, without a success in between. Fewer only halve the limit: what
still gets through must not stand still for them."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Bounds of a lane's calls in flight. `start`: how many there may be before the first of them ends; `at_once`: how
    many of these start at once. `memory_bytes`: what their answers, judged by recent ones, and those that are still
    held may add up to."""

    floor: int = 1
    start: int = 64
    at_once: int = 16
    ceiling: int = 512
    memory_bytes: int = 96_000_000


class Pacer:
    """The state of one lane. Every `start` is followed by exactly one `end`."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._first = float(min(pace.start, pace.ceiling))
        self._limit = min(self._first, float(pace.at_once))
        self._followed_at: float | None = None
        self._opening = True
        self._started = 0
        self._last_cut = 0
        self._last_full = 0
        self._last_without_rate = 0
        self._refusals = 0
        self._weight = 1.0
        self._rate: float | None = None
        self._tokens = 0.0
        self._refilled_at = -math.inf
        self._seen_at = -math.inf
        self.in_flight = 0
        self.resumes_at = -math.inf
        self.latency = Latency()

    @property
    def rate(self) -> float | None:
        """Calls that may start here per second; None: as many as the limit has room for."""
        return self._rate

    @property
    def started(self) -> int:
        """Calls that ever started here."""
        return self._started

    @property
    def limit(self) -> int:
        return int(self._limit)

    def allow(self, rate: float | None, now: float) -> None:
        """`rate` calls a second may start from now on, this worker's share of what the lane's provider takes; None: as
        many as the limit has room for. Once a rate is known, a refusal is its matter and cuts the limit no more."""
        self._see(now)
        self._refill(now)
        if rate is not None:
            in_flight = _ROOM_ABOVE_RATE * rate * max(self.latency.bound_seconds, _LEAST_CALL_SECONDS)
            at_first = 0.0 if self.latency.calls >= _CALLS_TO_KNOW else max(self._limit, self._first)
            self._limit = min(max(at_first, in_flight, 1.0), float(self._pace.ceiling))
            self._tokens = min(self._tokens, _most_tokens(rate))
            if self._rate is None:
                self._last_without_rate = self._started
        self._rate = rate

    def pause(self, until: float) -> None:
        """No call starts before then."""
        self.resumes_at = max(self.resumes_at, until)

    def begin_with(self, limit: int) -> None:
        """A worker that is not alone on its lane starts with fewer calls."""
        if self._opening and not self._started:
            self._first = max(1.0, min(self._first, float(limit)))
            self._limit = min(self._limit, self._first)

    def make_room(self, calls: int) -> None:
        """So many more than are in flight may be, as far as they ever may."""
        self._limit = min(max(self._limit, float(self.in_flight + calls)), float(self._pace.ceiling))

    def weigh(self, answer_bytes: int) -> None:
        """Takes note of how large an answer was: large ones leave room for fewer at a time."""
        self._weight = max(float(answer_bytes), self._weight * _WEIGHT_KEPT, 1.0)

    def restart(self) -> None:
        """The lane comes back from trouble: a few calls at first, twice as many after each round that succeeds."""
        self._limit = self._first = min(self._limit, float(_CALLS_AFTER_TROUBLE))
        self._opening = True
        self._last_cut = self._last_full = self._started
        self._refusals = 0
        self.resumes_at = -math.inf

    def wait_seconds(self, now: float, held_bytes: int = 0) -> float:
        """0 when a call may start now, infinity when another one has to end first (or some of the `held_bytes` of
        earlier answers have to go), else the time to wait."""
        self._see(now)
        if now < self.resumes_at:
            return self.resumes_at - now
        self._let_first_calls_follow(now)
        needed = (self.in_flight + 1) * self._weight + held_bytes
        if self.in_flight and needed > self._pace.memory_bytes:
            return math.inf
        if self.in_flight >= self.limit:
            missing = self.limit + 1 - self._limit
            return missing / _FIRST_PER_SECOND + _TIMER_SECONDS if self._first_follow else math.inf
        if self._rate is None:
            return 0.0
        self._refill(now)
        return 0.0 if self._tokens >= 1.0 else (1.0 - self._tokens) / self._rate + _TIMER_SECONDS

    def start(self) -> int:
        """Counts a call in. The number returned goes to its `end`."""
        self.in_flight += 1
        self._started += 1
        if self._rate is not None:
            self._tokens -= 1.0
        if self.in_flight >= self.limit:
            self._last_full = self._started
        return self._started

    def end(self, call: int) -> None:
        """Counts a call out that says nothing about the limit (cancelled, failed for reasons of its own)."""
        self.in_flight -= 1

    def end_well(self, call: int, seconds: float) -> None:
        """The call succeeded after `seconds`. The limit rises only by calls that were there when it was reached."""
        self.in_flight -= 1
        self._refusals = 0
        self.latency.add(seconds)
        if self._last_cut < call <= self._last_full:
            rise = 1.0 if self._opening else max(1.0 / self._limit, _STEP_SHARE)
            self._limit = min(self._limit + rise, float(self._pace.ceiling))

    def end_throttled(self, call: int, now: float, retry_after_seconds: float | None) -> None:
        """The provider asked for less. Calls that were already in flight at the last cut do not cut again."""
        self.in_flight -= 1
        self._refusals += 1
        self._opening = False
        if call > self._last_cut and self._rate is None:
            self._limit = self._first = max(self._limit / 2, float(self._pace.floor))
            self._last_cut = self._started
        if self._rate is not None and call > self._last_without_rate:
            self._owe(self._rate)
        spent = self._refusals >= max(_REFUSALS_TO_PAUSE, 2 * int(self._limit))
        if retry_after_seconds is not None and spent:
            self.resumes_at = max(self.resumes_at, now + retry_after_seconds)

    def _see(self, now: float) -> None:
        """Moves all that was noted with a clock that was set back since."""
        set_back = self._seen_at - now
        if set_back > 0:
            self.resumes_at -= set_back
            self._refilled_at -= set_back
            if self._followed_at is not None:
                self._followed_at -= set_back
        self._seen_at = now

    @property
    def _first_follow(self) -> bool:
        return self._rate is None and self._limit < self._first

    def _let_first_calls_follow(self, now: float) -> None:
        """The limit rises by time alone until as many are in flight as there may be at first, or one is refused."""
        if self._first_follow and self._followed_at is not None:
            self._limit = min(self._first, self._limit + (now - self._followed_at) * _FIRST_PER_SECOND)
        self._followed_at = now

    def _owe(self, rate: float) -> None:
        """Fewer calls start for one that was refused."""
        most = max(1.0, rate * _LONGEST_DEBT_SECONDS)
        self._tokens = max(self._tokens - CALLS_LESS_PER_REFUSAL, min(self._tokens, -most))

    def _refill(self, now: float) -> None:
        if self._rate is not None and self._refilled_at > -math.inf:
            self._tokens = min(_most_tokens(self._rate), self._tokens + (now - self._refilled_at) * self._rate)
        self._refilled_at = now


def _most_tokens(rate: float) -> float:
    """What a worker may save up: what it may start within a quarter of a second, and one call at least."""
    return max(1.0, rate * _SAVED_SECONDS)


class Latency:
    """How long a call may take, from those seen: smoothed mean plus four deviations (RFC 6298)."""

    def __init__(self) -> None:
        self._mean: float | None = None
        self._deviation = 0.0
        self.calls = 0
        """So many were seen."""

    def add(self, seconds: float) -> None:
        self.calls += 1
        if self._mean is None:
            self._mean, self._deviation = seconds, seconds / 2
            return
        self._deviation += (abs(seconds - self._mean) - self._deviation) / 4
        self._mean += (seconds - self._mean) / 8

    @property
    def mean_seconds(self) -> float:
        """0 before the first call ended."""
        return self._mean or 0.0

    @property
    def bound_seconds(self) -> float:
        """0 before the first call ended."""
        return 0.0 if self._mean is None else self._mean + 4 * self._deviation
