"""The clock by which vendors run jobs. It may run faster than that of the machine, stand still, and be put forward; the
answers of realtime calls take real time."""

from __future__ import annotations

from collections.abc import Callable


class JobClock:
    def __init__(self, real: Callable[[], float], speed: float) -> None:
        self._real = real
        self._speed = speed
        self._since = real()
        self._then = self._since

    def now(self) -> float:
        """Seconds since 1970, as of the last `read`: one moment for all that belongs to one call, however fast this
        clock runs. Starts with the machine's time."""
        return self._then

    def read(self) -> None:
        real = self._real()
        self._then += (real - self._since) * self._speed
        self._since = real

    def run_at(self, speed: float) -> None:
        """1: as fast as the machine's clock; 0: it stands still until it is put forward."""
        self.read()
        self._speed = speed

    def advance(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError("time does not run backwards")
        self._then += seconds
