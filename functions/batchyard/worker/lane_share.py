"""This worker's part of a lane: what it reports to the others, and what follows from what they report.

At the start of each slot it says which batches it has waiting and how its calls went; a little later it works out the
lane's rate, as all others do, and takes its share. See `core.lane_pace`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice

from batchyard.adapters.aws.lanes import Counts, Lanes, LaneView
from batchyard.core.calls import Answer, ProviderReply
from batchyard.core.lane_limits import LaneLimits, estimated_tokens, lower
from batchyard.core.lane_pace import (
    REPORTED_AFTER_SECONDS,
    SLOT_SECONDS,
    LanePace,
    WorkerReport,
    is_surplus,
    rate_change,
    share,
    slot_of,
)
from batchyard.core.lanes import LaneId
from batchyard.worker.gate import Gate
from batchyard.worker.runtime import Runtime

_LONG_SECONDS = 86_400
_ESTIMATED_ITEMS = 32
_FIRST_CALLS = 64
"""What the workers of a lane start with together, as long as nothing is known of it."""


@dataclass(frozen=True, eq=False, slots=True)
class Participant:
    """The run of a shard, as far as it matters to others."""

    batch_id: str
    account_id: str
    items_left: Callable[[], int]


class LaneShare:
    """Lives as long as its process, one for each lane. `limits`: what the operator allows it; `take`:
    called with what every read and write of the row brings."""

    def __init__(
        self,
        lane: LaneId,
        gate: Gate,
        lanes: Lanes,
        runtime: Runtime,
        *,
        limits: LaneLimits,
        take: Callable[[LaneView], None],
    ) -> None:
        self._lane = lane
        self._gate = gate
        self._lanes = lanes
        self._clock = runtime.clock
        self._blocking = runtime.blocking
        self._name = runtime.new_owner()
        self._limits = limits
        self._expected_tokens: float | None = None
        self._tokens: Counter[int] = Counter()
        self._take_view = take
        self._good: Counter[int] = Counter()
        self._refused: Counter[int] = Counter()
        self._running: list[Participant] = []
        self._since = 0
        self._reported_slot = 0
        self._busy = asyncio.Lock()
        self.pace = LanePace()

    def replied(self, reply: ProviderReply) -> None:
        """Counts a call that says something about what the provider takes."""
        failure = reply.failure
        if failure is None:
            self._good[slot_of(self._clock())] += 1
            if self._limits.counts_tokens and isinstance(reply, Answer):
                self._tokens[slot_of(self._clock())] += reply.usage.total_tokens
        elif failure.asks_for_less and not failure.is_trouble:
            self._refused[slot_of(self._clock())] += 1

    def expect(self, bodies: Iterable[bytes]) -> None:
        """Requests that are about to be sent, so that their tokens can be estimated while nothing is known of them."""
        if self._limits.counts_tokens:
            estimates = [estimated_tokens(body) for body in islice(bodies, _ESTIMATED_ITEMS)]
            self._expected_tokens = sum(estimates) / max(1, len(estimates))

    @property
    def _ceiling(self) -> float | None:
        """How many calls a second the operator allows the whole lane."""
        return self._limits.calls_per_second(self.pace.tokens_per_call or self._expected_tokens)

    def enough_others(self, batch_id: str) -> bool:
        """Whether the workers that are there can do without this one, though it may have brought `batch_id`."""
        if self._running:
            return False
        return is_surplus(self.pace, self._name, {batch_id}, self._clock(), self._usual_call_seconds)

    def is_surplus(self) -> bool:
        """Whether this worker should leave."""
        batch_ids = {run.batch_id for run in self._running}
        return is_surplus(self.pace, self._name, batch_ids, self._clock(), self._usual_call_seconds)

    @property
    def is_limited(self) -> bool:
        """Whether the lane has a rate, so that who works on it long keeps others from it."""
        return self.pace.rate is not None

    async def join(self, run: Participant) -> None:
        """A shard is about to run here."""
        self._running.append(run)
        if len(self._running) > 1:
            return
        self._since = int(self._clock())
        await self._report()
        if self.pace.rate is None:
            present = len(self.pace.present(self._clock()))
            self._gate.pacer.begin_with(_FIRST_CALLS // max(1, present))

    async def leave(self, run: Participant) -> None:
        """The run of a shard is over."""
        self._running.remove(run)
        if not self._running:
            await self._report()

    async def keep_up(self) -> None:
        """Report, if a new slot has begun; work out the rate, once all others have reported, too."""
        if self._busy.locked() or not self._running:
            return
        async with self._busy:
            now = self._clock()
            if slot_of(now) > self._reported_slot:
                await self._report()
            if now % SLOT_SECONDS < REPORTED_AFTER_SECONDS or self.pace.changed_slot >= slot_of(now):
                return
            if self.pace.rate is None and self._ceiling is None and not (self._refused or self.pace.refused):
                return
            self.take(await self._blocking(partial(self._lanes.look, self._lane)))
            change = rate_change(self.pace, self._clock(), self._ceiling)
            if change is not None:
                await self._blocking(partial(self._lanes.change_rate, self._lane, change))
                self.take(await self._blocking(partial(self._lanes.look, self._lane)))

    def take(self, view: LaneView) -> None:
        """What the row says; the rate is shared anew."""
        self.pace = view.pace
        rate, now = lower(view.pace.rate, self._ceiling), self._clock()
        self._gate.allow(None if rate is None else max(rate * share(view.pace, self._name, now), 0.01))
        self._take_view(view)

    @property
    def _usual_call_seconds(self) -> float:
        return self._gate.pacer.latency.bound_seconds

    async def _report(self) -> None:
        now = self._clock()
        self._reported_slot = slot_of(now)
        counts = Counts(int(now), dict(self._good), dict(self._refused), dict(self._tokens))
        self._good, self._refused, self._tokens = Counter(), Counter(), Counter()
        here = {run.batch_id: run.account_id for run in self._running}
        waiting = here if self._since == int(now) else self._gate.waiting_batches()
        report = WorkerReport(int(now), self._since, waiting, self._busy_until(now)) if self._running else None
        outdated = self.pace.outdated(now)
        write = partial(self._lanes.report, self._lane, self._name, report, counts, outdated)
        self.take(await self._blocking(write))

    def _busy_until(self, now: float) -> int:
        rate = self._gate.pacer.rate
        if rate is None:
            return int(now) + _LONG_SECONDS
        return int(now + min(_LONG_SECONDS, sum(run.items_left() for run in self._running) / rate))
