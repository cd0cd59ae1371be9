"""`python -m local.provider`: runs the simulated provider in the foreground."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

import orjson
import uvloop

from local.provider.config import Config
from local.provider.listener import HOST, Listener
from local.provider.simulator import Simulator


async def serve(port: int, config: Config, *, ends_with_stdin: bool) -> None:
    """Until SIGTERM or SIGINT, or until standard input closes."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    if ends_with_stdin:
        loop.add_reader(sys.stdin.fileno(), stopped.set)
    listener = Listener(Simulator(config))
    await listener.open(port)
    print(
        f"listening on http://{HOST}:{listener.port}/v1 (controls: http://{HOST}:{listener.control_port})", flush=True
    )
    await stopped.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m local.provider", description="An OpenAI-compatible provider with all its bad habits."
    )
    parser.add_argument("--port", type=int, default=0, help="0: a free one (default)")
    parser.add_argument("--settings", default="{}", help='JSON, as {"latency_ms": 50}; see local/provider/config.py')
    parser.add_argument("--ends-with-stdin", action="store_true", help="exit when standard input closes")
    given = parser.parse_args()
    try:
        config = Config().changed(orjson.loads(given.settings))
    except ValueError as error:
        parser.error(str(error))
    uvloop.run(serve(given.port, config, ends_with_stdin=given.ends_with_stdin))


if __name__ == "__main__":
    main()
