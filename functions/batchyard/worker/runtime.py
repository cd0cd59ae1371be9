"""What the worker takes from its process, as one value: time, randomness, threads, log. Tests put in their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol


class Blocking(Protocol):
    """Runs a blocking call beside the event loop; `asyncio.to_thread` is one."""

    def __call__(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Awaitable[Any]: ...


class Log(Protocol):
    """The part of a logger that the worker needs."""

    def exception(self, msg: object, *args: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Runtime:
    """`clock`: unix seconds. `random`: numbers in [0, 1). `new_owner`: a name that no claim had before."""

    clock: Callable[[], float]
    random: Callable[[], float]
    new_owner: Callable[[], str]
    log: Log
    blocking: Blocking = asyncio.to_thread
