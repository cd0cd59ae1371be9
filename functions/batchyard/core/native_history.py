"""What a native lane was like so far: how long its provider jobs took, and whether it has a batch API at all."""

from __future__ import annotations

from dataclasses import dataclass

from batchyard.core.json_types import Row

_KEPT = 40
_UNSUPPORTED_SECONDS = 86_400
"""A provider that had no batch API may have one a day later."""
_SLOW_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class NativeHistory:
    """`seconds`: from submission to end, of the last jobs, also of those that were given up. `unsupported_at`: the unix
    second at which the provider answered that it knows no batch API, 0 if it never did."""

    seconds: tuple[int, ...] = ()
    unsupported_at: int = 0

    @property
    def usual_seconds(self) -> float | None:
        """Half of the jobs took no longer; None if none is known."""
        return self._quantile(0.5)

    @property
    def slow_seconds(self) -> float | None:
        """Nine of ten jobs took no longer."""
        return self._quantile(_SLOW_SHARE)

    def is_unsupported(self, now: int) -> bool:
        return now < self.unsupported_at + _UNSUPPORTED_SECONDS

    def plus(self, seconds: int) -> NativeHistory:
        return NativeHistory((*self.seconds, seconds)[-_KEPT:], 0)

    def to_row(self) -> Row:
        return {"seconds": list(self.seconds), "unsupported_at": self.unsupported_at}

    @classmethod
    def from_row(cls, row: Row) -> NativeHistory:
        return cls(tuple(row.get("seconds", ())), row.get("unsupported_at", 0))

    def _quantile(self, share: float) -> float | None:
        ordered = sorted(self.seconds)
        return float(ordered[min(len(ordered) - 1, int(share * len(ordered)))]) if ordered else None
