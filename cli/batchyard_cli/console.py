"""What a command says, and where: data to stdout, everything else to stderr.

With `--json` stdout is NDJSON: objects with a `type`, the last one `result`. Without it, it is text. Colours and the
moving progress line are for terminals only.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from batchyard_cli.exits import CommandFailed, Done, Exit
from batchyard_cli.texts import aligned, printable

_QUIET_SECONDS = 10.0
"""Where a line cannot be replaced, progress is told so often at most."""


class Console:
    def __init__(self, as_json: bool, now: Callable[[], float]) -> None:
        self.as_json = as_json
        self._now = now
        self._moving = 0
        """The length of the moving line that is on the terminal."""
        self._stage, self._told_at = "", 0.0

    def say(self, text: str) -> None:
        """Something for the person, which is no data."""
        self._clear()
        click.echo(printable(text), err=True)

    def warn(self, text: str) -> None:
        self._clear()
        click.secho(printable(text), err=True, fg="yellow")

    def write(self, text: str) -> None:
        """A line of data for people; with `--json` the same is told by `line`."""
        if not self.as_json:
            self._clear()
            click.echo(printable(text))

    def line(self, type: str, fields: Mapping[str, Any]) -> None:
        """A line of data for programs."""
        if self.as_json:
            click.echo(json.dumps({"type": type, **fields}, default=str))

    def table(self, type: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]], empty: str) -> None:
        """Rows of data: a line each with `--json`, else a table of `columns`. `empty`: what is said if there are
        none."""
        for row in rows:
            self.line(type, row)
        if self.as_json:
            return
        if not rows:
            self.say(empty)
            return
        header = [name.replace("_", " ") for name in columns]
        for text in aligned(header, [[_cell(row.get(name)) for name in columns] for row in rows]):
            click.echo(text)

    def progress(self, stage: str, text: str, fields: Mapping[str, Any]) -> None:
        """How far something is: replaces what was told before on a terminal. Elsewhere it is told now and then, and
        when a `stage` begins."""
        self.line("progress", fields)
        text = printable(text)
        if sys.stderr.isatty():
            text = text[: max(20, shutil.get_terminal_size().columns - 1)]
            click.echo("\r" + text.ljust(self._moving), err=True, nl=False)
            self._moving = len(text)
        elif not self.as_json and (stage != self._stage or self._now() >= self._told_at + _QUIET_SECONDS):
            self._stage, self._told_at = stage, self._now()
            click.echo(text, err=True)

    def end(self, done: Done) -> None:
        """The last thing that a command says."""
        self._clear()
        self.line("result", {"ok": done.exit is Exit.FINE, "exit_code": int(done.exit), **done.fields})

    def fail(self, failure: CommandFailed) -> None:
        """As `end`, for a command that failed."""
        self._clear()
        click.secho(printable(failure.message), err=True, fg="yellow" if failure.exit is Exit.CANCELLED else "red")
        click.echo(f"→ {printable(failure.way_out)}", err=True)
        error = {"code": failure.code, "message": failure.message, "way_out": failure.way_out}
        self.line("result", {"ok": False, "exit_code": int(failure.exit), "error": error})

    def _clear(self) -> None:
        """Ends the moving line, which stays where it is."""
        if self._moving:
            click.echo("", err=True)
            self._moving = 0


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if type(value) is int else str(value)
