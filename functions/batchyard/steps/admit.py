"""Admit: hold an API key to its requests per minute, counted in one row per key and minute for all functions.

A minute is the clock's, so up to twice the limit may pass within any sixty seconds; in return a request costs one
write, and a key that has used up its minute costs none until the next one.
"""

from __future__ import annotations

from batchyard.adapters.aws.windows import Windows
from batchyard.core.errors import RateLimited
from batchyard.core.limits import Allowance

_WINDOW_SECONDS = 60
_REMEMBERED_KEYS = 1000


class Admission:
    """Lives as long as its process."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self._full: dict[str, int] = {}
        """Key -> the unix second at which it may come again."""

    def admit(self, key: str, *, limit: int, now: int) -> Allowance:
        """Counts one request of `key` (a digest). Raises RateLimited where the minute has none left."""
        start = now - now % _WINDOW_SECONDS
        end = start + _WINDOW_SECONDS
        if self._full.get(key) == end:
            raise _used_up(limit, end, now)
        count = self._windows.count(key, start, limit=limit, ttl=end + _WINDOW_SECONDS)
        if count is None:
            if len(self._full) >= _REMEMBERED_KEYS:
                self._full.clear()
            self._full[key] = end
            raise _used_up(limit, end, now)
        return Allowance(limit, limit - count, end)


def _used_up(limit: int, end: int, now: int) -> RateLimited:
    return RateLimited(
        f"This API key has used up its {limit} requests per minute.",
        retry_after_seconds=max(1, end - now),
        allowance=Allowance(limit, 0, end),
    )
