"""What the plan pays and which deadlines it keeps, simulated: the product's own planning, packing, polling intervals
and memory of lanes, with vendors whose provider jobs take a time from a stated distribution.

Everything else is a stated assumption: see `bench.drawn_batches`, and docs/benchmarks.md. Times are seconds.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from batchyard.core.candidates import Candidate, Learned, Route, Terms
from batchyard.core.jobs import (
    STOP_PATIENCE_SECONDS,
    JobRow,
    JobState,
    may_restart,
    pack,
    poll_wait_seconds,
    restart_at,
)
from batchyard.core.lanes import Lane, Mode
from batchyard.core.native_history import NativeHistory
from batchyard.core.planning import plan_lanes
from batchyard.core.sharding import LaneShards
from bench.bounds import BestPolicy, KnownTimes
from bench.drawn_batches import (
    ASSUMED,
    DEADLINES,
    HOUR,
    LANES,
    LIMITS,
    MORE_JOBS,
    RATE_SPREAD,
    SIGMA,
    STOP_SECONDS,
    SimulatedBatch,
    SimulatedLane,
    draw,
)
from bench.findings import Findings

BATCHES = 6_000
STALLED_SHARES = (0.0, 0.1)
_CHAT = "/v1/chat/completions"


@dataclass(slots=True)
class Outcome:
    """Of one batch. `paid`: in items at the realtime price. `escalated`: of its provider jobs."""

    hours: int
    items: int
    paid: float
    is_in_time: bool
    jobs: int = 0
    escalated: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of the items of one provider job: when they were all done, and what they cost. `seconds`: how long
    it and those took that were to do what it left, which is what its lane remembers. `was_given_up`: for realtime."""

    done_at: float
    paid: float
    seconds: tuple[int, ...]
    was_given_up: bool


def measure(count: int = BATCHES) -> Findings:
    """All policies, without and with jobs that stall."""
    runs = []
    for stalled_share in STALLED_SHARES:
        batches = list(draw(count, stalled_share))
        for policy, outcomes in (
            ("realtime only", [realtime_only(batch) for batch in batches]),
            ("native only", [native_only(batch) for batch in batches]),
            ("the plan", with_plan(batches)),
            ("best policy", best_policy(batches, stalled_share)),
            ("foresight", [foresight(batch) for batch in batches]),
        ):
            for hours in (None, *DEADLINES):
                chosen = [each for each in outcomes if hours in (None, each.hours)]
                runs.append({"policy": policy, "stalled_share": stalled_share, "hours": hours} | summary(chosen))
    return {"batches": count, "assumed": ASSUMED | {"deadline_hours": list(DEADLINES.items())}, "runs": runs}


def summary(outcomes: Sequence[Outcome]) -> Findings:
    """`price`: of what the same items, whether they were delivered or not, cost in realtime."""
    items = sum(each.items for each in outcomes)
    return {
        "batches": len(outcomes),
        "price": sum(each.paid for each in outcomes) / max(1, items),
        "in_time": sum(each.is_in_time for each in outcomes) / max(1, len(outcomes)),
        "jobs": sum(each.jobs for each in outcomes),
        "escalated": sum(each.escalated for each in outcomes),
    }


def realtime_only(batch: SimulatedBatch) -> Outcome:
    is_in_time = batch.at + batch.items / batch.rate <= batch.expires_at
    return Outcome(batch.hours, batch.items, batch.items, is_in_time)


def native_only(batch: SimulatedBatch) -> Outcome:
    """Nobody gives up a job: what it does not finish is not delivered. Its price is that of all its items, as if the
    caller would try once more; otherwise a policy that delivers nothing would be the cheapest."""
    longest = max(batch.job_seconds)
    is_in_time = longest <= min(batch.hours, LIMITS.window_hours) * HOUR
    paid = batch.items * LIMITS.price_percent / 100
    return Outcome(batch.hours, batch.items, paid, is_in_time, len(batch.job_seconds))


def foresight(batch: SimulatedBatch) -> Outcome:
    """The least that can be paid in time: who knows beforehand how long each job takes, and those that could follow it,
    submits at once one that makes it, and runs the others in realtime. Nobody can; it is the floor."""
    limit = min(batch.hours, LIMITS.window_hours) * HOUR
    return _bound(batch, lambda times: (min(times) <= limit, int(min(times) <= limit)))


def best_policy(batches: Sequence[SimulatedBatch], stalled_share: float) -> list[Outcome]:
    """Who knows the distribution, but no time of a job, and stops and submits at the best moments. Realtime counts as
    being as slow as it may turn out, with nothing to spare."""

    def outcome(batch: SimulatedBatch) -> Outcome:
        realtime = batch.items / (batch.lane.calls_per_second * RATE_SPREAD[0])
        left = batch.hours * HOUR - realtime - STOP_PATIENCE_SECONDS
        return _bound(batch, lambda times: _best_policy(batch.lane, stalled_share).follow(left, times))

    return [outcome(batch) for batch in batches]


@cache
def _best_policy(lane: SimulatedLane, stalled_share: float) -> BestPolicy:
    known = KnownTimes(lane.median_seconds, SIGMA, stalled_share, STOP_SECONDS, LIMITS.window_hours * HOUR)
    return BestPolicy(known, 1 + MORE_JOBS, max(DEADLINES) * HOUR)


def _bound(batch: SimulatedBatch, follow: Callable[[Sequence[float]], tuple[bool, int]]) -> Outcome:
    """What a policy comes to that is always in time. `follow`: whether the items of a job are done at half the price,
    and with how many submissions, by how long the first job takes and those after it."""
    outcome = Outcome(batch.hours, batch.items, 0.0, is_in_time=True)
    later = batch.again_seconds or ((),) * len(batch.job_seconds)
    for first, more, numbers in zip(batch.job_seconds, later, pack(batch.shards, LIMITS), strict=True):
        items = sum(shard.items for shard in batch.shards[numbers.start : numbers.stop])
        is_native, submitted = follow((first, *more))
        outcome.jobs += submitted
        outcome.escalated += bool(submitted) and not is_native
        outcome.paid += items * (LIMITS.price_percent / 100 if is_native else 1)
    return outcome


def with_plan(batches: Sequence[SimulatedBatch]) -> list[Outcome]:
    """Each batch planned with what its lane has learned from the jobs that ended before it came."""
    learned = {lane.model: NativeHistory() for lane in LANES}
    ending: list[tuple[int, str, int, bool]] = []
    outcomes = []
    for batch in batches:
        while ending and ending[0][0] <= batch.at:
            ended_at, model, seconds, has_finished = heapq.heappop(ending)
            learned[model] = learned[model].plus(seconds, ended_at, has_finished=has_finished)
        history = learned[batch.lane.model]
        outcome = Outcome(batch.hours, batch.items, 0.0, is_in_time=True)
        later = batch.again_seconds or ((),) * len(batch.job_seconds)
        for entry, first, more in zip(plan_of(batch, history), batch.job_seconds, later, strict=False):
            if not entry.is_native:
                outcome.paid += entry.items
                outcome.is_in_time &= batch.at + entry.items / batch.rate <= batch.expires_at
                continue
            seen = watch(entry, batch, (first, *more), history)
            ended_at = batch.at
            for number, seconds in enumerate(seen.seconds, start=1):
                ended_at += seconds
                has_finished = number == len(seen.seconds) and not seen.was_given_up
                heapq.heappush(ending, (ended_at, batch.lane.model, seconds, has_finished))
            outcome.jobs += len(seen.seconds)
            outcome.escalated += seen.was_given_up
            outcome.paid += seen.paid
            outcome.is_in_time &= seen.done_at <= batch.expires_at
        outcomes.append(outcome)
    return outcomes


def plan_of(batch: SimulatedBatch, history: NativeHistory) -> tuple[LaneShards, ...]:
    """As Validate plans it."""
    learned = Learned(history, batch.lane.calls_per_second)
    native = Candidate(Lane("vendor", batch.lane.model, Mode.NATIVE), LIMITS.price_percent, LIMITS, learned)
    realtime = Candidate(Lane("vendor", batch.lane.model), learned=learned)
    terms = Terms(_CHAT, batch.at, batch.expires_at)
    return plan_lanes([Route(batch.shards, (native, realtime))], terms).lanes


def watch(entry: LaneShards, batch: SimulatedBatch, times: Sequence[float], history: NativeHistory) -> Seen:
    """A provider job, and those that do what it left, from the first submission to the last item. One that is stopped
    has no results (the worst case), takes ten minutes to stop, or the whole patience if it stalls, and all items of the
    batch share the realtime rate."""
    seconds: list[int] = []
    now = batch.at
    for restarts, taken in enumerate(times):
        row = JobRow(entry.first_shard, entry.shards, JobState.RUNNING, submitted_at=now, restarts=restarts)
        stop_at = math.ceil(min(entry.escalate_at, restart_at(row, history.usual_seconds, entry.escalate_at)))
        is_over_at = now + min(taken, math.inf if math.isinf(taken) else LIMITS.window_hours * HOUR)
        while now < stop_at and now < is_over_at:
            now += max(1, min(poll_wait_seconds(row, history.usual_seconds, now), stop_at - now))
        is_done = row.submitted_at + taken <= now
        if now < is_over_at:
            now += STOP_PATIENCE_SECONDS if math.isinf(taken) else STOP_SECONDS
        seconds.append(now - row.submitted_at)
        if is_done:
            return Seen(now, entry.items * LIMITS.price_percent / 100, tuple(seconds), was_given_up=False)
        if stop_at >= entry.escalate_at or not may_restart(history.usual_seconds, entry.escalate_at, now):
            break
    return Seen(now + batch.items / batch.rate, entry.items, tuple(seconds), was_given_up=True)
