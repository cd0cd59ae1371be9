"""Cutting an input into several, and joining the results of several. Lines stay as they are, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from batchyard.content.lines import read_lines
from batchyard_cli.exits import CommandFailed
from batchyard_cli.uploading import chunks


class Piece(NamedTuple):
    path: Path
    items: int
    bytes: int


def split_file(path: Path, folder: Path, items_at_most: int, bytes_at_most: int) -> list[Piece]:
    """Files `<stem>-001.jsonl` and so on, in `folder`. Blank lines are left out. Raises CommandFailed, and leaves no
    file, if a line does not fit or a file exists."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces: list[Piece] = []
    stream: BinaryIO | None = None
    items = size = 0
    made: list[Path] = []
    try:
        for number, line in read_lines(chunks(path), bytes_at_most - 1):
            if line is None:
                raise CommandFailed(
                    f"{path}:{number}: this line alone has more than {bytes_at_most} bytes.",
                    "Make the line shorter, or --bytes larger, if the deployment takes it.",
                    code="line_too_long",
                )
            if stream is None or items == items_at_most or size + len(line) + 1 > bytes_at_most:
                if stream is not None:
                    stream.close()
                    pieces.append(Piece(made[-1], items, size))
                made.append(folder / f"{path.stem}-{len(made) + 1:03d}.jsonl")
                stream, items, size = _new(made), 0, 0
            stream.write(line + b"\n")
            items, size = items + 1, size + len(line) + 1
    except BaseException:
        for each in made:
            each.unlink(missing_ok=True)
        raise
    finally:
        if stream is not None:
            stream.close()
    if stream is not None:
        pieces.append(Piece(made[-1], items, size))
    return pieces


def _new(made: list[Path]) -> BinaryIO:
    try:
        return made[-1].open("xb")
    except FileExistsError:
        taken = made.pop()
        raise CommandFailed(
            f"{taken} exists already.", "Remove it, or name another folder with --out.", code="exists"
        ) from None


class Merged(NamedTuple):
    items: int
    missing: tuple[str, ...]
    """custom_ids of the input that no file has a result of."""


def merge_files(paths: Sequence[Path], target: Path, like: Path | None) -> Merged:
    """Joins result files into `target`: in the order of the input `like`, if it is given. Raises CommandFailed if two
    lines have the same custom_id, or one that the input lacks."""
    places = _places(paths)
    order = list(places) if like is None else [_custom_id(line, like, n) for n, line in _lines(like)]
    strange = places.keys() - set(order)
    if strange:
        raise CommandFailed(
            f"{len(strange)} results are of no line of {like}, for example {min(strange)!r}.",
            "Name the input that these results are of, or leave --like out.",
            code="not_of_this_input",
        )
    beside = target.with_name(f"{target.name}.part")
    streams = {path: path.open("rb") for path in paths}
    found = [custom_id for custom_id in order if custom_id in places]
    try:
        with beside.open("wb") as out:
            for custom_id in found:
                path, start, length = places[custom_id]
                streams[path].seek(start)
                out.write(streams[path].read(length).rstrip(b"\r\n") + b"\n")
    finally:
        for stream in streams.values():
            stream.close()
    beside.replace(target)
    return Merged(len(found), tuple(custom_id for custom_id in order if custom_id not in places))


def _places(paths: Sequence[Path]) -> dict[str, tuple[Path, int, int]]:
    """custom_id -> where its line is: path, first byte, length."""
    places: dict[str, tuple[Path, int, int]] = {}
    for path in paths:
        start = 0
        with path.open("rb") as stream:
            for number, raw in enumerate(stream, start=1):
                if raw.strip():
                    custom_id = _custom_id(raw, path, number)
                    if custom_id in places:
                        raise CommandFailed(
                            f"{path}:{number}: {custom_id!r} has a result already, in {places[custom_id][0]}.",
                            "Name each file of results once, and only those of one input.",
                            code="duplicate_custom_id",
                        )
                    places[custom_id] = (path, start, len(raw))
                start += len(raw)
    return places


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as stream:
        yield from ((number, raw) for number, raw in enumerate(stream, start=1) if raw.strip())


def _custom_id(raw: bytes, path: Path, number: int) -> str:
    try:
        fields = json.loads(raw.removeprefix(b"\xef\xbb\xbf"))
        return str(fields["customer_item_id" if "customer_item_id" in fields else "custom_id"])
    except (ValueError, KeyError, TypeError):
        raise CommandFailed(
            f"{path}:{number}: this line has no custom_id.", "Name JSONL files of a batch only.", code="invalid_line"
        ) from None
