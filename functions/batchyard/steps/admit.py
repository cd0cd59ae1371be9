"""Admit: hold an API key to its requests per minute, counted in one row per key, surface and minute for all functions.

Minutes begin on the minute, so up to twice the limit may pass within sixty seconds. In return a request costs one
write, and a key that has used up its minute costs no more until the next one.
"""

from __future__ import annotations

from batchyard.adapters.aws.windows import Windows
from batchyard.core.errors import RateLimited
from batchyard.core.limits import Allowance
from batchyard.core.memory import ExpiringMemory

_WINDOW_SECONDS = 60
_REMEMBERED_KEYS = 1000


class Admission:
    """One for each process."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self._used_up: ExpiringMemory[int] = ExpiringMemory(_REMEMBERED_KEYS)
        """Caller -> the unix second at which it may come again."""

    def admit(self, caller: str, *, limit: int, now: int) -> Allowance:
        """Counts one request of a caller: an API key, by its hash, on a surface. Raises RateLimited if the minute has
        none left."""
        start = now - now % _WINDOW_SECONDS
        end = start + _WINDOW_SECONDS
        if self._used_up.get(caller, now) == end:
            raise _used_up(limit, end, now)
        count = self._windows.count(caller, start, limit=limit, ttl=end + _WINDOW_SECONDS)
        if count is None:
            self._used_up.put(caller, end, until=end, now=now)
            raise _used_up(limit, end, now)
        return Allowance(limit, limit - count, end)


def _used_up(limit: int, end: int, now: int) -> RateLimited:
    return RateLimited(
        f"This API key has used up its {limit} requests per minute.",
        retry_after_seconds=max(1, end - now),
        allowance=Allowance(limit, 0, end),
    )
