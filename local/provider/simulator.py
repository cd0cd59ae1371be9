"""One request of a client in, one reply out. No I/O and no sleeping: a reply says how long to wait and how to end."""

from __future__ import annotations

import time
from collections.abc import Callable

from local.provider.answering import Answering, Caller
from local.provider.answers.openai import model_list
from local.provider.clock import JobClock
from local.provider.config import Config
from local.provider.dialects import Address, address_of, dialect_of
from local.provider.jobs.calls import Call, JobCalls
from local.provider.jobs.routes import ROUTES
from local.provider.jobs.runs import Runs
from local.provider.realtime import Realtime
from local.provider.wire import Refused, Reply, Request, json_reply


class Simulator:
    def __init__(self, config: Config, clock: Callable[[], float] = time.time) -> None:
        self.on_change: Callable[[], None] = lambda: None
        """Called after every change of the settings."""
        self._initial = config
        self._clock = clock
        self._answering = Answering(config)
        self.ledger = self._answering.ledger
        self.job_clock = JobClock(clock, config.clock_speed)
        self.runs = Runs(self._answering, self.job_clock)
        self.job_calls = JobCalls(self.runs, ROUTES)
        self._realtime = Realtime(self._answering, config, clock)
        self._addresses: dict[str, Address] = {}

    @property
    def config(self) -> Config:
        return self._answering.config

    def configure(self, config: Config) -> None:
        if config.call_faults != self.config.call_faults:
            self.job_calls.forget_faults()
        self._answering.config = config
        self._addresses.clear()
        self._realtime.configure(config)
        self.job_clock.run_at(config.clock_speed)
        self.on_change()

    def reset(self) -> None:
        """Forgets all that was received, jobs and files too, and goes back to the settings of the start."""
        self._answering.reset()
        self.runs.reset()
        self.job_calls.reset()
        self.configure(self._initial)

    def receive(self, request: Request) -> Reply:
        """The reply to a request. If it has tags, the caller tells the ledger when it begins and ends."""
        address = self._addresses.get(request.path) or self._read_address(request.path)
        dialect = dialect_of(address.vendor)
        try:
            reply = self._reply(request, address)
        except Refused as refused:
            reply = json_reply(refused.status, dialect.error_body(refused))
        if dialect.request_id is not None:
            reply.data = reply.data.replace(b"x-request-id:", dialect.request_id, 1)
        return reply

    def _reply(self, request: Request, address: Address) -> Reply:
        dialect = dialect_of(address.vendor)
        endpoint = dialect.find(address.path)
        found = None if endpoint is not None else self.job_calls.find(request, address)
        lists_models = address.path == "/v1/models"
        if endpoint is None and found is None and not lists_models:
            raise Refused(404, f"Invalid URL ({request.method} {request.path})")
        if found is None and request.method != ("GET" if lists_models else "POST"):
            raise Refused(405, f"Not allowed to {request.method} on {address.path}.")
        needs_key = found is None or found[0].needs_key
        caller = Caller(address.provider, self._key(request, address) if needs_key else "")
        if found is not None:
            self.job_clock.read()
            route, ids = found
            return self.job_calls.receive(route, Call(request, caller, address.vendor, ids))
        if endpoint is None:
            return json_reply(200, model_list(int(self._clock())))
        return self._realtime.receive(request, caller, dialect, endpoint)

    def _read_address(self, path: str) -> Address:
        """Remembers those of realtime calls, which are few and come often."""
        address = address_of(path, self.config.vendors)
        if dialect_of(address.vendor).find(address.path) is not None:
            self._addresses[path] = address
        return address

    def _key(self, request: Request, address: Address) -> str:
        """Raises Refused without an API key that the provider accepts."""
        key = key_of(request)
        if not key:
            raise Refused(401, "You didn't provide an API key in an Authorization header (Bearer).")
        keys = self.config.keys
        if address.provider in keys and key != keys[address.provider]:
            raise Refused(401, "Incorrect API key provided.", code="invalid_api_key")
        return key


def key_of(request: Request) -> str:
    """As OpenAI, Anthropic, Google or Azure want it sent; empty if there is none."""
    authorization = request.header(b"authorization")
    if authorization.startswith("Bearer "):
        return authorization.removeprefix("Bearer ").strip()
    for name in (b"x-api-key", b"x-goog-api-key", b"api-key"):
        key = request.header(name)
        if key:
            return key
    return request.parameters().get("key", "")
