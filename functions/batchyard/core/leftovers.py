"""Leftovers: where the items go that a provider job has left without a result, and until when they may stay there.

Of the lanes that they may take, the best one first:

    flex        if it is well, and twice what they take there fits in before realtime would have to begin
    realtime    if it is well
    the first one in realtime, if none is well
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from batchyard.core.candidates import CAUTION, Terms, flex_seconds
from batchyard.core.failover import LaneNow
from batchyard.core.lanes import Lane, Mode
from batchyard.core.planning import escalate_at


def lane_of_leftovers(
    others: Sequence[Lane], items: int, terms: Terms, look: Callable[[Lane], LaneNow]
) -> tuple[Lane, int]:
    """The lane, and the unix second from which on what is left there runs in realtime (0: it is in realtime). `others`:
    at least one. `look`: what is known of a lane."""
    for lane in others:
        if not look(lane).is_well:
            continue
        if lane.mode is not Mode.FLEX:
            return lane, 0
        until = escalate_at(items, look(Lane(lane.provider, lane.model)).calls_per_second, terms)
        if terms.now + CAUTION * flex_seconds(items, look(lane).calls_per_second, terms.pace) <= until:
            return lane, until
    first = next((lane for lane in others if lane.mode is Mode.REALTIME), Lane(others[0].provider, others[0].model))
    return first, 0
