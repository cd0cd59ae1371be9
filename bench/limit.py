"""The limit: a bare loop of aiohttp, uvloop and orjson that reads lines, posts each body and writes what comes back.

    python -m bench.limit INPUT OUTPUT BASE_URL [--in-flight 256]

It checks nothing, retries nothing and survives nothing; a benchmark runs it in a process of its own, as its user would.
Prints one line of JSON: items, seconds from the first read to the last write, items per second, peak memory.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson
import uvloop

REPOSITORY = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class LimitRun:
    items: int
    seconds: float
    items_per_second: float
    peak_rss_bytes: int


def measure(source: Path, target: Path, base_url: str, in_flight: int = 256) -> LimitRun:
    """Runs the loop in a new process."""
    command = [sys.executable, "-m", "bench.limit", str(source), str(target), base_url, "--in-flight", str(in_flight)]
    done = subprocess.run(command, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE)
    return LimitRun(**orjson.loads(done.stdout))


async def run(source: Path, target: Path, base_url: str, in_flight: int) -> LimitRun:
    started = time.perf_counter()
    items = 0
    connector = aiohttp.TCPConnector(limit=in_flight)
    with source.open("rb") as reading, target.open("wb") as writing:
        async with aiohttp.ClientSession(connector=connector, headers={"authorization": "Bearer sk-bench"}) as session:

            async def work() -> None:
                nonlocal items
                for line in reading:
                    item = orjson.loads(line)
                    url = base_url + item["url"].removeprefix("/v1")
                    body = orjson.dumps(item["body"])
                    async with session.post(url, data=body, headers={"content-type": "application/json"}) as response:
                        answer = {"status_code": response.status, "body": orjson.loads(await response.read())}
                    result = {"custom_id": item["custom_id"], "response": answer, "error": None}
                    writing.write(orjson.dumps(result, option=orjson.OPT_APPEND_NEWLINE))
                    items += 1

            await asyncio.gather(*(work() for _ in range(in_flight)))
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return LimitRun(items, seconds, items / seconds, peak)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.limit", description="Read, post, write.")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("base_url")
    parser.add_argument("--in-flight", type=int, default=256)
    given = parser.parse_args()
    result = uvloop.run(run(given.source, given.target, given.base_url, given.in_flight))
    print(orjson.dumps(result).decode())


if __name__ == "__main__":
    main()
