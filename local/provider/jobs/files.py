"""The files of vendors: what clients upload, and what jobs leave behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local.provider.answering import Caller
from local.provider.wire import Refused


@dataclass(slots=True)
class File:
    id: str
    caller: Caller
    name: str
    purpose: str
    created_at: float
    content: bytes
    expires_at: float | None = None
    is_deleted: bool = False


class Files:
    def __init__(self, name_of: Callable[[int], str]) -> None:
        """`name_of` makes the number of a file its random-looking part of an id."""
        self._name_of = name_of
        self._files: dict[str, File] = {}

    def add(self, caller: Caller, prefix: str, name: str, purpose: str, content: bytes, now: float) -> File:
        file = File(prefix + self._name_of(len(self._files)), caller, name, purpose, now, content)
        self._files[file.id] = file
        return file

    def get(self, caller: Caller, file_id: str) -> File:
        """Raises Refused unless it is there and the caller's."""
        file = self._files.get(file_id)
        if file is None or file.caller != caller or file.is_deleted:
            raise Refused(404, f"No such File object: {file_id}", param="id")
        return file

    def find(self, file_id: str) -> File | None:
        """Whoever's it is."""
        return self._files.get(file_id)

    def delete(self, caller: Caller, file_id: str) -> File:
        """Its name stays, its content goes."""
        file = self.get(caller, file_id)
        file.is_deleted, file.content = True, b""
        return file

    def of(self, caller: Caller) -> list[File]:
        """Newest first."""
        return [file for file in reversed(self._files.values()) if file.caller == caller and not file.is_deleted]

    def to_dicts(self) -> list[dict[str, Any]]:
        """For tests: the deleted ones, too."""
        return [
            {
                "id": file.id,
                "provider": file.caller.provider,
                "name": file.name,
                "purpose": file.purpose,
                "bytes": len(file.content),
                "deleted": file.is_deleted,
            }
            for file in self._files.values()
        ]
