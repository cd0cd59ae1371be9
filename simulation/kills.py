"""Workers that die: how often, and what becomes of what a dead one still tries to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from batchyard.worker.work import Worker


@dataclass(frozen=True, slots=True)
class Kills:
    """Every worker is killed each `every_seconds`; another one is there `start_seconds` later. The messages that it had
    come back after `visibility_seconds`; Sweep looks for its shards each `sweep_seconds`."""

    every_seconds: float
    start_seconds: float = 0.5
    visibility_seconds: float = 960.0
    sweep_seconds: float = 60.0


class WorkerKilled(BaseException):
    """What a process that was killed gets from everything it still tries to do."""


@dataclass(eq=False, slots=True)
class Process:
    """A worker's process, and whether it was killed."""

    is_dead: bool = False
    worker: Worker | None = None

    async def blocking(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """As `inline`; nothing has any effect after the death."""
        await asyncio.sleep(0)
        if self.is_dead:
            raise WorkerKilled
        value = function(*args, **kwargs)
        await asyncio.sleep(0)
        return value
