"""What a native lane was like so far: how long its provider jobs took, and whether it has a batch API at all."""

from __future__ import annotations

import math
from dataclasses import dataclass

from batchyard.core.json_types import Row

_KEPT = 40
_UNSUPPORTED_SECONDS = 86_400
"""A provider that had no batch API may have one a day later."""
_RECENT_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class NativeHistory:
    """`seconds`: from submission to end, of the last jobs, also of those that were given up after they had taken longer
    than usual. `unsupported_at`: the unix second at which the provider answered that it knows no batch API, or that it
    is not for the model or the account's plan; 0 if it never did. `ended_at`: when the last of the jobs ended."""

    seconds: tuple[int, ...] = ()
    unsupported_at: int = 0
    ended_at: int = 0

    @property
    def usual_seconds(self) -> float | None:
        """Half of the jobs took no longer; None if none is known."""
        return self.seconds_of(0.5)

    def seconds_of(self, share: float) -> float | None:
        """So large a share of the jobs took no longer, and at least one did not; None if none is known."""
        ordered = sorted(self.seconds)
        return float(ordered[max(1, math.ceil(len(ordered) * share)) - 1]) if ordered else None

    def is_recent(self, now: int) -> bool:
        """Whether a job ended within the last day."""
        return now < self.ended_at + _RECENT_SECONDS

    def is_unsupported(self, now: int) -> bool:
        return now < self.unsupported_at + _UNSUPPORTED_SECONDS

    def plus(self, seconds: int, now: int, *, has_finished: bool = True) -> NativeHistory:
        """With a job that took so long and has just ended. After a day without any, only it counts: a lane that was
        slow long ago is used again after one job that was fast. One that has not finished would have taken longer,
        which says nothing unless it took longer than usual already."""
        if not has_finished and seconds < (self.usual_seconds or math.inf):
            return self
        kept = self.seconds if self.is_recent(now) else ()
        return NativeHistory((*kept, seconds)[-_KEPT:], 0, now)

    def to_row(self) -> Row:
        return {"seconds": list(self.seconds), "unsupported_at": self.unsupported_at, "ended_at": self.ended_at}

    @classmethod
    def from_row(cls, row: Row) -> NativeHistory:
        return cls(tuple(row.get("seconds", ())), row.get("unsupported_at", 0), row.get("ended_at", 0))
