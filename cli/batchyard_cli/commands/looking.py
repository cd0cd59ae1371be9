"""`ls`, `show`, `results`, `cancel`: batches that were made."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from batchyard_cli.command import Session, command
from batchyard_cli.exits import CommandFailed, Done
from batchyard_cli.forms import our_id
from batchyard_cli.texts import moment

_COLUMNS = ("id", "status", "done", "failed", "total", "cost_usd", "created")
_MOST_PER_PAGE = 100


@command()
@click.option("--limit", "-n", type=click.IntRange(1), default=20, show_default=True, help="How many at most.")
@click.option("--status", help="Only those in this status.")
def ls(session: Session, limit: int, status: str | None) -> Done:
    """List your batches, newest first."""
    from batchyard_cli.watching import cost_of, done_items, total_items

    api, rows, after = session.api(), list[dict[str, Any]](), None
    while len(rows) < limit:
        page = api.get(
            "/batches", limit=_MOST_PER_PAGE if status else min(limit - len(rows), _MOST_PER_PAGE), after=after
        )
        for batch in page["data"]:
            if status in (None, batch["status"]) and len(rows) < limit:
                rows.append(
                    {
                        "id": batch["id"],
                        "status": batch["status"],
                        "done": done_items(batch),
                        "failed": batch["request_counts"]["failed"],
                        "total": total_items(batch),
                        "cost_usd": cost_of(batch),
                        "created": moment(batch["created_at"]),
                        "created_at": batch["created_at"],
                        "metadata": batch.get("metadata"),
                    }
                )
        if not page["has_more"]:
            break
        after = page["last_id"]
    session.console.table("batch", _COLUMNS, rows, "You have no batches yet: `batchyard run FILE` makes one.")
    return Done({"count": len(rows)})


@command()
@click.argument("batch")
def show(session: Session, batch: str) -> Done:
    """Everything about BATCH: figures, times, lanes, why it waits, what is wrong."""
    from batchyard_cli import watching

    found = session.api().get(f"/batches/{our_id(batch)}")
    write = session.console.write
    watching.summary(found, write)
    for name, value in (
        ("endpoint", found.get("endpoint")),
        ("model", found.get("model")),
        ("input", found.get("input_file_id")),
        ("output", found.get("output_file_id")),
        ("errors", found.get("error_file_id")),
        ("deadline", moment(found.get("expires_at"))),
        *((f"meta {name}", value) for name, value in (found.get("metadata") or {}).items()),
    ):
        if value:
            write(f"  {name:<10} {value}")
    for name, at in watching.times(found):
        write(f"  {at}  {name}")
    lanes = [
        {**lane, "done": f"{lane['done_percent']}%", "reason": lane["reason"] or "-"}
        for lane in found.get("lanes") or []
    ]
    if lanes:
        session.console.table("lane", ("provider", "model", "mode", "items", "done", "state", "reason"), lanes, "")
    for wait in found.get("waiting_for") or []:
        session.console.warn(f"{wait['state']}: {wait['message']}")
    return Done({"batch": found})


@command()
@click.argument("batch")
@click.option("--out", "-o", type=click.Path(file_okay=False, path_type=Path), default=".", help="Folder.")
@click.option("--stdout", is_flag=True, help="Their lines to stdout instead.")
def results(session: Session, batch: str, out: Path, stdout: bool) -> Done:
    """Download the results of BATCH: BATCH.output.jsonl and BATCH.errors.jsonl, on lines as its dialect has them."""
    from batchyard_cli import bringing, watching

    api, console = session.api(), session.console
    found = api.get(f"/batches/{our_id(batch)}")
    if found["status"] not in watching.TERMINAL:
        raise CommandFailed(
            f"{found['id']} is {found['status']}: its results are not there yet.",
            f"`batchyard watch {found['id']}` waits for them and brings them.",
            code="not_over",
        )
    if not stdout:
        return watching.ended(found, bringing.bring(found, out, found["id"], api, console))
    _to_stdout(bringing.all_results(found, api), console.as_json)
    return watching.ended(found, {})


@command()
@click.argument("batch")
def cancel(session: Session, batch: str) -> Done:
    """Stop BATCH. What is done is kept, and comes with `results`."""
    found = session.api().post(f"/batches/{our_id(batch)}/cancel")
    session.console.write(f"{found['id']} is {found['status']}")
    session.console.say(f"`batchyard watch {found['id']}` waits for its end and brings what was done.")
    return Done({"batch": found})


def _to_stdout(content: Any, as_json: bool) -> None:
    """The bytes as they are; with `--json` each line as an object of type `item`."""
    stream = sys.stdout.buffer
    if not as_json:
        for data in content:
            stream.write(data)
        stream.flush()
        return
    rest = b""
    for data in content:
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            stream.write(b'{"type": "item", "line": ' + line + b"}\n")
    if rest:
        stream.write(b'{"type": "item", "line": ' + rest + b"}\n")
    stream.flush()
