"""The bucket in memory, for what makes millions of calls. It passes the contract tests of `Objects`
(tests/adapters/test_stand_ins.py)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, cast

from batchyard.adapters.aws.objects import ObjectChanged, ObjectInfo, ObjectMissing, Objects, Span


@dataclass
class MemoryObjects:
    """Stands for `Objects`."""

    stored: dict[str, bytes] = field(default_factory=dict)
    bucket: str = "memory"

    def put(self, key: str, data: bytes, content_type: str | None = None) -> None:
        self.stored[key] = data

    def get(
        self, key: str, start: int | None = None, length: int | None = None, *, version_id: str | None = None
    ) -> bytes:
        assert version_id is None, "no versions are kept"
        if length == 0:
            return b""
        if key not in self.stored:
            raise ObjectMissing(key)
        first = start or 0
        return self.stored[key][first : None if length is None else first + length]

    def get_many(self, spans: Iterable[Span], *, at_most: int, held_bytes: int) -> Iterator[bytes]:
        for span in spans:
            yield self.get(*span)

    def stream(self, key: str, chunk_bytes: int = 1000) -> Iterator[bytes]:
        data = self.get(key)
        for start in range(0, len(data), chunk_bytes):
            if self.stored.get(key) is not data:
                raise ObjectMissing(key) if key not in self.stored else ObjectChanged(key)
            yield data[start : start + chunk_bytes]

    def head(self, key: str, *, version_id: str | None = None) -> ObjectInfo | None:
        assert version_id is None, "no versions are kept"
        if key not in self.stored:
            return None
        data = self.stored[key]
        return ObjectInfo(len(data), f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"')

    def writer(self, key: str, content_type: str | None = None) -> MemoryWriter:
        return MemoryWriter(self, key)

    def delete(self, key: str) -> None:
        self.stored.pop(key, None)

    def delete_many(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.delete(key)

    def keys(self, prefix: str, *, at_most: int) -> list[str]:
        return sorted(key for key in self.stored if key.startswith(prefix))[:at_most]


class MemoryWriter:
    """Stands for `ObjectWriter`."""

    def __init__(self, objects: MemoryObjects, key: str) -> None:
        self._objects, self._key, self._data = objects, key, bytearray()

    @property
    def bytes_written(self) -> int:
        return len(self._data)

    def __enter__(self) -> Self:
        return self

    def write(self, data: bytes) -> None:
        self._data += data

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._objects.put(self._key, bytes(self._data))


def memory_objects() -> Objects:
    """An empty bucket, typed as what it stands for."""
    return cast("Objects", MemoryObjects())
