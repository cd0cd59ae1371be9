"""Brings a batch's results, on lines as the dialect has them by which it was made: the output file, and the error file
if there is one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from batchyard_cli.api import Api, Refused
from batchyard_cli.console import Console
from batchyard_cli.creating import ANTHROPICS_VERSION
from batchyard_cli.exits import CommandFailed
from batchyard_cli.texts import size

KINDS = (("output", "output_file_id"), ("errors", "error_file_id"))


def dialect_of_batch(batch: dict[str, Any], api: Api) -> str:
    """By which it was made; `openai` if the deployment does not say."""
    try:
        return str(api.get(api.beside(f"/dashboard/api/batches/{batch['id']}"))["surface"])
    except Refused as refusal:
        if refusal.status != 404:
            raise
        return "openai"


def bring(
    batch: dict[str, Any], folder: Path, stem: str, api: Api, console: Console, *, dialect: str | None = None
) -> dict[str, str]:
    """kind -> path of each file that was written: `<stem>.output.jsonl`, `<stem>.errors.jsonl`. `dialect`: by which the
    batch was made, if that is known."""
    kinds = [(kind, member) for kind, member in KINDS if batch.get(member)]
    if not kinds:
        return {}
    targets = {kind: folder / f"{stem}.{kind}.jsonl" for kind, _ in KINDS}
    whole = _whole(batch, dialect or dialect_of_batch(batch, api), api)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if whole is None:
            sizes = {kind: api.download(f"/files/{batch[member]}/content", targets[kind]) for kind, member in kinds}
        else:
            sizes = _sort(whole, targets)
    except OSError as error:
        raise CommandFailed(
            f"The results cannot be written into {folder}: {error}.",
            f"Make room, or name another folder: `batchyard results {batch['id']} --out FOLDER`.",
            code="not_written",
        ) from error
    for kind, count in sizes.items():
        console.say(f"{kind} in {targets[kind]} ({size(count)})")
    return {kind: str(targets[kind]) for kind in sizes}


def all_results(batch: dict[str, Any], api: Api) -> Iterator[bytes]:
    """The bytes of all result lines."""
    members = [member for _, member in KINDS if batch.get(member)]
    whole = _whole(batch, dialect_of_batch(batch, api), api) if members else None
    if whole is not None:
        yield from whole
        return
    for member in members:
        yield from api.stream(f"/files/{batch[member]}/content")


def _whole(batch: dict[str, Any], dialect: str, api: Api) -> Iterator[bytes] | None:
    """All results, in the order of the input, where a dialect has them so; None: they are in two files."""
    match dialect:
        case "anthropic":
            return api.stream(f"/messages/batches/{batch['id']}/results", headers=ANTHROPICS_VERSION)
        case "batchrouter":
            return api.stream_elsewhere(api.get(f"/batches/{batch['id']}/artifact-url")["url"])
        case "kushrouter":
            return api.stream(api.beside(f"/api/v1/batches/{batch['id']}/export"))
        case _:
            return None


def _sort(whole: Iterator[bytes], targets: dict[str, Path]) -> dict[str, int]:
    """Writes the lines of items that succeeded into the output file, all others into the error file. How many bytes
    each has; a file that would have none is not made."""
    beside = {kind: path.with_name(f"{path.name}.part") for kind, path in targets.items()}
    sizes = dict.fromkeys(targets, 0)
    try:
        with ExitStack() as stack:
            streams = {kind: stack.enter_context(path.open("wb")) for kind, path in beside.items()}
            for line in _lines(whole):
                kind = "output" if _has_succeeded(line) else "errors"
                sizes[kind] += streams[kind].write(line + b"\n")
    except BaseException:
        for path in beside.values():
            path.unlink(missing_ok=True)
        raise
    for kind, path in beside.items():
        if sizes[kind]:
            path.replace(targets[kind])
        else:
            path.unlink()
    return {kind: count for kind, count in sizes.items() if count}


def _lines(whole: Iterator[bytes]) -> Iterator[bytes]:
    pieces: list[bytes] = []
    for data in whole:
        first, *others = data.split(b"\n")
        pieces.append(first)
        for other in others:
            if line := b"".join(pieces):
                yield line
            pieces = [other]
    if line := b"".join(pieces):
        yield line


def _has_succeeded(line: bytes) -> bool:
    """Anthropic says it in the result, the others beside it."""
    row = json.loads(line)
    return bool((row["status"] if "status" in row else row["result"]["type"]) == "succeeded")
