"""The batches of the simulation of plans: when they come, how large they are, and how long their jobs take. Drawn
beforehand, so that each policy meets the same. Times are seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from random import Random

from batchyard.core.jobs import pack
from batchyard.core.native_limits import BY_VARIANT
from batchyard.core.sharding import Shard
from bench.findings import Findings

HOUR = 3600
DEADLINES = {1: 0.05, 3: 0.10, 6: 0.10, 12: 0.20, 24: 0.55}
"""Hours -> the share of the batches that ask for it."""
SIGMA = 1.0
"""Of the lognormal completion times. One job in ten takes 3.6 times the median, one in a hundred 10 times."""

_EPOCH = 1_800_000_000
_GAP_SECONDS = 600
_MEDIAN_ITEMS = 2_000
_ITEMS_SIGMA = 1.5
_MOST_ITEMS = 60_000
_SHARD_ITEMS = 256
_ITEM_BYTES = 1_500
STOP_SECONDS = 600
MORE_JOBS = 2
"""That are tried at most after one that was stuck."""
RATE_SPREAD = (0.6, 1.2)
LIMITS = BY_VARIANT["openai"]


@dataclass(frozen=True, slots=True)
class SimulatedLane:
    """`median_seconds`: of its provider jobs. `calls_per_second`: of its realtime, as the product has learned it."""

    model: str
    median_seconds: int
    calls_per_second: float


LANES = (
    SimulatedLane("quick", 20 * 60, 100.0),
    SimulatedLane("usual", HOUR, 50.0),
    SimulatedLane("slow", 3 * HOUR, 25.0),
)

ASSUMED: Findings = {
    "lanes": [asdict(lane) for lane in LANES],
    "sigma": SIGMA,
    "deadline_hours": DEADLINES,
    "median_items": _MEDIAN_ITEMS,
    "items_sigma": _ITEMS_SIGMA,
    "most_items": _MOST_ITEMS,
    "seconds_between_batches": _GAP_SECONDS,
    "seconds_to_stop": STOP_SECONDS,
    "rate_spread": RATE_SPREAD,
}


@dataclass(frozen=True, slots=True)
class SimulatedBatch:
    """What is drawn beforehand, and is the same for each policy. `job_seconds`: how long each provider job takes, if
    all its items go native; infinite if it stalls. `again_seconds`: of each, how long the next ones take that do what
    it left. `rate`: calls a second of its lane's realtime, as it turns out."""

    at: int
    hours: int
    lane: SimulatedLane
    shards: tuple[Shard, ...]
    job_seconds: tuple[float, ...]
    rate: float
    again_seconds: tuple[tuple[float, ...], ...] = ()

    @property
    def items(self) -> int:
        return sum(shard.items for shard in self.shards)

    @property
    def expires_at(self) -> int:
        return self.at + self.hours * HOUR


def draw(count: int, stalled_share: float, seed: int = 1) -> Iterator[SimulatedBatch]:
    """Batches in the order in which they come."""
    random = Random(seed)
    stalls = Random(seed + 1)  # its own, so that the same jobs take the same time if none stalls
    again = Random(seed + 2)
    at = float(_EPOCH)
    for _ in range(count):
        at += random.expovariate(1 / _GAP_SECONDS)
        lane = random.choice(LANES)
        (hours,) = random.choices(list(DEADLINES), list(DEADLINES.values()))
        items = min(_MOST_ITEMS, math.ceil(random.lognormvariate(math.log(_MEDIAN_ITEMS), _ITEMS_SIGMA)))
        shards = cut(items)
        jobs = len(pack(shards, LIMITS))
        times = _job_seconds(lane, jobs, stalled_share, random, stalls)
        rate = lane.calls_per_second * random.uniform(*RATE_SPREAD)
        later = tuple(_job_seconds(lane, MORE_JOBS, stalled_share, again, again) for _ in range(jobs))
        yield SimulatedBatch(int(at), hours, lane, shards, times, rate, later)


def _job_seconds(
    lane: SimulatedLane, jobs: int, stalled_share: float, times: Random, stalls: Random
) -> tuple[float, ...]:
    drawn = [times.lognormvariate(math.log(lane.median_seconds), SIGMA) for _ in range(jobs)]
    return tuple(math.inf if stalls.random() < stalled_share else seconds for seconds in drawn)


def cut(items: int) -> tuple[Shard, ...]:
    """So many items, in shards."""
    sizes = [min(_SHARD_ITEMS, items - first) for first in range(0, items, _SHARD_ITEMS)]
    return tuple(
        Shard(n, 0, n * _SHARD_ITEMS * _ITEM_BYTES, size * _ITEM_BYTES, size, n * _SHARD_ITEMS)
        for n, size in enumerate(sizes)
    )
