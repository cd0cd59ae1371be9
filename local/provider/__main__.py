"""`python -m local.provider`: runs the simulated provider in the foreground."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import orjson
import uvloop

from local.provider.config import RETRY_AFTER_FORMS, Config
from local.provider.server import start
from local.provider.simulator import Simulator


def parse(arguments: list[str]) -> tuple[str, int, bool, Config]:
    """(host, port, leave with stdin, configuration): flags over the file over the defaults."""
    parser = argparse.ArgumentParser(
        prog="python -m local.provider", description="An OpenAI-compatible provider with all its bad habits."
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: a free one (default)")
    parser.add_argument("--config", type=Path, help="a JSON file with the settings of local/provider/config.py")
    parser.add_argument("--settings", default="{}", help="the same as JSON")
    parser.add_argument("--seed", type=int, help="which requests fail, and how slow each is, depends on it only")
    parser.add_argument("--latency-ms", type=float, help="fixed, or the median with --latency-sigma")
    parser.add_argument("--latency-sigma", type=float, help="spread of a lognormal latency")
    parser.add_argument("--rate-per-second", type=float, help="requests above this get a 429")
    parser.add_argument("--burst", type=int, help="what the token bucket holds")
    parser.add_argument("--retry-after", choices=RETRY_AFTER_FORMS, help="form of the header of a 429")
    parser.add_argument(
        "--fault", action="append", metavar="NAME=PROBABILITY", help="such as status:500=0.05; may be repeated"
    )
    parser.add_argument("--key", action="append", metavar="PROVIDER=KEY", help="accept only KEY; may be repeated")
    parser.add_argument("--leave-with-stdin", action="store_true", help="exit when standard input closes")
    given = vars(parser.parse_args(arguments))
    settings: dict[str, Any] = orjson.loads(given["config"].read_bytes()) if given["config"] else {}
    settings |= orjson.loads(given["settings"])
    for name in Config.__dataclass_fields__:
        if given.get(name) is not None:
            settings[name] = given[name]
    if given["fault"]:
        faults = (fault.rpartition("=") for fault in given["fault"])
        settings["faults"] = {name: float(probability) for name, _, probability in faults}
    if given["key"]:
        settings["keys"] = dict(key.split("=", 1) for key in given["key"])
    try:
        return given["host"], given["port"], given["leave_with_stdin"], Config().changed(settings)
    except ValueError as error:
        parser.error(str(error))


async def serve(host: str, port: int, leave_with_stdin: bool, config: Config) -> None:
    """Until SIGTERM, SIGINT or, where asked for, the end of standard input."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    if leave_with_stdin:
        loop.add_reader(sys.stdin.fileno(), stopped.set)
    server = await start(Simulator(config), host, port)
    print(f"listening on http://{host}:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await stopped.wait()
    server.close()


def main() -> None:
    uvloop.run(serve(*parse(sys.argv[1:])))


if __name__ == "__main__":
    main()
