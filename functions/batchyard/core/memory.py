"""Memory: what a process remembers for a time, so that it need not ask again.

It holds the API keys that a process knows, those that have used up their minute, and the provider keys that were read.
"""

from __future__ import annotations

from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")


class ExpiringMemory(Generic[Value]):
    """Values by name, each until its time is over. Any number of threads may use it. Times are of any clock, as long as
    it is always the same one."""

    def __init__(self, at_most: int) -> None:
        """`at_most`: how many values it holds. For one more, the one that was put longest ago is forgotten."""
        self._at_most = at_most
        self._values: dict[str, tuple[float, Value]] = {}
        self._lock = Lock()

    def get(self, name: str, now: float) -> Value | None:
        """The value, if its time is not over."""
        with self._lock:
            until, value = self._values.get(name, (now, None))
            return value if now < until else None

    def put(self, name: str, value: Value, *, until: float, now: float) -> None:
        """Remember the value up to, and not at, `until`. Every value that is over by `now` is forgotten."""
        with self._lock:
            self._values = {each: kept for each, kept in self._values.items() if now < kept[0] and each != name}
            if len(self._values) >= self._at_most:
                del self._values[next(iter(self._values))]
            self._values[name] = (until, value)

    def forget(self, name: str) -> None:
        with self._lock:
            self._values.pop(name, None)
