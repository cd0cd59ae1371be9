"""When items leave their lane: a table of cases, at a clock that is passed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from batchyard.core.candidates import CAUTION, SPARE_SECONDS
from batchyard.core.failover import LaneNow, Move, Patience, Why, failover
from batchyard.core.health import LaneHealth, LaneState
from batchyard.core.lanes import Lane, Mode
from batchyard.core.sharding import LaneShards, Left, Shard

NOW = 1_800_000_000
HERE, NEXT, LAST = Lane("here", "m"), Lane("next", "m"), Lane("last", "n")
ENTRY = LaneShards(HERE, 10, 10, 1000, others=(NEXT, LAST))
SHARDS = [Shard(number, 0, 0, 0, 100, 0) for number in range(10, 20)]
WELL = LaneNow(LaneHealth())
OPEN = LaneNow(LaneHealth(LaneState.OPEN, "server_error", NOW - 3600, probes=2))
JUST_OPEN = LaneNow(LaneHealth(LaneState.OPEN, "server_error", NOW - 3, probes=1))
BLOCKED = LaneNow(LaneHealth(LaneState.BLOCKED, "key_refused", NOW - 1))
TIME_ENOUGH = Patience(NOW, NOW + 86_400)
AT_ONCE = replace(TIME_ENOUGH, avoids_trouble=True)
NEEDED = round(CAUTION * 1000 / 5 + SPARE_SECONDS)
"""What a lane of five calls a second needs for all items."""


def seen(**lanes: LaneNow) -> Callable[[Lane], LaneNow]:
    return lambda lane: lanes.get(lane.provider, WELL)


def everything(lane: Lane = NEXT, why: Why = Why.TROUBLE) -> Move:
    return Move(range(10, 20), lane, why)


def test_a_lane_in_trouble_keeps_its_items_while_there_is_time() -> None:
    """Up to the second at which the next lane would have to begin, at its rate and with caution; then they go."""
    look = seen(here=OPEN, next=replace(WELL, calls_per_second=5.0))
    expires_at = NOW + NEEDED
    assert failover(ENTRY, SHARDS, Patience(NOW - 1, expires_at), look) is None
    assert failover(ENTRY, SHARDS, Patience(NOW, expires_at), look) == everything()
    assert failover(ENTRY, SHARDS[5:], Patience(NOW, expires_at), look) is None
    late = Patience(NOW, expires_at - 200)
    assert failover(ENTRY, SHARDS[5:], late, look) == Move(range(15, 20), NEXT, Why.TROUBLE)


@pytest.mark.parametrize(
    ("here", "moves"), [(WELL, False), (JUST_OPEN, False), (OPEN, True), (BLOCKED, True)], ids=lambda each: str(each)
)
def test_rules_that_do_not_wait(here: LaneNow, moves: bool) -> None:
    """At once if the lane is blocked, or open for more than a moment; other batches wait."""
    assert failover(ENTRY, SHARDS, AT_ONCE, seen(here=here)) == (everything() if moves else None)
    assert failover(ENTRY, SHARDS, TIME_ENOUGH, seen(here=here)) is None


def test_nobody_moves_into_trouble() -> None:
    """The first of the others that is well is taken; if none is, the items stay."""
    assert failover(ENTRY, SHARDS, AT_ONCE, seen(here=OPEN, next=JUST_OPEN)) == everything(LAST)
    assert failover(ENTRY, SHARDS, AT_ONCE, seen(here=OPEN, next=BLOCKED, last=OPEN)) is None
    assert failover(replace(ENTRY, others=()), SHARDS, AT_ONCE, seen(here=OPEN)) is None


def test_what_a_slow_lane_will_not_make_is_moved_once() -> None:
    """The last shards, when the next lane has to begin with them; what has failed over before stays."""
    look = seen(here=replace(WELL, calls_per_second=1.0), next=replace(WELL, calls_per_second=5.0))
    late = Patience(NOW, NOW + 650)
    assert failover(ENTRY, SHARDS, late, look) == Move(range(16, 20), NEXT, Why.TOO_LATE)
    assert failover(ENTRY, SHARDS, Patience(NOW, NOW + 900), look) is None
    assert failover(ENTRY, SHARDS, Patience(NOW, NOW + 1001), look) is None
    assert failover(replace(ENTRY, left=Left(LAST, "trouble")), SHARDS, late, look) is None


def test_jobs_and_finished_entries_stay() -> None:
    """A provider job is its executor's affair."""
    native = replace(ENTRY, lane=replace(HERE, mode=Mode.NATIVE))
    assert failover(native, SHARDS, AT_ONCE, seen(here=BLOCKED)) is None
    assert failover(ENTRY, [], AT_ONCE, seen(here=BLOCKED)) is None


def test_flex_counts_as_what_it_runs_as() -> None:
    """From `escalate_at` on its workers call in realtime: then the health of that lane is what matters."""
    flex = replace(ENTRY, lane=replace(HERE, mode=Mode.FLEX), escalate_at=NOW + 10, others=(HERE, NEXT))

    def look(lane: Lane) -> LaneNow:
        return BLOCKED if lane == HERE else WELL

    assert failover(flex, SHARDS, AT_ONCE, look) is None
    later = replace(AT_ONCE, now=NOW + 10)
    assert failover(flex, SHARDS, later, look) == everything()
