"""Failover: when the items of a lane are handed to the next one that they may take.

    the lane is open or blocked, and the batch's rules do not wait ─▶ at once
    the lane is open or blocked, and the next lane will soon need all the time that is left ─▶ everything that is left
    the lane is well, and too slow by its known rate ─▶ what it will not make, once, when the next lane needs to begin

At once means: a blocked lane as soon as it is seen, an open one when two probes have failed, because most of what opens
a lane is over within seconds. A lane that is itself in trouble takes nothing over. Times are unix seconds, passed in.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from batchyard.core.candidates import CAUTION, SPARE_SECONDS, realtime_seconds
from batchyard.core.health import LaneHealth, LaneState
from batchyard.core.lanes import Lane, Mode
from batchyard.core.sharding import LaneShards, Shard

_FAILED_PROBES = 2
"""The second one fails some eight seconds after the trouble was found."""


class Why(enum.StrEnum):
    """Why shards leave their lane."""

    TROUBLE = "trouble"
    TOO_LATE = "too_late"


@dataclass(frozen=True, slots=True)
class LaneNow:
    """`calls_per_second`: that its provider takes; None: no limit is known."""

    health: LaneHealth
    calls_per_second: float | None = None

    @property
    def is_well(self) -> bool:
        return self.health.state is LaneState.CLOSED


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a batch waits for its lanes. `avoids_trouble`: not at all. `pace`: 1; less where clocks are sped up."""

    now: int
    expires_at: int
    avoids_trouble: bool = False
    pace: float = 1.0


@dataclass(frozen=True, slots=True)
class Move:
    """Shards of one entry that get another lane."""

    numbers: range
    lane: Lane
    why: Why


def failover(
    entry: LaneShards, left: Sequence[Shard], patience: Patience, look: Callable[[Lane], LaneNow]
) -> Move | None:
    """What leaves the lane of `entry` now; None if nothing does. `left`: its shards that are not settled, by number.
    `look`: what is known of a lane; only lanes of the entry are looked at."""
    if entry.is_native or not entry.others or not left:
        return None
    lane = running_lane(entry, patience.now)
    here = look(lane)
    target = next((other for other in entry.others if other != lane and look(other).is_well), None)
    if target is None:
        return None
    there = look(target).calls_per_second
    if here.is_well:
        if entry.left is not None:
            return None
        late = _late(left, here.calls_per_second, patience)
        if late and _has_to_begin(late, there, patience):
            return Move(range(late[0].number, entry.numbers.stop), target, Why.TOO_LATE)
        return None
    if (patience.avoids_trouble and _is_lasting(here.health)) or _has_to_begin(left, there, patience):
        return Move(range(left[0].number, entry.numbers.stop), target, Why.TROUBLE)
    return None


def running_lane(entry: LaneShards, now: int) -> Lane:
    """The lane that a worker takes for the entry's shards now: flex ends by the clock."""
    is_over = entry.lane.mode is Mode.FLEX and 0 < entry.escalate_at <= now
    return Lane(entry.lane.provider, entry.lane.model) if is_over else entry.lane


def _is_lasting(health: LaneHealth) -> bool:
    return health.state is LaneState.BLOCKED or health.probes >= _FAILED_PROBES


def _late(left: Sequence[Shard], calls_per_second: float | None, patience: Patience) -> Sequence[Shard]:
    """The last of the shards `left`: those that the lane will not make by the deadline."""
    if calls_per_second is None:
        return ()
    in_time = calls_per_second * max(0, patience.expires_at - patience.now)
    for place, shard in enumerate(left):
        in_time -= shard.items
        if in_time < 0:
            return left[place:]
    return ()


def _has_to_begin(shards: Sequence[Shard], calls_per_second: float | None, patience: Patience) -> bool:
    """Whether a lane of that rate would have to begin now to make the shards by the deadline, with caution."""
    items = sum(shard.items for shard in shards)
    seconds = CAUTION * realtime_seconds(items, calls_per_second, patience.pace) + SPARE_SECONDS * patience.pace
    return patience.now >= patience.expires_at - seconds
