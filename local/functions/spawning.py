"""Starts the processes of functions: each by itself, as Lambda does, or as a fork of the nursery."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

T = TypeVar("T")


class Process(Protocol):
    """A running function: `subprocess.Popen`, or a nursery's child."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self) -> int: ...
    def send_signal(self, number: int, /) -> None: ...
    def kill(self) -> None: ...


Spawn = Callable[[str, Mapping[str, str], Path], Process]
"""(handler, environment variables, log file) -> its process"""

_spawner = ThreadPoolExecutor(1, thread_name_prefix="spawner")
"""One thread starts every process and lives as long as the local cloud: the kernel takes that thread for the parent,
and `setpriv --pdeathsig` kills a process when the thread that started it ends."""


def in_spawner(start: Callable[[], T]) -> T:
    """What `start` returns, called by the one thread that starts processes."""
    return _spawner.submit(start).result()


def spawn(handler: str, variables: Mapping[str, str], log_path: Path) -> Process:
    """A process of its own, as Lambda starts it."""

    def start() -> subprocess.Popen[bytes]:
        with log_path.open("ab") as log_file:
            return subprocess.Popen(
                [*die_with_parent(), sys.executable, "-m", "awslambdaric", handler],
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
                start_new_session=True,
            )

    return in_spawner(start)


def die_with_parent() -> list[str]:
    """A frozen process would survive a local cloud that is killed; util-linux's setpriv ends it with its parent."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
