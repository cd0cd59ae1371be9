"""Brings a batch's results: the output file, and the error file if there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from batchyard_cli.api import Api
from batchyard_cli.console import Console
from batchyard_cli.exits import CommandFailed
from batchyard_cli.texts import size

KINDS = (("output", "output_file_id"), ("errors", "error_file_id"))


def bring(batch: dict[str, Any], folder: Path, stem: str, api: Api, console: Console) -> dict[str, str]:
    """kind -> path of each file that was written: `<stem>.output.jsonl`, `<stem>.errors.jsonl`."""
    written = {}
    for kind, member in KINDS:
        if batch.get(member):
            folder.mkdir(parents=True, exist_ok=True)
            target = folder / f"{stem}.{kind}.jsonl"
            try:
                count = api.download(f"/files/{batch[member]}/content", target)
            except OSError as error:
                raise CommandFailed(
                    f"{target} cannot be written: {error}.",
                    f"Make room, or name another folder: `batchyard results {batch['id']} --out FOLDER`.",
                    code="not_written",
                ) from error
            written[kind] = str(target)
            console.say(f"{kind} in {target} ({size(count)})")
    return written
