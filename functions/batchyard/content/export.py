"""Export: rows into one file, packed as asked for, in flat memory.

A small file becomes the reply; a larger one becomes an object under `exports/`, from where the client fetches it.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.writer import ObjectWriter
from batchyard.core.requests import Packing

_PIECE_BYTES = 256 * 1024
_LEVEL = 1
"""How hard zlib tries: a third of the time of its default, for a tenth more bytes."""
_GZIP = 31
"""zlib's window bits for a gzip header; it writes no time, so the same rows are the same bytes."""


class Sink(Protocol):
    """Takes bytes in order."""

    def write(self, data: bytes, /) -> object: ...


@dataclass(frozen=True, slots=True)
class Target:
    """The object that a large file is written to."""

    key: str
    content_type: str


class Spool:
    """Keeps up to `max_inline_bytes` in memory; a longer file goes to the target, all of it. Use as a context manager;
    afterwards `data` is the whole file, or None if it is the target's object."""

    def __init__(self, target: Target, max_inline_bytes: int, objects: Objects) -> None:
        self._target = target
        self._max_inline_bytes = max_inline_bytes
        self._objects = objects
        self._pieces: list[bytes] = []
        self._writer: ObjectWriter | None = None
        self._stack = ExitStack()
        self.bytes_written = 0
        self.data: bytes | None = None

    def __enter__(self) -> Self:
        self._stack.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, traceback)
        if self._writer is None:
            self.data = b"".join(self._pieces)

    def write(self, data: bytes) -> int:
        self.bytes_written += len(data)
        if self._writer is not None:
            self._writer.write(data)
            return len(data)
        self._pieces.append(data)
        if self.bytes_written > self._max_inline_bytes:
            writer = self._objects.writer(self._target.key, self._target.content_type)
            self._writer = self._stack.enter_context(writer)
            for piece in self._pieces:
                self._writer.write(piece)
            self._pieces = []
        return len(data)


def pack(rows: Iterable[bytes], packing: Packing, name: str, sink: Sink) -> None:
    """Writes rows to `sink`, each on a line of its own. A ZIP has them in a file called `name`."""
    lines = (row + b"\n" for row in rows)
    match packing:
        case Packing.PLAIN:
            for piece in _pieces(lines):
                sink.write(piece)
        case Packing.GZIP:
            compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
            for piece in _pieces(lines):
                if compressed := compressor.compress(piece):
                    sink.write(compressed)
            sink.write(compressor.flush())
        case Packing.ZIP:
            _zip(lines, name, sink)


def join(rows: Iterable[bytes], head: bytes, separator: bytes, tail: bytes, sink: Sink) -> None:
    """Writes `head`, the rows with `separator` between them, and `tail`."""
    sink.write(head)
    before = b""
    for piece in _pieces(rows, separator):
        sink.write(before + piece)
        before = separator
    sink.write(tail)


def _zip(lines: Iterator[bytes], name: str, sink: Sink) -> None:
    with (
        zipfile.ZipFile(_Forward(sink), "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive,
        archive.open(name, "w", force_zip64=True) as entry,
    ):
        for piece in _pieces(lines):
            entry.write(piece)


class _Forward:
    """A sink as zipfile wants it: a file that cannot seek."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, data: bytes) -> int:
        self._sink.write(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held here."""

    def close(self) -> None:
        """The sink is somebody else's to close."""


def _pieces(rows: Iterable[bytes], separator: bytes = b"") -> Iterator[bytes]:
    """Rows joined into larger pieces, because each call of a sink costs time."""
    held: list[bytes] = []
    size = 0
    for row in rows:
        held.append(row)
        size += len(row)
        if size >= _PIECE_BYTES:
            yield separator.join(held)
            held, size = [], 0
    if held:
        yield separator.join(held)
