"""When the run of a shard stops, and why: the worker's most important decision, as one pure function.

What is looked at first counts most:

    the deadline has passed                          expired          calls in flight are cut off now
    the shard's row is fenced                        fenced           they get the drain time
    the invocation has to end                        out_of_time      they are cut off now
    the lane is open or blocked                      lane_closed      they get as long as a call usually takes,
                                                                      or are cut off now if they all hang
    the lane has workers enough                      surplus          they may end
    others wait for a seat                           made_room        they may end
    the next call would outlast the invocation       out_of_time      they may end
    nothing can start for longer than patience lasts throttled        they may end

The last four matter only to a run that has something left to start.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

_UNKNOWN_CALL_SECONDS = 30.0
_LEAST_GRACE_SECONDS = 5.0
"""Calls in flight when their lane closes: how long they get if nothing is known of it, and at least."""

_AWAY_SECONDS = 60.0
"""How long the message of a shard that made room stays away. It is drawn before, as a rule."""
_AWAY_UNDRAWN_SECONDS = 5.0
"""On a lane without a rate nobody draws it: its batch would stand still meanwhile."""


class Stop(enum.StrEnum):
    """How a run ended."""

    SETTLED = "settled"
    """Every item has its result."""
    FENCED = "fenced"
    """The batch is over."""
    EXPIRED = "expired"
    """The deadline has passed."""
    OUT_OF_TIME = "out_of_time"
    """The invocation ends soon."""
    THROTTLED = "throttled"
    """The provider asked for a longer pause than waiting is worth."""
    LANE_CLOSED = "lane_closed"
    """The lane is in trouble: nobody calls it but for a probe."""
    SURPLUS = "surplus"
    """The lane's rate needs fewer workers than there are."""
    MADE_ROOM = "made_room"
    """Another batch waited for a seat in this worker."""


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Whatever comes first of the three `flush_` limits makes a part; `flush_seconds` count twice for a shard's
    last few items. `drain_seconds`: how long in-flight calls of a fenced shard may go on. `patience_seconds`: how
    long a shard may wait in a worker when nothing of it can start. `shards_at_once` bounds memory."""

    flush_items: int
    flush_seconds: float
    flush_bytes: int
    lease_seconds: int
    drain_seconds: float
    patience_seconds: float
    shards_at_once: int = 10


@dataclass(frozen=True, slots=True)
class Situation:
    """What a run knows when it asks whether to stop. Times are unix seconds.

    `stop_at`: when the invocation has to hand back. `wants_to_start`: whether an item waits to start a call.
    `next_start`: the earliest moment at which one may, as far as time alone decides. `usual_call_seconds`: how long a
    call of the lane takes at most as a rule, 0 if that is not known yet. `lane_closed`: nobody may start a call;
    `lane_hangs`: nor will those in flight ever end. `is_surplus`: the lane has workers enough without this one;
    `makes_room`: another batch has got the seat; `is_drawn`: workers of the lane draw shards without their messages."""

    now: float
    started_at: float
    stop_at: float
    expires_at: float
    fenced: bool
    lane_closed: bool
    lane_hangs: bool
    is_surplus: bool
    makes_room: bool
    wants_to_start: bool
    next_start: float
    usual_call_seconds: float
    is_drawn: bool = True


@dataclass(frozen=True, slots=True)
class StopOrder:
    """No call starts any more. Those in flight are cut off at `cut_at`. `wait_seconds`: how long to leave the shard
    alone afterwards, because nothing of it may start before."""

    stop: Stop
    cut_at: float
    wait_seconds: float = 0.0


def last_start_at(started_at: float, stop_at: float, usual_call_seconds: float) -> float:
    """The last moment at which a call may start that has to be over at `stop_at`; never in the first half of a run, so
    that each run gets something done. Times are unix seconds."""
    return stop_at - min(usual_call_seconds, (stop_at - started_at) / 2)


def stop_order(situation: Situation, limits: RunLimits) -> StopOrder | None:
    """Whether a run has to stop now; None: it goes on."""
    now = situation.now
    if now >= situation.expires_at:
        return StopOrder(Stop.EXPIRED, now)
    if situation.fenced:
        return StopOrder(Stop.FENCED, now + limits.drain_seconds)
    if now >= situation.stop_at:
        return StopOrder(Stop.OUT_OF_TIME, now)
    if situation.lane_closed:
        if situation.lane_hangs:
            return StopOrder(Stop.LANE_CLOSED, now)
        grace = max(situation.usual_call_seconds or _UNKNOWN_CALL_SECONDS, _LEAST_GRACE_SECONDS)
        return StopOrder(Stop.LANE_CLOSED, min(now + grace, situation.stop_at))
    if not situation.wants_to_start:
        return None
    if situation.is_surplus:
        return StopOrder(Stop.SURPLUS, situation.stop_at)
    if situation.makes_room:
        away_seconds = _AWAY_SECONDS if situation.is_drawn else _AWAY_UNDRAWN_SECONDS
        return StopOrder(Stop.MADE_ROOM, situation.stop_at, away_seconds)
    last_start = last_start_at(situation.started_at, situation.stop_at, situation.usual_call_seconds)
    wait_seconds = situation.next_start - now
    starts_too_late = wait_seconds > 0 and situation.next_start >= last_start
    if starts_too_late:
        return StopOrder(Stop.OUT_OF_TIME, situation.stop_at, wait_seconds)
    if wait_seconds > limits.patience_seconds:
        return StopOrder(Stop.THROTTLED, situation.stop_at, wait_seconds)
    if now >= last_start:
        return StopOrder(Stop.OUT_OF_TIME, situation.stop_at)
    return None
