"""A job's results on disk: they come in any order and are stored shard by shard."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from types import TracebackType
from typing import Self


class Spool:
    """A temporary file, and where in it each item's line is. Use as a context manager."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by __exit__
        self._places: dict[int, dict[int, tuple[int, int]]] = defaultdict(dict)
        self._end = 0

    def add(self, shard: int, position: int, line: bytes) -> None:
        """Of an item that comes twice the first line counts."""
        if position in self._places[shard]:
            return
        self._file.write(line)
        self._places[shard][position] = self._end, len(line)
        self._end += len(line)

    @property
    def items(self) -> int:
        """How many have a line."""
        return sum(len(places) for places in self._places.values())

    @property
    def is_empty(self) -> bool:
        return not self._places

    def holds(self, shard: int) -> bool:
        return shard in self._places

    def has(self, shard: int, position: int) -> bool:
        return self.holds(shard) and position in self._places[shard]

    def line(self, shard: int, position: int) -> bytes | None:
        if not self.has(shard, position):
            return None
        offset, length = self._places[shard][position]
        self._file.seek(offset)
        line = self._file.read(length)
        self._file.seek(self._end)
        return line

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
