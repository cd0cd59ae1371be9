"""A lane: one provider running one model in one mode; and whose limits and health a lane has."""

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
