"""Asks witnesses (`core.witness`) whether a lane is well, and judges what they come to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from batchyard.core.calls import ProviderReply
from batchyard.core.hangs import hang_witness_seconds
from batchyard.core.health import WITNESS_SECONDS, LaneState
from batchyard.core.retry import FailureReason

Witness = Callable[[], Awaitable[ProviderReply]]
"""Sends the smallest request of the lane."""

_WITNESSES = 8
"""So many are asked, because half of all calls failing is trouble, too. The first one goes alone: in an outage a probe
costs one call."""

_BAD_LUCK = 1
"""So many of the others may fail: a provider that fails one call in five is no outage, and hardly ever lets eight in a
row through."""

_WITNESSES_OF_HANG = 2


@dataclass(frozen=True, slots=True)
class Found:
    """`state`: what the lane is to be in; closed if it is well. `reason`: why it is not."""

    state: LaneState
    reason: str | None = None


async def hear(witness: Witness, *, callers_key: bool) -> Found:
    """What witnesses say of a lane. `callers_key`: it is called with a key that a caller brought."""
    first = await _hear_one(witness, callers_key)
    if first.state is not LaneState.CLOSED:
        return first
    others = await asyncio.gather(*(_hear_one(witness, callers_key) for _ in range(_WITNESSES - 1)))
    against = [found for found in others if found.state is not LaneState.CLOSED]
    return against[0] if len(against) > _BAD_LUCK else first


async def hear_of_hang(witness: Witness, *, callers_key: bool, usual_call_seconds: float) -> Found:
    """What witnesses say of a lane that does not reply at all. No half of its calls gets through then, so that one
    witness shows that it is well, and one that fails may have had bad luck. `usual_call_seconds`: how long calls of the
    lane take at most as a rule, 0 if that is not known."""
    seconds = hang_witness_seconds(usual_call_seconds)
    both = await asyncio.gather(*(_hear_one(witness, callers_key, seconds) for _ in range(_WITNESSES_OF_HANG)))
    return next((found for found in both if found.state is LaneState.CLOSED), both[0])


async def gets_through(witness: Witness, *, callers_key: bool) -> bool:
    """Whether one witness gets through. If not, that shows little: its lane may be slow."""
    return (await _hear_one(witness, callers_key)).state is LaneState.CLOSED


async def _hear_one(witness: Witness, callers_key: bool, seconds: float = WITNESS_SECONDS) -> Found:
    try:
        async with asyncio.timeout(seconds):
            failure = (await witness()).failure
    except TimeoutError:
        failure = FailureReason.TIMEOUT
    return judged(failure, callers_key=callers_key)


def judged(failure: FailureReason | None, *, callers_key: bool) -> Found:
    """What a witness that came to `failure` says. One that is too dear for what money is left says that there is none,
    and a caller's key and money are the caller's matter: the lane is well."""
    if failure is FailureReason.UNAFFORDABLE:
        failure = FailureReason.OUT_OF_MONEY
    if failure is not None and failure.blocks_the_lane and not callers_key:
        return Found(LaneState.BLOCKED, str(failure))
    if failure is not None and failure.is_trouble:
        return Found(LaneState.OPEN, str(failure))
    return Found(LaneState.CLOSED)
