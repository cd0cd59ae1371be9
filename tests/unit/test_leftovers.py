"""Where the items go that a provider job has left: a table of cases, at a clock that is passed in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batchyard.core.candidates import Terms
from batchyard.core.failover import LaneNow
from batchyard.core.health import LaneHealth, LaneState
from batchyard.core.lanes import Lane, Mode
from batchyard.core.leftovers import lane_of_leftovers
from batchyard.core.planning import escalate_at

NOW = 1_800_000_000
HOUR = 3600
ITEMS = 1000
REALTIME, FLEX = Lane("openai", "m"), Lane("openai", "m", Mode.FLEX)
ELSEWHERE = Lane("elsewhere", "m")
TERMS = Terms("/v1/chat/completions", NOW, NOW + 6 * HOUR)
UNTIL = escalate_at(ITEMS, None, TERMS)
OPEN = LaneNow(LaneHealth(LaneState.OPEN, "overloaded", NOW))
SLOW, FAST = (LaneNow(LaneHealth(), rate) for rate in (0.05, 50.0))


@pytest.mark.parametrize(
    ("known", "terms", "wanted"),
    [
        ({}, TERMS, (FLEX, UNTIL)),
        ({REALTIME: FAST}, TERMS, (FLEX, escalate_at(ITEMS, 50.0, TERMS))),
        ({FLEX: OPEN}, TERMS, (REALTIME, 0)),
        ({FLEX: SLOW}, TERMS, (REALTIME, 0)),
        ({FLEX: FAST}, replace(TERMS, expires_at=NOW + HOUR), (FLEX, UNTIL - 5 * HOUR)),
        ({}, replace(TERMS, expires_at=NOW + 2400), (REALTIME, 0)),
        ({FLEX: OPEN, REALTIME: OPEN}, TERMS, (ELSEWHERE, 0)),
        ({FLEX: OPEN, REALTIME: OPEN, ELSEWHERE: OPEN}, TERMS, (REALTIME, 0)),
    ],
)
def test_where_what_is_left_goes(known: dict[Lane, LaneNow], terms: Terms, wanted: tuple[Lane, int]) -> None:
    """To flex while it is well and there is time for it twice over, else to the first lane in realtime that is well."""
    well = LaneNow(LaneHealth())
    found = lane_of_leftovers((FLEX, REALTIME, ELSEWHERE), ITEMS, terms, lambda lane: known.get(lane, well))
    assert found == wanted


def test_flex_alone_has_realtime_behind_it() -> None:
    """At its own provider."""
    assert lane_of_leftovers((FLEX,), ITEMS, TERMS, lambda lane: OPEN) == (REALTIME, 0)
