"""A lane: one provider running one model in one mode."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Mode(enum.StrEnum):
    """`realtime`: Batchyard calls the provider once per item. It is the only mode so far; plans store it, so that a
    later version can add others."""

    REALTIME = "realtime"


@dataclass(frozen=True, slots=True, order=True)
class Lane:
    provider: str
    model: str
    mode: Mode = Mode.REALTIME

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}/{self.mode}"
