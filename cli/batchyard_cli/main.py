"""`batchyard`, the command that has all others. The module of a command is imported when it is called, so that shell
completion costs nothing but click."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, Never

import click

from batchyard_cli import __version__
from batchyard_cli.exits import Exit
from batchyard_cli.listing import CUSTOMERS, OPERATORS, SECTIONS


class Commands(click.Group):
    """A group whose commands are imported when they are called. Exits as `exits.Exit` says."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*CUSTOMERS, *OPERATORS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = CUSTOMERS.get(cmd_name) or OPERATORS.get(cmd_name)
        if entry is None:
            return None
        module, _, name = entry[0].partition(":")
        command = getattr(importlib.import_module(f"batchyard_cli.{module}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, entries in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, short_help) for name, (_, short_help) in entries.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Without importing a command for its help."""
        from click.shell_completion import CompletionItem

        entries = {**CUSTOMERS, **OPERATORS}
        found = {name: entry for name, entry in entries.items() if name.startswith(incomplete)}
        return [CompletionItem(name, help=short_help) for name, (_, short_help) in found.items()]

    def main(self, args: Sequence[str] | None = None, *, standalone_mode: bool = True, **extra: Any) -> Never:  # type: ignore[override]
        """Always exits, with one of `exits.Exit`."""
        given = list(sys.argv[1:] if args is None else args)
        try:
            code = super().main(given, standalone_mode=False, **extra)
        except click.ClickException as error:
            error.show()
            _last_line(given, Exit.FAILED, "usage", error.format_message())
            code = Exit.FAILED
        except (click.Abort, KeyboardInterrupt):
            click.echo("Cancelled; call the command again to go on.", err=True)
            _last_line(given, Exit.CANCELLED, "interrupted", "Cancelled.")
            code = Exit.CANCELLED
        sys.exit(int(code or 0))


def _last_line(arguments: list[str], exit: Exit, code: str, message: str) -> None:
    """The result of a command that never began."""
    if "--json" in arguments:
        import json

        error = {"code": code, "message": message, "way_out": "Run the command with --help."}
        click.echo(json.dumps({"type": "result", "ok": False, "exit_code": int(exit), "error": error}))


@click.command(cls=Commands, name="batchyard", context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="batchyard")
@click.pass_context
def batchyard(context: click.Context) -> None:
    """Batches of LLM requests: send a file, watch it, bring the results.

    \b
      batchyard login                  once
      batchyard run requests.jsonl     check, upload, watch, download

    Every command takes --json (a JSON object per line, the last one of type `result`) and --help. Exit codes: 0 fine,
    1 failed, 2 cancelled, 3 the batch has failed items, 4 the API key is missing or refused.
    """
    if os.environ.get("NO_COLOR"):
        context.color = False
