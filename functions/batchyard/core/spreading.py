"""Spreading: which of the candidates that will do get a route's shards. As a rule the best one gets all of them.

best runs in realtime, and cannot make the deadline ─▶ it gets what it can make, the next best ones the rest
all of them together cannot ─▶ each gets its part, so that they end together
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from batchyard.core.candidates import Candidate, Route, Terms, capacity
from batchyard.core.lanes import Mode
from batchyard.core.sharding import Shard


@dataclass(frozen=True, slots=True)
class Part:
    """A run of a route's shards, and the candidate that gets it."""

    candidate: Candidate
    shards: tuple[Shard, ...]

    @property
    def items(self) -> int:
        return sum(shard.items for shard in self.shards)


def last_resort(route: Route, terms: Terms) -> list[Candidate]:
    """What is taken if nothing will do: realtime, if possible at somebody who is not in trouble."""
    return [each for each in route.realtime if not each.in_trouble] or list(route.realtime)


def spread(route: Route, willing: Sequence[Candidate], terms: Terms) -> list[Part]:
    """The best candidate gets everything; if it runs in realtime, as much as it can make, and those after it the rest.
    If all together cannot make everything, each gets its part of it."""
    ranked = sorted(willing, key=lambda candidate: candidate.rank)
    best = ranked[0]
    realtime = [each for each in ranked if each.lane.mode is Mode.REALTIME]
    if best.lane.mode is not Mode.REALTIME or len(realtime) == 1 or capacity(best, terms) >= route.items:
        return [Part(best, route.shards)]
    room = [capacity(each, terms) for each in realtime]
    if sum(room) < route.items:
        together = sum(room)
        room = [math.ceil(route.items * (each / together if together else 1 / len(room))) for each in room]
    return _cut(route.shards, realtime, room)


def _cut(shards: Sequence[Shard], candidates: Sequence[Candidate], room: Sequence[float]) -> list[Part]:
    """Whole shards for each candidate until its room is full; the last one takes what is left."""
    parts: list[Part] = []
    left = list(shards)
    for candidate, items_at_most in zip(candidates, room, strict=True):
        taken: list[Shard] = []
        items = 0
        while left and (candidate is candidates[-1] or items + left[0].items <= items_at_most):
            items += left[0].items
            taken.append(left.pop(0))
        if taken:
            parts.append(Part(candidate, tuple(taken)))
    return parts
