"""How far anybody could get, with the batches of `bench.drawn_batches`: two bounds for the plan.

foresight    knows beforehand how long each job takes, also those that would be submitted later: nobody pays less
best policy  knows the distribution that the times are drawn from, and how slow realtime may turn out, but no time
             itself. When it stops a job and submits another one is worked out backwards from the deadline

Both are sure to be in time, as the plan is, and submit an item to one job at a time: a copy in a second job would be
billed. Times are seconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from batchyard.core.jobs import STOP_PATIENCE_SECONDS

STEP = 180
"""The best policy decides every three minutes."""


@dataclass(frozen=True, slots=True)
class KnownTimes:
    """What the best policy knows of a lane: completion times are lognormal with this median and `sigma`, or, of the
    `stalled_share`, endless. `stop_seconds`: how long a job takes to stop; one that stalls takes the whole patience.
    `window_seconds`: the vendor ends a job then."""

    median_seconds: float
    sigma: float
    stalled_share: float
    stop_seconds: int
    window_seconds: int


class BestPolicy:
    """`submissions`: of an item, at most. `longest_seconds`: how long before it would have to run in realtime a batch
    comes, at most."""

    def __init__(self, known: KnownTimes, submissions: int, longest_seconds: int) -> None:
        self._known = known
        self._submissions = submissions
        self._steps = longest_seconds // STEP

    def follow(self, seconds_left: float, times: Sequence[float]) -> tuple[bool, int]:
        """Whether an item is done by a job, when `times` is what the jobs take that are submitted one after the other;
        and how many are."""
        left = int(seconds_left)
        submitted = 0
        for seconds in times[: self._submissions]:
            steps = left // STEP
            if steps < 1:
                break
            stop_at = self._stop_after[self._submissions - submitted][steps] * STEP
            submitted += 1
            if seconds <= stop_at:
                return True, submitted
            left -= stop_at + (STOP_PATIENCE_SECONDS if math.isinf(seconds) else self._known.stop_seconds)
        return False, submitted

    @cached_property
    def _ended(self) -> list[float]:
        """Step -> the chance that a job has ended by then."""
        return [0.0] + [self._chance(step * STEP) for step in range(1, self._steps + 1)]

    def _chance(self, seconds: float) -> float:
        known = self._known
        times = math.log(min(seconds, known.window_seconds) / known.median_seconds) / known.sigma
        return (1 - known.stalled_share) * math.erfc(-times / math.sqrt(2)) / 2

    @cached_property
    def _stop_after(self) -> list[list[int]]:
        """Submissions that are left, steps that are left -> after how many steps a job is stopped."""
        value = [0.0] * (self._steps + 1)
        found = [[0] * (self._steps + 1)]
        for _ in range(self._submissions):
            best = [self._best(steps, value) for steps in range(self._steps + 1)]
            value = [chance for chance, _ in best]
            found.append([stop for _, stop in best])
        return found

    def _best(self, steps: int, later: Sequence[float]) -> tuple[float, int]:
        """The chance of half the price with so many steps left, and when to stop the job for it. `later`: the chance of
        those that come after it, by the steps that they have."""
        ended, stalled = self._ended, self._known.stalled_share
        slow, endless = (math.ceil(each / STEP) for each in (self._known.stop_seconds, STOP_PATIENCE_SECONDS))
        best = (ended[steps], steps)
        for stop in range(1, steps - slow):
            left = steps - stop
            chance = ended[stop] + (1 - stalled - ended[stop]) * later[left - slow]
            chance += stalled * later[max(0, left - endless)]
            best = max(best, (chance, stop))
        return best
