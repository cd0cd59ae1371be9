"""`make size`: a batch as large as the default limits allow, through the whole product, and what it took.

50,000 lines of 10,000 bytes, 500 MB: sent by a presigned upload and in 4 MB parts, validated, run with answers as long
as the questions, finalized, and downloaded as files, as one page of results and as an export in each packing. Every
byte that comes back is counted. Prints the seconds of each step and the peak memory of each function, and exits with 1
if a function needed more than it may. `--megabytes` makes it smaller.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import platform
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

import httpx
import orjson
from openai import OpenAI
from openai.types import Batch

from local.cloud import LocalCloud
from local.options import realtime_only
from local.provider import SimulatedProvider

MOST_BYTES = 512_000_000
"""The most memory that any function may need."""
LINE_BYTES = 10_000
ANSWER_TOKENS = 2_350
"""At four characters a token, an answer is about as long as a line."""
DOCUMENT = Path(__file__).parents[1] / "docs" / "size.md"
BEGIN, END = "<!-- measured: make size writes this -->", "<!-- end of what make size writes -->"

_PART_BYTES = 4_000_000
_CHUNK_BYTES = 1 << 20
_POLL_SECONDS = 0.5
_ASK_AT_MOST = 20
_TERMINAL = frozenset({"completed", "failed", "expired", "cancelled"})
_ENDPOINT: Final = "/v1/chat/completions"


@dataclass
class Run:
    """What was measured. `steps`: (what, bytes, seconds). `peaks`: function -> bytes."""

    items: int
    steps: list[tuple[str, int, float]] = field(default_factory=list)
    peaks: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def step(self, what: str) -> Iterator[Callable[[int], None]]:
        """Times a `with` block, which reports how many bytes it moved."""
        moved: list[int] = []
        started = time.perf_counter()
        yield moved.append
        seconds = time.perf_counter() - started
        self.steps.append((what, sum(moved), seconds))
        print(f"{what:<58} {sum(moved) / 1e6:8.1f} MB {seconds:8.1f} s", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.size", description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=500)
    megabytes = parser.parse_args().megabytes
    run = Run(megabytes * 1_000_000 // LINE_BYTES)
    with tempfile.TemporaryDirectory(prefix="size-") as name, SimulatedProvider(seed=1) as provider:
        folder = Path(name)
        source = folder / "requests.jsonl"
        write_lines(source, run.items)
        with LocalCloud(provider_url=provider.url, environment=realtime_only()) as cloud:
            with Sender(cloud, run, folder) as sender:
                sender.everything(source)
            run.peaks = {name: use["peak_rss_bytes"] for name, use in cloud.meter()["functions"].items()}
    report = _report(run)
    print("\n" + report)
    if megabytes == 500:
        before, _, rest = DOCUMENT.read_text().partition(BEGIN)
        DOCUMENT.write_text(f"{before}{BEGIN}\n\n{report}\n{END}{rest.partition(END)[2]}")
    over = sorted(name for name, peak in run.peaks.items() if peak > MOST_BYTES)
    if over:
        print(f"over {MOST_BYTES / 1e6:.0f} MB: {', '.join(over)}")
    return 1 if over else 0


class Sender:
    """The customer: sends the batch, waits for it, fetches everything and compares it."""

    def __init__(self, cloud: LocalCloud, run: Run, folder: Path) -> None:
        self._run = run
        self._folder = folder
        self._openai = OpenAI(base_url=f"{cloud.api_url}/v1", api_key=cloud.api_key, timeout=300)
        self._http = httpx.Client(
            base_url=cloud.api_url, headers={"authorization": f"Bearer {cloud.api_key}"}, timeout=300
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._openai.close()
        self._http.close()

    def everything(self, source: Path) -> None:
        presigned = self._send_presigned(source)
        assembled = self._send_in_parts(source)
        for file_id in (presigned, assembled):
            with self._run.step("input file, downloaded by redirect") as moved:
                got = self._fetch(f"/v1/files/{file_id}/content", self._folder / "input")
                moved(got.stat().st_size)
            _require(_digest(got) == _digest(source), "the input came back as something else")
        self._openai.files.delete(presigned)
        batch = self._run_batch(assembled)
        _require(batch.output_file_id is not None, "no output file")
        with self._run.step("output file, downloaded by redirect") as moved:
            output = self._fetch(f"/v1/files/{batch.output_file_id}/content", self._folder / "output")
            moved(output.stat().st_size)
        self._check_lines(_plain(output))
        self._fetch_results(batch.id)
        self._fetch_exports(batch.id)

    def _send_presigned(self, source: Path) -> str:
        with self._run.step("presigned upload") as moved, source.open("rb") as file:
            ticket = self._http.post("/v1/files/presigned", json={"filename": source.name}).raise_for_status().json()
            length = {"content-length": str(source.stat().st_size)}
            httpx.put(ticket["url"], content=_chunks(file), headers=length, timeout=300).raise_for_status()
            found = self._openai.files.retrieve(ticket["file"]["id"])
            _require((found.status, found.bytes) == ("processed", source.stat().st_size), f"{found}")
            moved(found.bytes)
        return found.id

    def _send_in_parts(self, source: Path) -> str:
        with self._run.step("upload in parts of 4 MB, joined") as moved:
            upload = self._openai.uploads.upload_file_chunked(
                file=source, mime_type="application/jsonl", purpose="batch", part_size=_PART_BYTES
            )
            assert upload.file is not None
            found = self._openai.files.wait_for_processing(upload.file.id, poll_interval=_POLL_SECONDS)
            _require((found.status, found.bytes) == ("processed", source.stat().st_size), f"{found}")
            moved(found.bytes)
        return found.id

    def _run_batch(self, file_id: str) -> Batch:
        batch = self._openai.batches.create(input_file_id=file_id, endpoint=_ENDPOINT, completion_window="24h")
        size = self._openai.files.retrieve(file_id).bytes
        while batch.status not in _TERMINAL:
            status = batch.status
            with self._run.step(f"batch {status}") as moved:
                while batch.status == status:
                    time.sleep(_POLL_SECONDS)
                    batch = self._openai.batches.retrieve(batch.id)
                moved(size)
        counts = batch.request_counts
        done = counts is not None and counts.completed == self._run.items
        _require(batch.status == "completed" and done, f"{batch.status}, {counts}, {batch.errors}")
        return batch

    def _fetch_results(self, batch_id: str) -> None:
        with self._run.step("all results as one page, by redirect") as moved:
            path = f"/api/v1/batches/{batch_id}/results?limit={self._run.items}"
            page = self._fetch(path, self._folder / "page")
            moved(page.stat().st_size)
        rows = orjson.loads(page.read_bytes())["results"]
        _require([row["index"] for row in rows] == list(range(self._run.items)), "rows are missing")

    def _fetch_exports(self, batch_id: str) -> None:
        unpackings = {"format=ndjson": _plain, "format=ndjson&gzip=true": _gzipped, "format=zip": _zipped}
        for query, unpack in unpackings.items():
            with self._run.step(f"export, {query}, by redirect") as moved:
                export = self._fetch(f"/api/v1/batches/{batch_id}/export?{query}", self._folder / "export")
                moved(export.stat().st_size)
            self._check_lines(unpack(export))

    def _fetch(self, path: str, target: Path) -> Path:
        """Downloads `path`. Asks again if the gateway has stopped waiting, because the function goes on and keeps the
        reply."""
        for _ in range(_ASK_AT_MOST):
            reply = self._http.get(path)
            if reply.status_code != 504:
                break
            print(f"  504 for {path}: asked again", flush=True)
        if reply.status_code == 200:
            target.write_bytes(reply.content)
            return target
        _require(reply.status_code == 302, f"{path}: {reply.status_code} {reply.text[:300]}")
        with httpx.stream("GET", reply.headers["location"], timeout=300) as stream, target.open("wb") as file:
            stream.raise_for_status()
            for chunk in stream.iter_raw():
                file.write(chunk)
        return target

    def _check_lines(self, lines: Iterator[bytes]) -> None:
        found = sum(1 for line in lines if len(line) > LINE_BYTES / 2)
        _require(found == self._run.items, f"{found} lines of {self._run.items}")


def _plain(path: Path) -> Iterator[bytes]:
    with path.open("rb") as lines:
        yield from lines


def _gzipped(path: Path) -> Iterator[bytes]:
    with gzip.open(path) as lines:
        yield from lines


def _zipped(path: Path) -> Iterator[bytes]:
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as lines:
        yield from lines


def write_lines(path: Path, count: int) -> None:
    with path.open("wb") as file:
        file.writelines(_line(number) for number in range(count))


def _line(number: int) -> bytes:
    """Exactly LINE_BYTES, different for every number."""
    body: dict[str, Any] = {
        "model": "gpt-4o-mini",
        "metadata": {"simulate": f"output:{ANSWER_TOKENS}"},
        "messages": [{"role": "user", "content": ""}],
    }
    line = {"custom_id": f"item-{number:07d}", "method": "POST", "url": _ENDPOINT, "body": body}
    words = hashlib.sha256(f"{number}".encode()).hexdigest() + " and so on "
    missing = LINE_BYTES - len(orjson.dumps(line)) - 1
    body["messages"][0]["content"] = (words * (missing // len(words) + 1))[:missing]
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _chunks(file: Any) -> Iterator[bytes]:
    while data := file.read(_CHUNK_BYTES):
        yield data


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _require(true: bool, what: str) -> None:
    if not true:
        raise SystemExit(what)


def _report(run: Run) -> str:
    day = datetime.now(UTC).date().isoformat()
    lines = [
        f"Measured {day} on {os.cpu_count()} cores ({platform.machine()}, Python {platform.python_version()}): "
        f"{run.items:,} items of",
        f"{LINE_BYTES:,} bytes. The local cloud, the simulated provider and the client share them.",
        "",
        "| step | MB | seconds |",
        "| --- | ---: | ---: |",
        *(f"| {what} | {size / 1e6:.0f} | {seconds:.1f} |" for what, size, seconds in run.steps),
        "",
        "| function | peak memory |",
        "| --- | ---: |",
        *(f"| {name} | {peak / 1e6:.0f} MB |" for name, peak in sorted(run.peaks.items())),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
