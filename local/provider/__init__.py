"""A simulated provider: OpenAI's API over real HTTP, with every way in which a real vendor misbehaves.

    config.py     what can be set, at the start or while it runs
    faults.py     what goes wrong with a request: drawn from the seed, or asked for in the request itself
    answers.py    the bodies of good answers
    ledger.py     what was received and answered, for tests to read
    simulator.py  one request -> one reply, without any I/O
    server.py     HTTP
    listener.py   its ports, and how it goes down
    process.py    starts and stops it as a process of its own

Run it with `python -m local.provider`, or in a test:

    with SimulatedProvider(seed=7, latency_ms=20, faults={"status:500": 0.05}) as provider:
        client = OpenAI(base_url=provider.url, api_key="any")
        ...
        assert provider.counts()[request_hash(body)].succeeded == 1
"""

from local.provider.ledger import Served, request_hash
from local.provider.process import SimulatedProvider

__all__ = ["Served", "SimulatedProvider", "request_hash"]
