"""How many calls a lane may have in flight: additive increase, multiplicative decrease, as TCP does it.

    limit
      │      ╱│        ╱│      opening: +1 per success, until the provider first says it is too much
      │     ╱ │    ╱╱╱  │      then: a small step per round of calls that succeed
      │    ╱  │ ╱╱╱     │╱╱    too much (429): half, at most once per round of calls in flight
      │   ╱             │
      └──────────────────────▶ time

The item that got a `Retry-After` always waits that long. Once a whole round of calls was refused, new calls of the lane
wait for it too: the provider's limit is used up, and not just tight. Other lanes never notice. Time is passed in, in
seconds of any one clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_STEP_SHARE = 1 / 8
"""A round of success adds this share of the limit, and 1 at least: a halved limit is back after half a dozen rounds,
which at an LLM's latency is half a minute."""
_WEIGHT_KEPT = 0.98
"""A large answer is half forgotten after 34 smaller ones."""
_REFUSALS_TO_PAUSE = 3
"""At least so many, and as many as may be in flight, without a success in between. Fewer only halve the limit: what
still gets through must not stand still for them."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Bounds of a lane's calls in flight. `memory_bytes`: what their answers, judged by recent ones, and those that are
    still held may add up to."""

    floor: int = 1
    start: int = 64
    ceiling: int = 512
    memory_bytes: int = 96_000_000


class Pacer:
    """The state of one lane. Every `start` is followed by exactly one `end`."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._limit = float(min(pace.start, pace.ceiling))
        self._opening = True
        self._started = 0
        self._last_cut = 0
        self._last_full = 0
        self._refusals = 0
        self._weight = 1.0
        self.in_flight = 0
        self.resumes_at = -math.inf
        self.latency = Latency()

    @property
    def limit(self) -> int:
        return int(self._limit)

    def weigh(self, answer_bytes: int) -> None:
        """Takes note of how large an answer was: large ones leave room for fewer at a time."""
        self._weight = max(float(answer_bytes), self._weight * _WEIGHT_KEPT, 1.0)

    def wait_seconds(self, now: float, held_bytes: int = 0) -> float:
        """0 when a call may start now, infinity when another one has to end first (or some of the `held_bytes` of
        earlier answers have to go), else the time to wait."""
        if now < self.resumes_at:
            return self.resumes_at - now
        needed = (self.in_flight + 1) * self._weight + held_bytes
        room = not self.in_flight or needed <= self._pace.memory_bytes
        return 0.0 if room and self.in_flight < self.limit else math.inf

    def start(self) -> int:
        """Counts a call in. The number returned goes to its `end`."""
        self.in_flight += 1
        self._started += 1
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
        if call > self._last_cut:
            self._limit = max(self._limit / 2, float(self._pace.floor))
            self._last_cut = self._started
        spent = self._refusals >= max(_REFUSALS_TO_PAUSE, 2 * int(self._limit))
        if retry_after_seconds is not None and spent:
            self.resumes_at = max(self.resumes_at, now + retry_after_seconds)


class Latency:
    """How long a call may take, from those seen: smoothed mean plus four deviations (RFC 6298)."""

    def __init__(self) -> None:
        self._mean: float | None = None
        self._deviation = 0.0

    def add(self, seconds: float) -> None:
        if self._mean is None:
            self._mean, self._deviation = seconds, seconds / 2
            return
        self._deviation += (abs(seconds - self._mean) - self._deviation) / 4
        self._mean += (seconds - self._mean) / 8

    @property
    def bound_seconds(self) -> float:
        """0 before the first call ended."""
        return 0.0 if self._mean is None else self._mean + 4 * self._deviation
