"""When a run stops, and why: each case of the worker's most important decision."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batchyard.worker.stopping import RunLimits, Situation, Stop, StopOrder, stop_order

LIMITS = RunLimits(256, 5.0, 8_000_000, lease_seconds=60, drain_seconds=25.0, patience_seconds=30.0)
CALM = Situation(
    now=1_000.0,
    started_at=900.0,
    stop_at=1_700.0,
    expires_at=9_000.0,
    fenced=False,
    lane_closed=False,
    lane_hangs=False,
    is_surplus=False,
    makes_room=False,
    wants_to_start=True,
    next_start=1_000.0,
    usual_call_seconds=10.0,
)

CASES = [
    ("nothing is the matter", {}, None),
    ("a wait within patience", {"next_start": 1_030.0}, None),
    ("a wait that nobody is waiting for", {"next_start": 1_500.0, "wants_to_start": False}, None),
    ("a long pause", {"next_start": 1_031.0}, StopOrder(Stop.THROTTLED, 1_700.0, 31.0)),
    (
        "a short pause, but too late then to start",
        {"now": 1_680.0, "next_start": 1_695.0},
        StopOrder(Stop.OUT_OF_TIME, 1_700.0, 15.0),
    ),
    (
        "a call would outlast the invocation",
        {"now": 1_690.0, "next_start": 1_690.0},
        StopOrder(Stop.OUT_OF_TIME, 1_700.0),
    ),
    ("only calls in flight are left to outlast it", {"now": 1_690.0, "wants_to_start": False}, None),
    (
        "calls that take minutes still start in the first half",
        {"now": 1_290.0, "next_start": 1_290.0, "usual_call_seconds": 900.0},
        None,
    ),
    (
        "and no longer in the second",
        {"now": 1_300.0, "next_start": 1_300.0, "usual_call_seconds": 900.0},
        StopOrder(Stop.OUT_OF_TIME, 1_700.0),
    ),
    ("the invocation ends", {"now": 1_700.0}, StopOrder(Stop.OUT_OF_TIME, 1_700.0)),
    ("the lane closes", {"lane_closed": True}, StopOrder(Stop.LANE_CLOSED, 1_010.0)),
    (
        "a lane of which nothing is known closes",
        {"lane_closed": True, "usual_call_seconds": 0.0},
        StopOrder(Stop.LANE_CLOSED, 1_030.0),
    ),
    (
        "a fast lane closes",
        {"lane_closed": True, "usual_call_seconds": 0.1},
        StopOrder(Stop.LANE_CLOSED, 1_005.0),
    ),
    ("a lane hangs", {"lane_closed": True, "lane_hangs": True}, StopOrder(Stop.LANE_CLOSED, 1_000.0)),
    ("workers enough", {"is_surplus": True}, StopOrder(Stop.SURPLUS, 1_700.0)),
    ("workers enough, but nothing left to start", {"is_surplus": True, "wants_to_start": False}, None),
    ("another batch has got the seat", {"makes_room": True}, StopOrder(Stop.MADE_ROOM, 1_700.0, 60.0)),
    ("and nobody draws what is left", {"makes_room": True, "is_drawn": False}, StopOrder(Stop.MADE_ROOM, 1_700.0, 5.0)),
    ("the seat is another's, but nothing left to start", {"makes_room": True, "wants_to_start": False}, None),
    ("cancelled", {"fenced": True, "lane_closed": True}, StopOrder(Stop.FENCED, 1_025.0)),
    ("the deadline", {"now": 9_000.0, "fenced": True, "stop_at": 9_500.0}, StopOrder(Stop.EXPIRED, 9_000.0)),
    ("the deadline goes before the invocation's end", {"now": 9_000.0}, StopOrder(Stop.EXPIRED, 9_000.0)),
]


@pytest.mark.parametrize(("changes", "order"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_run_stops_for_one_reason(changes: dict[str, float | bool], order: StopOrder | None) -> None:
    """The first reason that holds decides, and with it how long calls in flight may go on."""
    assert stop_order(replace(CALM, **changes), LIMITS) == order  # type: ignore[arg-type]
