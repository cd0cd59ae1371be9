"""A simulated provider: the APIs of real vendors over real HTTP, with every way in which they misbehave.

    config.py       what can be set, at the start or while it runs
    faults.py       what goes wrong: drawn from the seed, or asked for in the request itself
    dialects.py     which vendor a path belongs to, what its errors look like
    answers/        good answers: a module per vendor
    answering.py    one item's request, in a call or in a job: received, answered, billed
    realtime.py     a call: limits, latency, faults
    jobs/           batch APIs: a module per vendor, and the jobs behind them, on a clock of their own (clock.py)
    prompt_cache.py what vendors keep of prompts
    ledger.py       what was received, answered and billed, for tests to read
    item_text.py    what an item says, whatever the dialect
    simulator.py    one request -> one reply, without any I/O
    controls.py     what tests ask of it
    wire.py         requests and replies
    server.py       HTTP
    listener.py     its ports, and how it goes down
    process.py      starts and stops it as a process of its own

Run it with `python -m local.provider`, or in a test:

    with SimulatedProvider(seed=7, latency_ms=20, faults={"status:500": 0.05}) as provider:
        client = OpenAI(base_url=provider.url, api_key="any")
        ...
        assert provider.counts()[request_hash(body)].succeeded == 1
"""

from local.provider.ledger import Billed, Served, request_hash, text_hash
from local.provider.process import SimulatedProvider

__all__ = ["Billed", "Served", "SimulatedProvider", "request_hash", "text_hash"]
