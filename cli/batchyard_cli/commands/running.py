"""`run`, `submit`, `watch`: a file goes out as a batch, and comes back as results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batchyard_cli.command import FILE, Session, command, lines_options
from batchyard_cli.exits import CommandFailed, Done, Exit, interrupted
from batchyard_cli.forms import Form, our_id

if TYPE_CHECKING:
    from batchyard_cli.creating import Wishes


@dataclass(frozen=True)
class Sending:
    """How a file is to be sent."""

    lines: str | None
    endpoint: str | None
    metadata: tuple[str, ...]
    concurrency: int | None
    identical_once: bool
    no_check: bool


def sending_options(function: Any) -> Any:
    for option in (
        click.option("--metadata", "-m", multiple=True, metavar="NAME=VALUE", help="Kept with the batch."),
        click.option("--concurrency", type=click.IntRange(1, 10_000), help="Most calls in flight at once."),
        click.option(
            "--identical-once", is_flag=True, help="Send lines with the same body once; all have that result."
        ),
        click.option("--no-check", is_flag=True, help="Leave the check of the file to the server."),
        lines_options,
    ):
        function = option(function)
    return function


OUT = click.option("--out", "-o", type=click.Path(file_okay=False, path_type=Path), default=".", help="Folder.")


@command()
@click.argument("file", type=FILE)
@OUT
@sending_options
def run(session: Session, file: str, out: Path, **options: Any) -> Done:
    """Check FILE, send it as a batch, show how it goes, and bring the results.

    Ctrl-C while it is sent: call it again, and it goes on where it was. Ctrl-C later: the batch goes on without you,
    and `batchyard watch` attaches again. Results: FILE's name with `.output.jsonl` and `.errors.jsonl`.
    """
    batch, form = _send(session, Path(file), Sending(**options))
    return _follow(session, batch, f"created {batch['id']}", _Place(out, Path(file).stem, form.dialect))


@command()
@click.argument("file", type=FILE)
@sending_options
def submit(session: Session, file: str, **options: Any) -> Done:
    """Send FILE as a batch, print the batch's id, and do not wait."""
    batch, _ = _send(session, Path(file), Sending(**options))
    session.console.write(batch["id"])
    session.console.say(f"`batchyard watch {batch['id']}` shows how it goes.")
    return Done({"batch": batch})


@command()
@click.argument("batch")
@OUT
@click.option("--no-results", is_flag=True, help="Only watch.")
def watch(session: Session, batch: str, out: Path, no_results: bool) -> Done:
    """Show how BATCH goes until it ends, then bring its results. Ctrl-C detaches; the batch goes on."""
    found = session.api().get(f"/batches/{our_id(batch)}")
    place = None if no_results else _Place(out, found["id"])
    return _follow(session, found, f"attached to {found['id']}", place)


def _send(session: Session, path: Path, sending: Sending) -> tuple[dict[str, Any], Form]:
    from batchyard_cli import checking, creating, uploading

    api, wishes = session.api(), _wishes(sending)
    form = checking.form_of(path, sending.lines, sending.endpoint)
    creating.check_wishes(form, wishes)
    try:
        if not sending.no_check:
            _check(session, path, form)
        file_id = uploading.upload(path, api, session.console, session.surroundings)
    except KeyboardInterrupt:
        raise interrupted(
            "Stopped before anything was started; what was uploaded is kept for an hour.",
            f"`batchyard run {path}` goes on where this stopped.",
        ) from None
    try:
        return creating.create(form, file_id, wishes, api), form
    except KeyboardInterrupt:
        raise interrupted(
            "Stopped while the batch was being created: it may be there.",
            "`batchyard ls` shows it, `batchyard watch` attaches to it; do not send the file again before.",
        ) from None


def _check(session: Session, path: Path, form: Form) -> None:
    from batchyard_cli import checking
    from batchyard_cli.commands.inputs import tell

    checked = checking.check_file(path, form, session.api())
    if checked.errors:
        tell(checked, path, session.console)
        raise CommandFailed(
            f"{path} has errors; nothing was sent.",
            f"Mend the lines above, and `batchyard check {path}` until it is good. (--no-check sends it as it is.)",
            code="invalid_file",
        )


@dataclass(frozen=True)
class _Place:
    """Where results are brought to. `dialect`: by which the batch was made, if that is known."""

    folder: Path
    stem: str
    dialect: str | None = None


def _follow(session: Session, batch: dict[str, Any], greeting: str, place: _Place | None) -> Done:
    from batchyard_cli import bringing, watching

    console, api = session.console, session.api()
    try:
        console.say(greeting)
        batch = watching.watch(batch, api, console, session.surroundings)
    except KeyboardInterrupt:
        raise watching.detached(batch["id"]) from None
    try:
        files = bringing.bring(batch, place.folder, place.stem, api, console, dialect=place.dialect) if place else {}
    except KeyboardInterrupt:
        raise interrupted(
            f"{batch['id']} is {batch['status']}; its results were not brought.",
            f"`batchyard results {batch['id']}` brings them.",
        ) from None
    watching.summary(batch, console.write)
    done = watching.ended(batch, files)
    if done.exit is Exit.FAILED_ITEMS:
        console.warn(_about_failures(batch, files))
    return done


def _about_failures(batch: dict[str, Any], files: dict[str, str]) -> str:
    failed = batch["request_counts"]["failed"]
    where = files.get("errors")
    return (
        f"{failed:,} items have failed: {where} says why, line by line." if where else f"{failed:,} items have failed."
    )


def _wishes(sending: Sending) -> Wishes:
    from batchyard_cli.creating import Wishes

    settings: dict[str, Any] = {}
    if sending.concurrency:
        settings["concurrency"] = sending.concurrency
    if sending.identical_once:
        settings["identical_once"] = True
    return Wishes(_pairs(sending.metadata), settings)


def _pairs(metadata: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for pair in metadata:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise CommandFailed(f"'{pair}' is no metadata.", "Write it as NAME=VALUE.", code="usage")
        pairs[name] = value
    return pairs
