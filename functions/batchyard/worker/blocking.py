"""How steps on an event loop make blocking calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol


class Blocking(Protocol):
    """Runs a blocking call beside the event loop; `asyncio.to_thread` is one."""

    def __call__(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Awaitable[Any]: ...
