"""Why a batch that runs stands still, or is slow, on one of its lanes: what its owner is told.

    the lane is blocked                            blocked     people have to act
    the lane is open                               trouble     time mends it
    no shard of it was begun                       queued      others are before it
    the provider's limit is what it runs at        throttled   all batches take turns

The sentences are ours and are made from states only. What a provider says never gets here, because prompts are echoed
there; nor does anything about other accounts. Times are unix seconds.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from email.utils import formatdate

from batchyard.core.health import LaneHealth, LaneState
from batchyard.core.lane_pace import SLOT_SECONDS, LanePace, slot_of
from batchyard.core.lanes import Lane

_BEGINS_WITHIN_SECONDS = 10
"""What has only just been sent does not wait yet."""
_BUSY_SHARE = 0.8
"""A lane that is used less than this has room."""
_BLOCKED_BECAUSE = {
    "key_refused": "{provider} does not accept this deployment's API key",
    "out_of_money": "This deployment's account at {provider} has no money or quota left",
    "secret_missing": "This deployment has no API key for {provider}",
}
_ROLE_REFUSED = "{provider} does not accept this deployment's role: it lacks a permission, or access to the model"


class WaitState(enum.StrEnum):
    BLOCKED = "blocked"
    TROUBLE = "trouble"
    QUEUED = "queued"
    THROTTLED = "throttled"


@dataclass(frozen=True, slots=True)
class Wait:
    """`since`: since when it is so, if that is known."""

    provider: str
    model: str
    state: WaitState
    since: int | None
    message: str


@dataclass(frozen=True, slots=True)
class LaneOfBatch:
    """A lane as a batch sees it that has something left to run there. `running_since`: when the batch was validated;
    `is_begun`: some shard of it was taken by a worker. `by_role`: it is called with the worker's role, not with an
    API key."""

    lane: Lane
    health: LaneHealth
    pace: LanePace
    is_begun: bool
    running_since: int
    expires_at: int
    by_role: bool = False


def wait_on(seen: LaneOfBatch, now: int) -> Wait | None:
    """Why the batch waits there; None if it just runs."""
    health = seen.health
    if health.state is LaneState.BLOCKED:
        return _wait(seen, WaitState.BLOCKED, health.since, _blocked(seen, now))
    if health.state is LaneState.OPEN:
        return _wait(seen, WaitState.TROUBLE, health.since, _trouble(seen, now))
    if not seen.is_begun:
        if now < seen.running_since + _BEGINS_WITHIN_SECONDS:
            return None
        return _wait(seen, WaitState.QUEUED, seen.running_since, _queued(seen))
    if _is_at_its_limit(seen.pace, now):
        return _wait(seen, WaitState.THROTTLED, None, _throttled(seen))
    return None


def _is_at_its_limit(pace: LanePace, now: int) -> bool:
    """Whether the lane has a rate, and what was called in the last whole slot comes to it or was refused."""
    if pace.rate is None:
        return False
    slot = slot_of(now) - 1
    is_used = pace.good.get(slot, 0) >= _BUSY_SHARE * pace.rate * SLOT_SECONDS
    return is_used or pace.refused.get(slot, 0) > 0


def _wait(seen: LaneOfBatch, state: WaitState, since: int | None, what: str) -> Wait:
    deadline = f"What has no result by {_moment(seen.expires_at)} is reported as batch_expired."
    return Wait(seen.lane.provider, seen.lane.model, state, since, f"{what} {deadline}")


def _blocked(seen: LaneOfBatch, now: int) -> str:
    reason = seen.health.reason or ""
    because = _BLOCKED_BECAUSE.get(reason, "{provider} refuses every call of this deployment")
    if seen.by_role and reason == "key_refused":
        because = _ROLE_REFUSED
    return (
        f"{because.format(provider=seen.lane.provider)}, since {_moment(seen.health.since)}. The operator has to mend "
        f"that, and is alarmed. Nothing is lost: {seen.lane.model} is tried again {_next_try(seen.health, now)}, and "
        "once a minute from then on, and the batch goes on by itself."
    )


def _trouble(seen: LaneOfBatch, now: int) -> str:
    return (
        f"{seen.lane.provider} fails the calls of {seen.lane.model}, since {_moment(seen.health.since)}. Nothing is "
        f"lost, and no request is given up for it: it is tried again {_next_try(seen.health, now)}, every few seconds "
        "from then on, and the batch goes on by itself."
    )


def _queued(seen: LaneOfBatch) -> str:
    return (
        f"No request for {seen.lane.model} at {seen.lane.provider} was started yet. They wait for their turn, and "
        "nothing is lost."
    )


def _throttled(seen: LaneOfBatch) -> str:
    return (
        f"Calls of {seen.lane.model} at {seen.lane.provider} are made as fast as its limits allow. All batches take "
        "turns, and nothing is lost."
    )


def _next_try(health: LaneHealth, now: int) -> str:
    return f"at {_moment(health.probe_at)}" if health.probe_at > now else "within seconds"


def _moment(unix_second: int) -> str:
    return formatdate(unix_second, usegmt=True)
