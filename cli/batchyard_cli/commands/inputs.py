"""`check`: what is wrong with a file, before anything is sent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchyard_cli.command import FILE, Session, command
from batchyard_cli.exits import Done, Exit
from batchyard_cli.texts import size

if TYPE_CHECKING:
    from batchyard_cli.checking import Checked
    from batchyard_cli.console import Console


@command()
@click.argument("file", type=FILE)
@click.option("--endpoint", help="Where its lines go; found in the file if it is left out.")
@click.option("--offline", is_flag=True, help="Ask the deployment neither for its limits nor for its models.")
def check(session: Session, file: str, endpoint: str | None, offline: bool) -> Done:
    """Check FILE by the server's own rules: each wrong line with its number, and what to do about it."""
    from batchyard_cli import checking

    path = Path(file)
    api = None if offline else session.api_if_signed_in()
    checked = checking.check_file(path, endpoint or checking.endpoint_of(path), api)
    tell(checked, path, session.console)
    if checked.errors:
        session.console.warn(f"{path} would be refused. Nothing was sent.")
    else:
        session.console.write(f"{path} is good: {checked.items:,} items, {size(checked.bytes)}, {checked.endpoint}")
    if not checked.models_known:
        session.console.say("The deployment's own limits and models were not asked for: that needs `batchyard login`.")
    return Done(
        {
            "file": file,
            "valid": not checked.errors,
            "items": checked.items,
            "bytes": checked.bytes,
            "endpoint": checked.endpoint,
            "errors": len(checked.errors),
            "models_checked": checked.models_known,
        },
        Exit.FAILED if checked.errors else Exit.FINE,
    )


def tell(checked: Checked, path: Path, console: Console) -> None:
    """Each error as compilers write it: FILE:LINE: code: message."""
    for error in checked.errors:
        fields = {"line": error.line, "code": error.code, "message": error.message, "param": error.param}
        console.line("error", fields)
        where = f"{path}:{error.line}" if error.line else str(path)
        console.write(f"{where}: {error.code}: {error.message}")
        if error.code in ("too_many_tasks", "file_too_large"):
            console.say(f"`batchyard split {path}` cuts it into files that fit.")
