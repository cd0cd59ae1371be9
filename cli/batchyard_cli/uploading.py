"""Uploads: a small file in one request, a larger one in parts that are kept track of, so that a second call goes on
where the first one stopped.

What is known of an upload that is under way is a file in the user's folder. It is named after the content's MD5 and the
deployment, so a file that was changed is another upload. The MD5 is checked by the API when the parts are joined.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, NamedTuple

from batchyard_cli.api import Api, Refused
from batchyard_cli.console import Console
from batchyard_cli.exits import CommandFailed
from batchyard_cli.limits import limits_of
from batchyard_cli.surroundings import Surroundings
from batchyard_cli.texts import size

AT_ONCE_BYTES = 4_000_000
"""What fits through API Gateway and Lambda in one request."""
_AT_ONCE = 4
_CHUNK_BYTES = 1 << 20
_SAFETY_SECONDS = 60
"""An upload that expires so soon is not gone on with."""

Progress = Callable[[int], None]
"""Told how many bytes are there."""


class Content(NamedTuple):
    """A file as it was when it was read."""

    path: Path
    bytes: int
    md5: str


def read_content(path: Path) -> Content:
    digest, total = hashlib.md5(usedforsecurity=False), 0
    for chunk in chunks(path):
        digest.update(chunk)
        total += len(chunk)
    if total == 0:
        raise CommandFailed(f"{path} is empty.", "Write a request into each line.", code="empty_file")
    return Content(path, total, digest.hexdigest())


def chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            yield chunk


def upload(path: Path, api: Api, console: Console, surroundings: Surroundings) -> str:
    """The id of the file that the API made of it."""
    content = read_content(path)
    if content.bytes <= AT_ONCE_BYTES:
        made = api.send_file("/files", path.name, path.read_bytes(), member="file", purpose="batch")
    else:
        made = _in_parts(content, api, console, surroundings)
    console.say(f"uploaded {path} as {made['id']} ({size(content.bytes)})")
    return str(made["id"])


def _in_parts(content: Content, api: Api, console: Console, surroundings: Surroundings) -> Any:
    part_bytes = min(AT_ONCE_BYTES, limits_of(api).max_upload_part_bytes)
    under_way = _UnderWay(content, part_bytes, api, surroundings)
    for _ in range(2):
        if not under_way.upload_id:
            under_way.begin()
        elif under_way.parts:
            console.say(f"going on with an upload that has {len(under_way.parts)} of {under_way.total} parts")
        try:
            _send_missing(under_way, api, console)
            done = api.post(f"/uploads/{under_way.upload_id}/complete", under_way.completion())
        except Refused as refusal:
            if not under_way.is_resumed or refusal.status not in (400, 404):
                raise
            under_way.forget()  # what was kept is of an upload that the API knows no more
            continue
        under_way.forget()
        return done["file"]
    raise AssertionError("an upload that was just begun is not resumed")


def _send_missing(under_way: _UnderWay, api: Api, console: Console) -> None:
    """Several parts at once. The first fault stops those that have not begun; Ctrl-C does, too."""
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        tasks = [pool.submit(_send_part, number, under_way, api, console) for number in under_way.missing()]
        wait(tasks, return_when=FIRST_EXCEPTION)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _send_part(number: int, under_way: _UnderWay, api: Api, console: Console) -> None:
    part = api.send_file(f"/uploads/{under_way.upload_id}/parts", "part", under_way.data_of(number), member="data")
    there = under_way.sent(number, part["id"])
    total = under_way.content.bytes
    console.progress(
        "uploading",
        f"uploading  {size(there)} of {size(total)}  {there * 100 // total}%",
        {"phase": "uploading", "bytes": there, "total_bytes": total},
    )


class _UnderWay:
    """An upload in parts, as far as it is."""

    def __init__(self, content: Content, part_bytes: int, api: Api, surroundings: Surroundings) -> None:
        self.content = content
        self.total = -(-content.bytes // part_bytes)
        self._part_bytes = part_bytes
        self._api = api
        self._now = surroundings.now
        self._lock = threading.Lock()
        whose = hashlib.sha256(f"{api.address} {api.account_hint}".encode()).hexdigest()[:8]
        self._file = surroundings.folder / "uploads" / f"{content.md5}-{whose}.json"
        self.upload_id, self._expires_at, self.parts = self._read()
        self.is_resumed = bool(self.upload_id)

    def begin(self) -> None:
        made = self._api.post(
            "/uploads",
            {
                "filename": self.content.path.name,
                "purpose": "batch",
                "bytes": self.content.bytes,
                "mime_type": "application/jsonl",
            },
        )
        self.upload_id, self._expires_at, self.parts, self.is_resumed = made["id"], made["expires_at"], {}, False
        self._write()

    def missing(self) -> list[int]:
        return [number for number in range(self.total) if number not in self.parts]

    def data_of(self, number: int) -> bytes:
        with self.content.path.open("rb") as stream:
            stream.seek(number * self._part_bytes)
            return stream.read(self._part_bytes)

    def sent(self, number: int, part_id: str) -> int:
        """Notes a part; how many bytes are there."""
        with self._lock:
            self.parts[number] = part_id
            self._write()
            short = self.total * self._part_bytes - self.content.bytes if self.total - 1 in self.parts else 0
            return len(self.parts) * self._part_bytes - short

    def completion(self) -> dict[str, Any]:
        return {"part_ids": [self.parts[number] for number in range(self.total)], "md5": self.content.md5}

    def forget(self) -> None:
        self._file.unlink(missing_ok=True)
        self.upload_id, self.parts, self.is_resumed = "", {}, False

    def _read(self) -> tuple[str, int, dict[int, str]]:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(self._file.read_text())
            if kept["expires_at"] > self._now() + _SAFETY_SECONDS and kept["part_bytes"] == self._part_bytes:
                return kept["upload_id"], kept["expires_at"], {int(n): str(part) for n, part in kept["parts"].items()}
        return "", 0, {}

    def _write(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = self._file.with_suffix(".new")
        kept = {"upload_id": self.upload_id, "expires_at": self._expires_at, "part_bytes": self._part_bytes}
        beside.write_text(json.dumps(kept | {"parts": self.parts}))
        beside.replace(self._file)
