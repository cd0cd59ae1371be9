"""Outages of a provider, simulated (`simulation.yard`): what they cost in items, calls and time.

The same batch runs once without an outage. What an outage costs is the difference.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from simulation.outages import KINDS, Outage
from simulation.virtual_time import EPOCH
from simulation.yard import Yard

RATE = 100
WORKERS = 4
CALL_SECONDS = 1.0

BEGINS = {"start": 0.0, "middle": 0.5, "end": 0.9}
"""When an outage begins -> the part of the batch that is done then."""

_FULL_SPEED = 0.9
_WINDOW_SECONDS = 5
_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class OutageCase:
    """`kind` of simulation.outages.KINDS; `begins` of BEGINS; `items` of the batch."""

    kind: str
    seconds: int
    begins: str
    items: int


@dataclass(frozen=True, slots=True)
class OutageRun:
    """`lost`: items that did not succeed. `extra_calls`: those that brought no result, without the ones that were
    refused for being too many, and with `witnesses`. `late_seconds`: how much later than without the outage, and after
    as long as that lasted, the batch ended; below 0 if it went on meanwhile. `full_speed_seconds`: from the provider's
    return until the beginning of the first five seconds in which nine tenths of the usual rate got through; None if
    that never was."""

    kind: str
    minutes: int
    begins: str
    items: int
    lost: int
    extra_calls: int
    witnesses: int
    late_seconds: float
    full_speed_seconds: float | None


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """The same batch without an outage. `rate`: the median of the calls that succeeded in a second."""

    seconds: float
    rate: float


def cases(*, quick: bool) -> list[OutageCase]:
    """All kinds for 1 and 10 minutes, some also for an hour. The hour is for a batch twice as large, because its lane
    is asked by a witness three times a minute."""
    if quick:
        return [OutageCase(kind, 60, "middle", 5_000) for kind in ("503", "hangs")]
    found = [OutageCase(kind, s, begins, 20_000) for kind in KINDS for s in (60, 600) for begins in BEGINS]
    return found + [OutageCase(kind, 3600, begins, 40_000) for kind in _FOR_AN_HOUR for begins in BEGINS]


_FOR_AN_HOUR = ("503", "refused connections", "hangs", "refused key")


def undisturbed(items: int) -> Undisturbed:
    """How long a batch of `items` takes if nothing happens."""
    yard = _worked(items, None)
    return Undisturbed(yard.ended_at["batch"], statistics.median(yard.provider.good_in.values()))


def run(case: OutageCase, usual: Undisturbed) -> OutageRun:
    """The case, measured against what is usual for a batch of its size."""
    outage = Outage(case.kind, case.seconds, math.ceil(case.items * BEGINS[case.begins]))
    yard = _worked(case.items, outage)
    provider = yard.provider
    return OutageRun(
        case.kind,
        case.seconds // 60,
        case.begins,
        case.items,
        lost=case.items - yard.tally.succeeded,
        extra_calls=provider.received - provider.refused - provider.succeeded + provider.witnesses,
        witnesses=provider.witnesses,
        late_seconds=yard.ended_at["batch"] - usual.seconds - case.seconds,
        full_speed_seconds=_full_speed_after(outage.ends_at, yard, usual.rate),
    )


def _worked(items: int, outage: Outage | None) -> Yard:
    """A yard whose only batch has ended. Raises RuntimeError if it does not within a day."""
    yard = Yard(RATE, WORKERS, CALL_SECONDS, outage)
    yard.add("batch", items)
    yard.run(_DAY_SECONDS)
    yard.close()
    if "batch" not in yard.ended_at:
        raise RuntimeError(f"the batch has not ended: {outage}")
    return yard


def _full_speed_after(moment: float, yard: Yard, rate: float) -> float | None:
    good = yard.provider.good_in
    for second in range(math.ceil(moment), int(EPOCH + yard.now)):
        through = sum(good[each] for each in range(second, second + _WINDOW_SECONDS))
        if through >= _FULL_SPEED * rate * _WINDOW_SECONDS:
            return second - moment
    return None
