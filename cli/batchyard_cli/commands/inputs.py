"""`check`: what is wrong with a file, before anything is sent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from batchyard_cli.command import FILE, Session, command, lines_options
from batchyard_cli.exits import Done, Exit
from batchyard_cli.forms import DIALECTS
from batchyard_cli.texts import size

if TYPE_CHECKING:
    from batchyard.core.items import LineError
    from batchyard_cli.checking import Checked
    from batchyard_cli.console import Console


@command()
@click.argument("file", type=FILE)
@lines_options
@click.option("--offline", is_flag=True, help="Ask the deployment neither for its limits nor for its models.")
def check(session: Session, file: str, lines: str | None, endpoint: str | None, offline: bool) -> Done:
    """Check FILE by the server's own rules: each wrong line with its number, and what to do about it."""
    from batchyard_cli import checking

    path = Path(file)
    api = None if offline else session.api_if_signed_in()
    checked = checking.check_file(path, checking.form_of(path, lines, endpoint), api)
    tell(checked, path, session.console)
    if checked.errors:
        session.console.warn(f"{path} would be refused. Nothing was sent.")
    else:
        form = checked.form
        what = form.endpoint if form.dialect == "openai" else DIALECTS[form.dialect].title
        session.console.write(f"{path} is good: {checked.items:,} items, {size(checked.bytes)}, {what}")
    if not checked.models_known:
        session.console.say("The deployment's own limits and models were not asked for: that needs `batchyard login`.")
    return Done(
        {
            "file": file,
            "valid": not checked.errors,
            "items": checked.items,
            "bytes": checked.bytes,
            "lines": checked.form.dialect,
            "endpoint": checked.form.endpoint,
            "errors": len(checked.errors),
            "models_checked": checked.models_known,
        },
        Exit.FAILED if checked.errors else Exit.FINE,
    )


def tell(checked: Checked, path: Path, console: Console) -> None:
    """Each error as compilers write it, FILE:LINE: code: message; and how a line is written."""
    for error in checked.errors:
        fields = {"line": error.line, "code": error.code, "message": error.message, "param": error.param}
        console.line("error", fields)
        where = f"{path}:{error.line}" if error.line else str(path)
        console.write(f"{where}: {error.code}: {error.message}{_field(error)}")
        if error.code in ("too_many_tasks", "file_too_large"):
            console.say(f"`batchyard split {path}` cuts it into files that fit.")
    if any(error.line for error in checked.errors):
        dialect = DIALECTS[checked.form.dialect]
        console.say(f"Read as lines in {dialect.title}, such as {dialect.example}; --lines names another form.")


def _field(error: LineError) -> str:
    """What a message is about, if it does not say so: some dialects' do not."""
    is_said = not error.line or not error.param or error.param.rpartition(".")[2] in error.message
    return "" if is_said else f" ({error.param})"
