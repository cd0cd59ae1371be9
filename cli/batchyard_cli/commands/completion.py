"""`completion`: what a shell needs to complete commands."""

from __future__ import annotations

import click

from batchyard_cli.command import Session, command
from batchyard_cli.exits import CommandFailed, Done

_PLACES = {
    "bash": 'eval "$(batchyard completion bash)"   # in ~/.bashrc',
    "zsh": 'eval "$(batchyard completion zsh)"    # in ~/.zshrc',
    "fish": "batchyard completion fish | source    # in ~/.config/fish/config.fish",
}


@command()
@click.argument("shell", type=click.Choice(sorted(_PLACES)))
def completion(session: Session, shell: str) -> Done:
    """Print the script that makes SHELL complete `batchyard`."""
    from click.shell_completion import get_completion_class

    from batchyard_cli.main import batchyard

    kind = get_completion_class(shell)
    if kind is None:
        raise CommandFailed(f"There is no completion for {shell}.", "Use bash, zsh or fish.", code="usage")
    script = kind(batchyard, {}, "batchyard", "_BATCHYARD_COMPLETE").source()
    if not session.console.as_json:
        click.echo(script)
    session.console.say(f"To have it always: {_PLACES[shell]}")
    return Done({"shell": shell, "script": script})
