"""The name of a lane as the dashboard's page reads it."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from batchyard.core.lanes import Lane

Mode = Literal["realtime", "flex", "native"]


class LaneName(TypedDict):
    provider: str
    model: str
    mode: Mode


def lane_name(lane: Lane | None) -> LaneName | None:
    return {"provider": lane.provider, "model": lane.model, "mode": lane.mode.value} if lane else None
