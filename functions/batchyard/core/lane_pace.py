"""What the workers of a lane know together: how many calls a second its provider takes, who works on it, for whom.

Every worker counts its good and its refused calls into the lane's row, in slots of a few seconds (and the tokens of the
good ones, if an operator limits them), and says which batches have something waiting. From that row each of them works
out the same:

    rate     what the provider says that it takes (`core.advised_rates`). If it says nothing, what got through in a slot
             in which some calls were refused; until then each worker finds its own way (`core.pacing`), and then it
             is tried a little higher as long as nothing is refused, and forgotten when nothing was for a long time.
    portion  accounts share the rate by their weights, the batches of an account its part, the workers that carry a
             batch that.
    surplus  a lane needs only as many workers as can keep its rate in flight, and one that is new no more than a few.
             Others leave, unless they carry a batch that nobody else does.

A provider that never refuses has no rate here; how much it gets is each worker's own matter (`core.pacing`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from batchyard.core.json_types import Row
from batchyard.core.pacing import CALLS_LESS_PER_REFUSAL

SLOT_SECONDS = 2.5
REPORTED_AFTER_SECONDS = 1.25
"""So long after a slot has ended every worker has reported it."""
_SLOTS_KEPT = 8
_ABSENT_AFTER_SECONDS = 15
"""A worker that has not reported for so long has left, or died."""

_RELIEF_SECONDS = 6
"""A worker that runs out of work so soon needs somebody to take over."""
_NEWCOMERS_SHARE = 0.05
_CALLS_PER_WORKER = 640
"""In flight, at which a worker costs little per call and still answers in time."""
FIRST_WORKERS = 4
_NEW_SLOTS = 2
"""So many workers begin with a lane, and others wait for that time, until it is known whether it has a rate. They miss
nothing: calls in flight begin with a few, double at most while one lasts, and a few workers hold thousands."""
_SLACK = 0.9
"""Another worker comes for a tenth more than those that are there can feed: else the last one would come and go."""
_SHORTEST_AWAY_SECONDS = 5.0
_LONGEST_AWAY_SECONDS = 60.0
"""How long a shard that nobody needs now stays away: not so long that the death of a worker would be felt."""
_LEAST_RATE = 0.05
_SHORTEST_SAMPLE_SECONDS = 1.0
_REFUSED_SHARE = 0.005
"""More refusals than this share of a slot's calls, and the rate was too high."""
_MARGIN = 0.99
_USED = 0.8
"""A rate that is used less than this says nothing about whether it could be higher."""
_DEEPEST_CUT = 0.85
_RISE = 0.0025
_UNSURE_SLOTS = 80
"""The first rate rises as if the last refusal were so long ago, by a fifth per slot: it was found while calls grew
more, or fewer. That it goes beyond what the provider takes costs little: refusals slow workers down at once
(`core.pacing`)."""
_QUICKEST_RISE = 1.3
"""The rate rises by a quarter of a per cent in the first slot after a refusal, by two quarters in the next, and so on:
a provider that lets calls be saved up refuses late, so that a quick rise goes far beyond what it takes. One that takes
twice as much as before is found out within a minute."""
_CREDIBLE = 0.5
"""A ceiling of which so much gets through is not doubted because the very first calls were refused: those start all at
once, before anybody knows it."""
_FORGOTTEN_SLOTS = 720
"""Half an hour without a refusal: the provider has no limit that matters."""


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """`at`, `since`: unix seconds of this report and of the worker's first one. `batches`: those that have something
    waiting -> their accounts. `busy_until`: when it runs out of work, as far as it knows. `weights`: accounts that get
    more than others -> how many times as much. `turns`: the same of batches, beside others of their account."""

    at: int
    since: float
    batches: Mapping[str, str]
    busy_until: int
    weights: Mapping[str, int] = field(default_factory=dict)
    turns: Mapping[str, int] = field(default_factory=dict)

    def to_row(self) -> list[Any]:
        """`since` in two: whole seconds, and behind all that older versions read its thousandths."""
        seconds, thousandths = divmod(round(1000 * self.since), 1000)
        row = [self.at, seconds, dict(self.batches), self.busy_until, dict(self.weights), dict(self.turns)]
        return [*row, thousandths]

    @classmethod
    def from_row(cls, row: list[Any]) -> WorkerReport:
        """What a newer version wrote behind these fields is left alone."""
        at, seconds, *others = row[:6]
        return cls(at, seconds + sum(row[6:7]) / 1000, *others)


@dataclass(frozen=True, slots=True)
class LanePace:
    """What a lane's row says. `rate`: calls per second for all workers together; None: no limit is known. `good`,
    `refused`: calls by slot. `tokens`: those of the good ones by slot, if they are counted. `changed_slot`: in which
    the rate was last worked out, `refused_slot`: the last one with too many refusals. `workers`: by name."""

    rate: float | None = None
    changed_slot: int = 0
    refused_slot: int = 0
    good: Mapping[int, int] = field(default_factory=dict)
    refused: Mapping[int, int] = field(default_factory=dict)
    tokens: Mapping[int, int] = field(default_factory=dict)
    workers: Mapping[str, WorkerReport] = field(default_factory=dict)

    @classmethod
    def from_row(cls, row: Row) -> LanePace:
        """`good_<slot>`, `refused_<slot>`, `tokens_<slot>`, `worker_<name>`: a WorkerReport's fields; the rate in
        thousandths."""
        return cls(
            rate=_from_thousandths(row.get("rate_thousandths")),
            changed_slot=row.get("rate_slot", 0),
            refused_slot=row.get("rate_refused_slot", 0),
            good={int(n.removeprefix("good_")): v for n, v in row.items() if n.startswith("good_")},
            refused={int(n.removeprefix("refused_")): v for n, v in row.items() if n.startswith("refused_")},
            tokens={int(n.removeprefix("tokens_")): v for n, v in row.items() if n.startswith("tokens_")},
            workers={
                n.removeprefix("worker_"): WorkerReport.from_row(report)
                for n, report in row.items()
                if n.startswith("worker_")
            },
        )

    def present(self, now: float) -> dict[str, WorkerReport]:
        """The workers that are there, in the order in which they came."""
        there = {name: each for name, each in self.workers.items() if each.at > now - _ABSENT_AFTER_SECONDS}
        return dict(sorted(there.items(), key=lambda entry: (entry[1].since, entry[0])))

    @property
    def tokens_per_call(self) -> float | None:
        """On average of the last slots; None if no call was counted."""
        calls = sum(self.good.get(slot, 0) for slot in self.tokens)
        return sum(self.tokens.values()) / calls if calls else None

    def outdated(self, now: float) -> list[str]:
        """Attributes of the row that nobody needs any more."""
        oldest = slot_of(now) - _SLOTS_KEPT
        slots = [f"{kind}_{n}" for kind in ("good", "refused", "tokens") for n in getattr(self, kind) if n < oldest]
        here = self.present(now)
        return slots + [f"worker_{name}" for name in self.workers if name not in here]


def slot_of(now: float) -> int:
    return int(now // SLOT_SECONDS)


def next_duty_at(now: float) -> float:
    """When a worker has to report next, or to look at what others have reported."""
    begun = slot_of(now) * SLOT_SECONDS
    look_at = begun + REPORTED_AFTER_SECONDS
    return look_at if now < look_at else begun + SLOT_SECONDS


def by_slot(calls: int, since: float, until: float) -> dict[int, int]:
    """So many calls, if they came evenly, by slot."""
    counted: dict[int, int] = {}
    for slot in range(slot_of(since), slot_of(until) + 1):
        end = min((slot + 1) * SLOT_SECONDS, until)
        so_far = calls if end >= until else round(calls * (end - since) / (until - since))
        counted[slot] = so_far - sum(counted.values())
    return counted


@dataclass(frozen=True, slots=True)
class RateChange:
    """The rate from `slot` on; the others as in LanePace."""

    rate: float | None
    slot: int
    refused_slot: int

    def to_row(self) -> dict[str, int | None]:
        return {
            "rate_thousandths": _to_thousandths(self.rate),
            "rate_slot": self.slot,
            "rate_refused_slot": self.refused_slot,
        }


def _from_thousandths(number: int | None) -> float | None:
    return None if number is None else number / 1000


def _to_thousandths(number: float | None) -> int | None:
    return None if number is None else round(number * 1000)


def rate_change(pace: LanePace, now: float, ceiling: float | None) -> RateChange | None:
    """What follows from the last whole slot, once all workers had time to report it; None if that was worked out
    before. `ceiling`: the operator's limit."""
    slot = slot_of(now)
    if pace.changed_slot >= slot or now < slot * SLOT_SECONDS + REPORTED_AFTER_SECONDS:
        return None
    good, refused = pace.good.get(slot - 1, 0), pace.refused.get(slot - 1, 0)
    first_at = min((report.since for report in pace.workers.values()), default=0)
    seconds = min(SLOT_SECONDS, slot * SLOT_SECONDS - first_at)
    if seconds < _SHORTEST_SAMPLE_SECONDS:
        return None
    through = good / seconds
    rate, refused_slot = pace.rate, pace.refused_slot
    came_at_once = rate is None and ceiling is not None and through >= _CREDIBLE * ceiling
    is_too_much = refused > max(1.0, _REFUSED_SHARE * (good + refused))
    was_found_meanwhile = rate is not None and slot - 2 - refused_slot == _UNSURE_SLOTS
    is_news = not (came_at_once or was_found_meanwhile)
    if is_too_much and is_news:
        refused_slot = slot - 1 - (_UNSURE_SLOTS if rate is None else 0)
        of_calls = good / (good + (1 + CALLS_LESS_PER_REFUSAL) * refused)
        reached = through if rate is None else min(rate, max(through, of_calls * rate, _DEEPEST_CUT * rate))
        rate = max(_LEAST_RATE, _MARGIN * reached)
    elif rate is not None and through >= _USED * rate and (not is_too_much or came_at_once):
        rate *= min(_QUICKEST_RISE, 1 + _RISE * (slot - 1 - refused_slot))
    if rate is not None and slot - refused_slot > _FORGOTTEN_SLOTS:
        rate = None
    if ceiling is not None:
        was_refused = refused_slot > 0 and slot - refused_slot <= _FORGOTTEN_SLOTS
        rate = min(rate, ceiling) if rate is not None and was_refused else ceiling
    return RateChange(rate, slot, refused_slot)


def staying(pace: LanePace, now: float, usual_call_seconds: float) -> dict[str, WorkerReport]:
    """The workers that the lane needs, in the order in which they came; all of them if it has no rate and is not new.
    Who came when there were enough stays only with a batch that none of them carries."""
    present = pace.present(now)
    needed = _needed(pace, now, 1.0, usual_call_seconds)
    if needed is None:
        return present
    stay: dict[str, WorkerReport] = {}
    busy: list[WorkerReport] = []
    for name, report in present.items():
        carried = {batch_id for other in busy for batch_id in other.batches}
        if len(busy) >= needed and set(report.batches) <= carried:
            continue
        stay[name] = report
        if report.busy_until > now + _RELIEF_SECONDS:
            busy.append(report)
    return stay


def portions(stay: Mapping[str, WorkerReport], name: str) -> dict[str, float]:
    """The part of the lane's rate, 0 to 1, that worker `name` may use for each of its batches, beside the others that
    stay."""
    if name not in stay:
        return {}
    carriers = Counter(batch_id for report in stay.values() for batch_id in report.batches)
    accounts = {batch_id: account for report in stay.values() for batch_id, account in report.batches.items()}
    weights = {account: weight for report in stay.values() for account, weight in report.weights.items()}
    turns = {batch_id: count for report in stay.values() for batch_id, count in report.turns.items()}
    turns_of: Counter[str] = Counter()
    for batch_id, account in accounts.items():
        turns_of[account] += turns.get(batch_id, 1)
    together = sum(weights.get(account, 1) for account in turns_of)
    return {
        batch_id: weights.get(account, 1) / together * turns.get(batch_id, 1) / turns_of[account] / carriers[batch_id]
        for batch_id, account in stay[name].batches.items()
    }


def share(stay: Mapping[str, WorkerReport], name: str, now: float) -> float:
    """The part of the lane's rate that worker `name` may use beside the others that stay: 0 to 1. One that has just
    come gets little until the others have heard of it."""
    if name not in stay:
        return 0.0
    settled = {each: report for each, report in stay.items() if slot_of(report.since) < slot_of(now)}
    if name not in settled:
        return _NEWCOMERS_SHARE if len(stay) > 1 else 1.0
    left = max(0.5, 1 - _NEWCOMERS_SHARE * (len(stay) - len(settled)))
    if not stay[name].batches:
        return left / len(settled)
    return left * sum(portions(settled, name).values())


def workers_needed(rate: float, usual_call_seconds: float) -> int:
    """So many keep `rate` calls a second in flight."""
    return max(1, math.ceil(rate * usual_call_seconds / _CALLS_PER_WORKER))


def _needed(pace: LanePace, now: float, part: float, usual_call_seconds: float) -> int | None:
    """How many workers the lane needs for that part of its rate; None: as many as there are."""
    if pace.rate is not None:
        return workers_needed(part * pace.rate, usual_call_seconds)
    first_at = min((report.since for report in pace.present(now).values()), default=0)
    is_new = slot_of(now) < slot_of(first_at) + _NEW_SLOTS
    return FIRST_WORKERS if is_new else None


def wants_no_more(pace: LanePace, now: float) -> bool:
    """Whether the lane has no use for as many workers as there are: it has a rate, or is new. What it has is for those
    that stay to take up."""
    return _needed(pace, now, 1.0, 0.0) is not None


def enough_without(pace: LanePace, name: str, batch_id: str, now: float, usual_call_seconds: float) -> bool:
    """Whether worker `name`, which has nothing to do yet, may leave a shard of that batch to others: they are enough,
    have work for a while, and carry the batch."""
    needed = _needed(pace, now, _SLACK, usual_call_seconds)
    if needed is None:
        return False
    others = [report for other, report in staying(pace, now, usual_call_seconds).items() if other != name]
    busy = [report for report in others if report.busy_until > now + _RELIEF_SECONDS]
    carried = any(batch_id in report.batches for report in busy)
    return carried and len(busy) >= needed


def away_seconds(pace: LanePace, name: str, now: float) -> float:
    """How long to leave a shard alone that worker `name` is not needed for: until another one is out of work, or the
    lane is not new any more."""
    if pace.rate is None:
        return _SHORTEST_AWAY_SECONDS
    ends = [report.busy_until for other, report in pace.present(now).items() if other != name]
    busy_until = min((end for end in ends if end > now + _RELIEF_SECONDS), default=0)
    return min(max(busy_until - _RELIEF_SECONDS - now, _SHORTEST_AWAY_SECONDS), _LONGEST_AWAY_SECONDS)
