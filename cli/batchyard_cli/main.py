"""`batchyard`: the list of its commands. The module of a command is imported when it is called, so that `--help` and
shell completion cost nothing but click."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, Never

import click

from batchyard_cli import __version__
from batchyard_cli.exits import Exit


class _Entry(NamedTuple):
    place: str
    """`module:name` below this package."""
    short_help: str


CUSTOMERS = {
    "login": _Entry("commands.signing_in:login", "Store the address of a deployment and your API key."),
    "logout": _Entry("commands.signing_in:logout", "Forget the stored API key."),
    "run": _Entry("commands.running:run", "Send a file, watch its batch, bring the results."),
    "submit": _Entry("commands.running:submit", "Send a file as a batch, and do not wait."),
    "watch": _Entry("commands.running:watch", "Watch a batch until it ends, and bring its results."),
    "ls": _Entry("commands.looking:ls", "List your batches, newest first."),
    "show": _Entry("commands.looking:show", "Everything about one batch."),
    "results": _Entry("commands.looking:results", "Download the results of a batch."),
    "cancel": _Entry("commands.looking:cancel", "Stop a batch; what is done is kept."),
    "check": _Entry("commands.inputs:check", "Check a file as the server would, before anything is sent."),
    "cost": _Entry("commands.costs:cost", "What a file would cost, on which lanes; or --deployment's costs."),
    "split": _Entry("commands.pieces:split", "Cut a file that is over a limit into several."),
    "merge": _Entry("commands.pieces:merge", "Join the results of several files."),
    "completion": _Entry("commands.completion:completion", "Print what makes your shell complete these commands."),
}
OPERATORS = {
    "doctor": _Entry("operators.doctor:doctor", "What is wrong with a deployment, and what to do about it."),
    "accounts": _Entry("operators.accounts:accounts", "List and make accounts, set their weights."),
    "keys": _Entry("operators.accounts:keys", "List, make and revoke API keys."),
    "credits": _Entry("operators.credits:credits", "Balances: show, top up, list entries, set billing."),
    "lanes": _Entry("operators.lanes:lanes", "How the lanes of open batches are: health, rate, workers."),
    "dead-letters": _Entry("operators.dead_letters:dead_letters", "List what was given up, and send it again."),
    "tail": _Entry("operators.story:tail", "The story of a batch, from its rows and the logs."),
}


class Commands(click.Group):
    """A group whose commands are imported when they are called. Exits as `exits.Exit` says."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*CUSTOMERS, *OPERATORS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = CUSTOMERS.get(cmd_name) or OPERATORS.get(cmd_name)
        if entry is None:
            return None
        module, _, name = entry.place.partition(":")
        command = getattr(importlib.import_module(f"batchyard_cli.{module}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, entries in (("Commands", CUSTOMERS), ("For operators, with AWS credentials", OPERATORS)):
            with formatter.section(title):
                formatter.write_dl([(name, entry.short_help) for name, entry in entries.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Without importing a command for its help."""
        from click.shell_completion import CompletionItem

        entries = {**CUSTOMERS, **OPERATORS}
        return [CompletionItem(name, help=e.short_help) for name, e in entries.items() if name.startswith(incomplete)]

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


def run() -> None:
    batchyard(prog_name="batchyard")
