"""A lane: one provider running one model in one mode; whose limits and health a lane has; how far a batch is there."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple


class Mode(enum.StrEnum):
    """`realtime`: Batchyard calls the provider once per item. `flex`: the same at about half the price, for which the
    vendor may take its time or refuse for now (OpenAI's `service_tier: "flex"`). `native`: the items go into a batch of
    the vendor's own (a provider job)."""

    REALTIME = "realtime"
    FLEX = "flex"
    NATIVE = "native"


@dataclass(frozen=True, slots=True, order=True)
class Lane:
    provider: str
    model: str
    mode: Mode = Mode.REALTIME

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}/{self.mode}"


class LaneId(NamedTuple):
    """What vendors limit, and what is in trouble together: a model at a provider, called with the provider key of
    `key_owner` (an account that brought its own; None: the deployment). Calls in flex have limits of their own."""

    provider: str
    model: str
    key_owner: str | None = None
    mode: Mode = Mode.REALTIME


class LaneStage(enum.StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class LaneProgress:
    """`moved_from`: the mode of the lane that these items were planned for, if they run on another one. `reason`: why
    they were moved, or else why they wait, if that is known. `done_items`: exact if somebody has looked at each shard,
    else by the share of shards that are done."""

    lane: Lane
    stage: LaneStage
    moved_from: Mode | None = None
    reason: str | None = None
    items: int = 0
    done_percent: int = 0
    done_items: int = 0
