"""This worker's part of a lane: what it reports to the others, and what follows from what they report.

At the start of each slot it says which batches it has waiting and how its calls went; a little later it works out the
lane's rate, as all others do, and takes its share. See `core.lane_pace`.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice

from batchyard.adapters.aws.lanes import Counts, Lanes, LaneView
from batchyard.core.advised_rates import AdvisedRate
from batchyard.core.calls import Answer, ProviderReply
from batchyard.core.lane_limits import LaneLimits, estimated_tokens, lower
from batchyard.core.lane_pace import (
    FIRST_WORKERS,
    REPORTED_AFTER_SECONDS,
    SLOT_SECONDS,
    LanePace,
    WorkerReport,
    away_seconds,
    by_slot,
    enough_without,
    portions,
    rate_change,
    share,
    slot_of,
    staying,
    wants_no_more,
)
from batchyard.core.lanes import LaneId
from batchyard.core.messages import ShardMessage
from batchyard.core.roster import is_to_be_taken_up_by
from batchyard.worker.gate import Gate
from batchyard.worker.runtime import Runtime

_WORK_AT_HAND_SECONDS = 5.0
_LONGEST_COUNT_SECONDS = 10.0
_BETWEEN_SHARDS_SECONDS = 6.0
"""So long a batch that waits for nothing, though it has shards to run, is between two of them."""
_ESTIMATED_ITEMS = 32
_FIRST_CALLS = 64
_FIRST_CALLS_BESIDE_OTHERS = 16
"""What the workers of a lane start with together."""
_STILL_REFUSED_SECONDS = 1.0
"""So long after the lane got a rate calls are refused that started before."""
_NEWS = 0.05
"""By how much a ceiling has to change to be news."""


@dataclass(frozen=True, eq=False, slots=True)
class Participant:
    """The run of a shard, as far as it matters to others. `stop_at`: unix second at which it is handed back at the
    latest."""

    message: ShardMessage
    items_left: Callable[[], int]
    stop_at: float

    @property
    def batch_id(self) -> str:
        return self.message.batch_id


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
        self._log = runtime.log
        self._name = runtime.new_owner()
        self._limits = limits
        self._advised = AdvisedRate()
        self._heeded: float | None = None
        self._expected_tokens: float | None = None
        self._answers = 0
        self._tokens = 0
        self._take_view = take
        self._refused: Counter[int] = Counter()
        """By slot, without those of calls that started before there was a rate."""
        self._refused_calls = 0
        """Since the last report, all."""
        self._ruled_at = -math.inf
        self._started_before = 0
        self._reported_at = -math.inf
        self._running: list[Participant] = []
        self._since = 0.0
        self._reported_slot = 0
        self._portions: dict[str, float] = {}
        self.items_ahead: Counter[str] = Counter()
        """Batch -> items of shards that may be drawn here (`worker.drawing`)."""
        self.draws_until = 0.0
        """Until then whatever is left of the batches that run here is drawn here, if it may be (`worker.drawing`)."""
        self._waited: dict[str, tuple[str, float]] = {}
        """Batch -> its account, and when it was last seen waiting."""
        self._busy = asyncio.Lock()
        self._joining = asyncio.Lock()
        self.pace = LanePace()

    def replied(self, reply: ProviderReply) -> None:
        """Counts a call that the provider refused because there were too many, and what others took. Heeds what it says
        about its limits."""
        failure = reply.failure
        if isinstance(reply, Answer) and reply.rate_advice is not None:
            self._advised.heard(reply.rate_advice, reply.usage if failure is None else None)
            if self._heeded is None:
                self._heed()
        if failure is None and self._limits.counts_tokens and isinstance(reply, Answer):
            self._answers += 1
            self._tokens += reply.usage.total_tokens
        if failure is not None and failure.asks_for_less and not failure.is_trouble:
            self._refused_calls += 1
            if self._clock() >= self._ruled_at + _STILL_REFUSED_SECONDS:
                self._refused[slot_of(self._clock())] += 1

    def expect(self, bodies: Iterable[bytes]) -> None:
        """Requests that are about to be sent, so that their tokens can be estimated while nothing is known of them."""
        if self._limits.counts_tokens:
            estimates = [estimated_tokens(body) for body in islice(bodies, _ESTIMATED_ITEMS)]
            self._expected_tokens = sum(estimates) / max(1, len(estimates))

    @property
    def _ceiling(self) -> float | None:
        """How many calls a second the whole lane may start: what the operator allows, and what the provider says."""
        allowed = self._limits.calls_per_second(self.pace.tokens_per_call or self._expected_tokens)
        return lower(allowed, self._advised.calls_per_second)

    def enough_others(self, batch_id: str) -> bool:
        """Whether the workers that are there can do without this one, though it may have brought `batch_id`."""
        if self._running:
            return False
        return enough_without(self.pace, self._name, batch_id, self._clock(), self._usual_call_seconds)

    def is_surplus(self) -> bool:
        """Whether this worker should leave. Not if the others do not know that it is there."""
        is_known = self._name in self.pace.present(self._clock())
        return bool(self._running) and is_known and self._name not in self._staying()

    def away_seconds(self) -> float:
        """How long to leave a shard alone that this worker is not needed for."""
        return away_seconds(self.pace, self._name, self._clock())

    def _staying(self) -> dict[str, WorkerReport]:
        return staying(self.pace, self._clock(), self._usual_call_seconds)

    def stays_for(self, batch_id: str) -> bool:
        """Whether the lane has no use for others, but for this worker, be it for that batch."""
        return wants_no_more(self.pace, self._clock()) and not (self.is_surplus() or self.enough_others(batch_id))

    @property
    def is_one_of_few(self) -> bool:
        """Whether this worker is not alone, but no more are there than begin a lane: so far as it has heard."""
        return 1 < len(self.pace.present(self._clock()).keys() | {self._name}) <= FIRST_WORKERS

    def is_carried(self, batch_id: str) -> bool:
        """Whether another worker that is there has calls of that batch waiting."""
        others = (report for name, report in self.pace.present(self._clock()).items() if name != self._name)
        return any(batch_id in report.batches for report in others)

    def has_to_take_up(self, batch_id: str) -> bool:
        """Whether it is this worker that takes up a batch that nobody carries."""
        stay = self._staying()
        return self._name in stay and is_to_be_taken_up_by(self._name, stay, batch_id)

    def runs_short(self, batch_id: str) -> bool:
        """Whether there will soon be too few items of a batch here. While the lane pauses none can start."""
        items_left = sum(run.items_left() for run in self._running if run.batch_id == batch_id)
        pause_seconds = max(0.0, self._gate.pacer.resumes_at - self._clock())
        seconds = self._usual_call_seconds + _WORK_AT_HAND_SECONDS - pause_seconds
        return items_left < self.items_in(batch_id, seconds)

    def items_in(self, batch_id: str, seconds: float) -> float:
        """How many calls of a batch may start here within `seconds`."""
        together = sum(self._portions.values())
        part = self._portions.get(batch_id, together) / together if together else 1.0
        return part * self._calls_per_second * seconds

    @property
    def _calls_per_second(self) -> float:
        """How many calls may start here; 0 before anything is known."""
        pacer = self._gate.pacer
        if pacer.rate is not None:
            return pacer.rate
        return pacer.limit / self._usual_call_seconds if self._usual_call_seconds else 0.0

    async def join(self, run: Participant) -> None:
        """A shard is about to run here. None starts before the others have been told of the first one."""
        async with self._joining:
            is_new = all(other.batch_id != run.batch_id for other in self._running)
            is_first = not self._running
            self._running.append(run)
            if is_first:
                self._since = self._clock()
                self._reported_at = self._clock()
            if is_new:
                await self._report(run)
            if is_first and self.pace.rate is None:
                self._begin()

    def _begin(self) -> None:
        """Who is alone on the lane, or finds that it refuses nothing, starts with more than who comes to an unknown one
        together with others."""
        present = len(self.pace.present(self._clock()))
        is_known = any(self.pace.good.values()) and not any(self.pace.refused.values())
        calls = _FIRST_CALLS if present <= 1 or is_known else _FIRST_CALLS_BESIDE_OTHERS
        self._gate.pacer.begin_with(calls // max(1, present))

    async def leave(self, run: Participant) -> None:
        """The run of a shard is over."""
        self._running.remove(run)
        if self._running:
            return
        try:
            await self._report()
            if self._running:  # what told of one that came meanwhile may have been overtaken
                await self._report(*self._running)
        except Exception:  # who says nothing for long enough is gone, too
            self._log.exception("the row of the lane %s could not be written", self._lane)

    async def keep_up(self) -> None:
        """Report, if a new slot has begun; work out the rate, once all others have reported, too."""
        self._heed()
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
        stay = self._staying()
        self._allow(self._ceiling, stay)
        self._weigh(stay)
        self._take_view(view)

    def _heed(self) -> None:
        """Keeps to a ceiling that is new, or has changed, without waiting for the others."""
        ceiling, heeded = self._ceiling, self._heeded
        if ceiling is not None and (heeded is None or abs(ceiling - heeded) > _NEWS * heeded):
            self._allow(ceiling, self._staying())

    def _allow(self, ceiling: float | None, stay: dict[str, WorkerReport]) -> None:
        self._heeded = ceiling
        rate = lower(self.pace.rate, ceiling)
        if rate is not None and self._gate.pacer.rate is None:
            self._refused.clear()
            self._ruled_at = self._clock()
        self._gate.allow(None if rate is None else max(rate * share(stay, self._name, self._clock()), 0.01))

    @property
    def _usual_call_seconds(self) -> float:
        return self._gate.pacer.latency.mean_seconds

    def _weigh(self, stay: dict[str, WorkerReport]) -> None:
        """What each account and batch gets here of what this worker gets."""
        self._portions = portions(stay, self._name)
        batches = {run.batch_id: run.message for run in self._running}
        weights = {message.account_id: message.weight for message in batches.values()}
        turns_of: Counter[str] = Counter()
        for message in batches.values():
            turns_of[message.account_id] += message.turns
        shares: dict[str, dict[str, float]] = defaultdict(dict)
        for batch_id, message in batches.items():
            alone = message.weight / sum(weights.values()) * message.turns / turns_of[message.account_id]
            shares[message.account_id][batch_id] = self._portions.get(batch_id, alone)
        self._gate.weigh({account_id: self._with_absent(account_id, share) for account_id, share in shares.items()})

    def _with_absent(self, account_id: str, shares: dict[str, float]) -> dict[str, float]:
        """`shares` of the account's batches that run here, among which those that do not just now have theirs, too."""
        accounts = stay.batches if (stay := self.pace.workers.get(self._name)) else {}
        own = [part for batch_id, part in self._portions.items() if accounts.get(batch_id) == account_id]
        more = max(1.0, sum(own) / sum(shares.values()))
        return {batch_id: part * more for batch_id, part in shares.items()}

    async def _report(self, *newcomers: Participant) -> None:
        now = self._clock()
        self._reported_slot = slot_of(now)
        counts = self._count(now)
        waiting = self._batches_that_want_more(now)
        waiting |= {newcomer.batch_id: newcomer.message.account_id for newcomer in newcomers}
        weights = {run.message.account_id: run.message.weight for run in self._running if run.message.weight != 1}
        turns = {run.batch_id: run.message.turns for run in self._running if run.message.turns != 1}
        busy_until = self._busy_until(now) if self._running else 0
        report = WorkerReport(int(now), self._since, waiting, busy_until, weights, turns) if self._running else None
        outdated = self.pace.outdated(now)
        write = partial(self._lanes.report, self._lane, self._name, report, counts, outdated)
        self.take(await self._blocking(write))

    def _batches_that_want_more(self, now: float) -> dict[str, str]:
        """The batches that have something waiting -> their accounts. Also those that had a moment ago and have shards
        to be drawn: who is between two shards keeps its part."""
        waiting = self._gate.waiting_batches()
        self._waited |= {batch_id: (account_id, now) for batch_id, account_id in waiting.items()}
        self._waited = {name: each for name, each in self._waited.items() if now < each[1] + _BETWEEN_SHARDS_SECONDS}
        between = {name: account_id for name, (account_id, _) in self._waited.items() if self.items_ahead[name] > 0}
        return between | waiting

    def _count(self, now: float) -> Counts:
        """The calls since the last report, by slot: good ones as if they had come evenly, refused ones once their slot
        is over. Each good one counts with the tokens of those that were answered, now or since the last good one: calls
        end slots after they start."""
        started, self._started_before = self._gate.pacer.started - self._started_before, self._gate.pacer.started
        good, self._refused_calls = max(0, started - self._refused_calls), 0
        over = [slot for slot in self._refused if slot < slot_of(now) or not self._running]
        refused = {slot: self._refused.pop(slot) for slot in over}
        since, self._reported_at = max(self._reported_at, now - _LONGEST_COUNT_SECONDS), now
        tokens: dict[int, int] = {}
        if good and self._answers:
            tokens = by_slot(round(good * self._tokens / self._answers), since, now)
            self._answers = self._tokens = 0
        return Counts(int(now), by_slot(good, since, now), refused, tokens)

    def _busy_until(self, now: float) -> int:
        is_new = slot_of(self._since) == slot_of(now)
        rate = self.pace.rate if is_new else self._gate.pacer.rate
        stop_at = min(run.stop_at for run in self._running)
        if rate is None:
            return int(stop_at)
        drawn = min(sum(self.items_ahead.values()), rate * max(0.0, self.draws_until - now))
        items_end = now + (sum(run.items_left() for run in self._running) + drawn) / rate
        draws_all = all(run.message.is_drawn_freely for run in self._running)
        return int(min(stop_at, max(items_end, self.draws_until) if draws_all else items_end))
