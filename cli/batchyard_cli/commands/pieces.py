"""`split` and `merge`: for files over a limit."""

from __future__ import annotations

from pathlib import Path

import click

from batchyard_cli.command import FILE, Session, command
from batchyard_cli.exits import Done, Exit


@command()
@click.argument("file", type=FILE)
@click.option("--items", type=click.IntRange(1), default=50_000, show_default=True, help="Most lines of a piece.")
@click.option("--bytes", "most_bytes", type=click.IntRange(2), default=500_000_000, show_default=True)
@click.option("--out", "-o", type=click.Path(file_okay=False, path_type=Path), default=".", help="Folder.")
def split(session: Session, file: str, items: int, most_bytes: int, out: Path) -> Done:
    """Cut FILE into FILE-001.jsonl, FILE-002.jsonl and so on, each within the limits. No line is changed."""
    from batchyard_cli.pieces import split_file

    pieces = split_file(Path(file), out, items, most_bytes)
    rows = [{"file": str(each.path), "items": each.items, "bytes": each.bytes} for each in pieces]
    session.console.table("piece", ("file", "items", "bytes"), rows, f"{file} has no lines.")
    if rows:
        session.console.say("`batchyard run` each of them, then `batchyard merge` their results.")
    return Done({"pieces": len(rows), "items": sum(each.items for each in pieces)})


@command()
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option("--out", "-o", "target", type=click.Path(dir_okay=False, path_type=Path), required=True)
@click.option("--like", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The input, for its order.")
def merge(session: Session, files: tuple[str, ...], target: Path, like: Path | None) -> Done:
    """Join the results FILES (output and error files) into one. With --like INPUT in its order, and nothing missing."""
    from batchyard_cli.pieces import merge_files

    merged = merge_files([Path(file) for file in files], target, like)
    session.console.write(f"{merged.items:,} results in {target}")
    if merged.missing:
        shown = ", ".join(merged.missing[:5])
        session.console.warn(f"{len(merged.missing):,} lines of {like} have no result: {shown}")
        session.console.say("Name the error files, too; `batchyard show BATCH` says whether the batch is over.")
    fields = {"items": merged.items, "missing": len(merged.missing), "file": str(target)}
    return Done(fields, Exit.FAILED if merged.missing else Exit.FINE)
