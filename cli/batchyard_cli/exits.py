"""Exit codes, and how a command ends: `Done` if it did what it was asked, `CommandFailed` if not."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, NamedTuple


class Exit(enum.IntEnum):
    """As `gh` has them, and one for batches. `CANCELLED`: by the person (Ctrl-C), or the batch was."""

    FINE = 0
    FAILED = 1
    CANCELLED = 2
    FAILED_ITEMS = 3
    NOT_SIGNED_IN = 4


class Done(NamedTuple):
    """`fields`: what the last line of `--json` says."""

    fields: Mapping[str, Any]
    exit: Exit = Exit.FINE


class CommandFailed(Exception):
    """`way_out`: what to do about it, which is never left out. `code`: what programs tell it by."""

    def __init__(self, message: str, way_out: str, *, code: str = "failed", exit: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.way_out = way_out
        self.code = code
        self.exit = exit


def interrupted(message: str, way_out: str) -> CommandFailed:
    """The person pressed Ctrl-C."""
    return CommandFailed(message, way_out, code="interrupted", exit=Exit.CANCELLED)
