"""An event loop whose clock jumps to the next timer as soon as nothing else is left to do.

Hours pass in milliseconds, in the same order every time. Only for code whose waiting is all timers: a loop that waits
for a thread or a socket has nothing to jump to, and says so.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any, TypeVar

EPOCH = 1_800_000_000.0

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise AssertionError("the loop waits for something that no timer will ever bring")
        self.now += max(0.0, timeout)
        return []  # who has been called from elsewhere is in the loop's list already


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Seconds since the loop was made: small numbers, so that no timer falls between two floats."""
        return self._virtual.now

    def clock(self) -> float:
        """The same as unix seconds."""
        return EPOCH + self._virtual.now

    def advance(self, seconds: float) -> None:
        """Let time pass while nothing runs."""
        self._virtual.now += seconds


async def inline(function: Callable[..., T], /, *args: Any, **kwargs: Any) -> T:
    """Stands for `asyncio.to_thread`: blocking calls take no time, and others get their turn before and after."""
    await asyncio.sleep(0)
    value = function(*args, **kwargs)
    await asyncio.sleep(0)
    return value
