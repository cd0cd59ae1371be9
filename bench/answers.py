"""`make answers`: answers that are large, many and of all kinds, through the whole product, and what memory they took.

A provider of its own answers each item with as many bytes, and of such a kind, as the item asks for; the local cloud
kills a function that outgrows its memory, as Lambda does. Every answer is counted in the files that come out. Prints
the peak memory of each function, and exits with 1 if one was killed, or came within a tenth of its memory.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import os
import platform
import re
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Self, cast

import orjson
import uvloop
from openai import OpenAI

from infra.functions import SPECS
from local.cloud import LocalCloud
from local.options import realtime_only

DOCUMENT = Path(__file__).parents[1] / "docs" / "size.md"
BEGIN, END = "<!-- measured: make answers writes this -->", "<!-- end of what make answers writes -->"
MOST_OF_A_FUNCTION = 0.9
MEMORY_MIB = {name: SPECS[name].memory_mib for name in ("work", "finalize")}

_MB = 1_000_000
_POLL_SECONDS = 0.5
_TERMINAL = frozenset({"completed", "failed", "expired", "cancelled"})
_MODELS = ("gpt-4o-mini", "gpt-4o", "gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano", "o3", "o4-mini", "gpt-5-mini")
_ASKED = re.compile(rb"\[answer: (\w+) (\d+)\]")
_SMALLEST = 300


@dataclass(frozen=True, slots=True)
class Wave:
    """`count` items that are answered with `size` bytes each, of a kind that `Answers` knows. `models`: how many they
    are for, in turns; each is a lane."""

    count: int
    size: int
    kind: str = "plain"
    models: int = 1


@dataclass(frozen=True, slots=True)
class Attack:
    """`waves` come one after the other in the file, or `mixed`."""

    name: str
    waves: tuple[Wave, ...]
    mixed: bool = False

    @property
    def items(self) -> int:
        return sum(wave.count for wave in self.waves)


ATTACKS = {
    attack.name: attack
    for attack in (
        Attack("400 answers of 4 MB", (Wave(400, 4 * _MB),)),
        Attack("1,500 answers of 1.5 MB", (Wave(1500, 1_500_000),)),
        Attack("1,500 errors of 1.5 MB", (Wave(1500, 1_500_000, "error"),)),
        Attack("small ones, then 200 of 4 MB", (Wave(4000, 1000), Wave(200, 4 * _MB))),
        Attack("small ones, then 4,000 of 125 kB", (Wave(4000, 1000), Wave(4000, 125_000))),
        Attack("8 lanes, 50 of 4 MB each", (Wave(400, 4 * _MB, models=8),)),
        Attack(
            "8 lanes, small ones, then 100 of 1.5 MB each", (Wave(4000, 1000, models=8), Wave(800, 1_500_000, models=8))
        ),
        Attack("100 of 15 MB", (Wave(100, 15 * _MB),)),
        Attack("100 of 15 MB, packed", (Wave(100, 15 * _MB, "packed"),)),
        Attack("60 of 12 MB, in streams", (Wave(60, 12 * _MB, "stream"),)),
        Attack("60 of 15 MB, objects in objects", (Wave(60, 15 * _MB, "objects"),)),
        Attack(
            "all kinds mixed",
            (
                Wave(1000, 1000),
                Wave(500, 125_000),
                Wave(300, 1_500_000),
                Wave(300, 1_500_000, "error"),
                Wave(60, 4 * _MB),
                Wave(20, 15 * _MB),
                Wave(20, 15 * _MB, "packed"),
                Wave(20, 4 * _MB, "stream"),
                Wave(20, 4 * _MB, "objects"),
            ),
            mixed=True,
        ),
    )
}


@cache
def answer(kind: str, size: int) -> bytes:
    """An answer of OpenAI's chat completions as it goes over the wire, with about `size` bytes of content."""
    status, headers, text = "200 OK", "content-type: application/json\r\n", b"a" * size
    usage = {"prompt_tokens": 10, "completion_tokens": size // 4, "total_tokens": 10 + size // 4}
    body = orjson.dumps({"id": "x", "object": "chat.completion", "choices": [_choice(text.decode())], "usage": usage})
    match kind:
        case "plain":
            pass
        case "error":
            status = "400 Bad Request"
            body = orjson.dumps({"error": {"message": text.decode(), "type": "invalid_request_error"}})
        case "packed":
            headers += "content-encoding: gzip\r\n"
            body = gzip.compress(body, 1)
        case "objects":
            nested = b'{"twelve chars":' * 200 + b"1" + b"}" * 200
            body = body[:-1] + b',"more":[' + b",".join([nested] * (size // len(nested))) + b"]}"
            body = body.replace(text, b"a")
        case "stream":
            headers = "content-type: text/event-stream\r\n"
            event = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"abcd"},"finish_reason":null}]}\n\n'
            last = {"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage}
            body = event * (size // 4) + b"data: " + orjson.dumps(last) + b"\n\ndata: [DONE]\n\n"
        case _:
            raise ValueError(kind)
    head = f"HTTP/1.1 {status}\r\n{headers}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _choice(text: str) -> dict[str, Any]:
    return {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}


class _Connection(asyncio.Protocol):
    """HTTP/1.1 as far as a worker speaks it: one request at a time, with a content-length."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's transports are no subclasses
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]):
            return
        self._received = b""
        asked = _ASKED.search(body)
        kind, size = ("plain", _SMALLEST) if asked is None else (asked[1].decode(), int(asked[2]))
        self._transport.write(answer(kind, size))


class Answers:
    """The provider, on an event loop of its own."""

    def __enter__(self) -> Self:
        self._loop = uvloop.new_event_loop()
        server = self._loop.run_until_complete(self._loop.create_server(_Connection, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{cast(asyncio.Server, server).sockets[0].getsockname()[1]}/v1"
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


@dataclass(frozen=True, slots=True)
class Measured:
    """What one attack took. `peaks`: function -> bytes; `deaths`: of workers."""

    attack: Attack
    seconds: float
    came_out: int
    peaks: dict[str, int]
    deaths: int


def run(cloud: LocalCloud, attack: Attack) -> Measured:
    """Raises SystemExit if an item has not exactly one result."""
    cloud.reset_meter()
    with OpenAI(base_url=f"{cloud.api_url}/v1", api_key=cloud.api_key, timeout=600) as client:
        started = time.monotonic()
        file = client.files.create(file=("attack.jsonl", b"".join(_lines(attack))), purpose="batch")
        batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
        while batch.status not in _TERMINAL:
            time.sleep(_POLL_SECONDS)
            batch = client.batches.retrieve(batch.id)
        seconds = time.monotonic() - started
        counts = batch.request_counts
        failed = sum(wave.count for wave in attack.waves if wave.kind == "error")
        if batch.status != "completed" or counts is None or (counts.total, counts.failed) != (attack.items, failed):
            raise SystemExit(f"{attack.name}: {batch.status}, {counts}")
        came_out = 0
        for file_id in filter(None, (batch.output_file_id, batch.error_file_id)):
            came_out += client.files.retrieve(file_id).bytes
            client.files.delete(file_id)
    functions = cloud.meter()["functions"]
    peaks = {name: use["peak_rss_bytes"] for name, use in functions.items()}
    return Measured(attack, seconds, came_out, peaks, functions["work"]["errors"])


def _lines(attack: Attack) -> Iterator[bytes]:
    waves = [[(wave, number) for number in range(wave.count)] for wave in attack.waves]
    items = [item for wave in waves for item in wave]
    if attack.mixed:
        items.sort(key=lambda item: (item[1] / item[0].count, item[0].size))
    for index, (wave, number) in enumerate(items):
        text = f"Item {index}. [answer: {wave.kind} {wave.size}]"
        body: dict[str, Any] = {"model": _MODELS[number % wave.models], "messages": [{"role": "user", "content": text}]}
        line = {"custom_id": f"item-{index}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.answers", description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="TEXT", default="", help="attacks whose name contains TEXT")
    only = parser.parse_args().only
    attacks = [attack for name, attack in ATTACKS.items() if only in name]
    measured = []
    with Answers() as provider:
        for attack in attacks:
            with LocalCloud(provider_url=provider.url, environment=realtime_only()) as cloud:
                measured.append(run(cloud, attack))
            print(_row(measured[-1]), flush=True)
    if not only:
        before, _, rest = DOCUMENT.read_text().partition(BEGIN)
        DOCUMENT.write_text(f"{before}{BEGIN}\n\n{_report(measured)}\n{END}{rest.partition(END)[2]}")
    return 1 if any(_is_too_much(each) for each in measured) else 0


def _is_too_much(measured: Measured) -> bool:
    return measured.deaths > 0 or any(
        measured.peaks.get(name, 0) > MOST_OF_A_FUNCTION * (mib << 20) for name, mib in MEMORY_MIB.items()
    )


def _report(measured: list[Measured]) -> str:
    head = f"Measured {datetime.now(UTC).date()} on {os.cpu_count()} cores (Python {platform.python_version()})."
    table = ["| answers | files | seconds | worker | finalize | deaths |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    return "\n".join([head, "", *table, *map(_row, measured), ""])


def _row(measured: Measured) -> str:
    peaks = " | ".join(f"{measured.peaks.get(name, 0) >> 20} MiB" for name in ("work", "finalize"))
    out, seconds = measured.came_out / 1e6, measured.seconds
    return f"| {measured.attack.name} | {out:,.0f} MB | {seconds:.0f} | {peaks} | {measured.deaths} |"


if __name__ == "__main__":
    sys.exit(main())
