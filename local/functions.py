"""The functions: scales environments out and keeps them warm, and gives every way to invoke one its Lambda semantics.

Lambda's limits hold (payload sizes, reserved concurrency, two retries of an asynchronous invoke). Beyond them a local
cap on processes per function keeps a small machine usable; an invoke that only the cap holds back waits its turn.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from local.environments import Environment, FunctionConfig, Outcome
from local.meter import Meter

log = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 6_291_456
MAX_ASYNC_REQUEST_BYTES = 1_048_576
ASYNC_ATTEMPTS = 3


class PayloadTooLarge(Exception):
    """Lambda's RequestTooLargeException (413)."""


class Throttled(Exception):
    """Lambda's TooManyRequestsException (429): the reserved concurrency is in use."""


class UnknownFunction(Exception):
    """Lambda's ResourceNotFoundException (404)."""


class Function:
    """The environments of one function."""

    def __init__(
        self,
        config: FunctionConfig,
        process_environment: Mapping[str, str],
        log_path: Path,
        *,
        cap: int,
        freeze: bool,
        meter: Meter,
    ) -> None:
        self.config = self._declared = config
        self.cap = cap
        self._process_environment = process_environment
        self._log_path = log_path
        self._freeze = freeze
        self._meter = meter
        self._changed = threading.Condition()
        self._environments: list[Environment] = []
        self._idle: list[Environment] = []
        self._closed = False

    def invoke(self, payload: bytes, *, wait: bool = False) -> Outcome:
        """Raises PayloadTooLarge, or Throttled unless `wait`."""
        if len(payload) > MAX_REQUEST_BYTES:
            raise PayloadTooLarge(f"{len(payload)} bytes exceeded the limit of {MAX_REQUEST_BYTES}")
        environment = self._acquire(wait=wait)
        cold = not environment.init_seconds
        try:
            outcome = environment.invoke(payload, str(uuid.uuid4()))
        finally:
            self._release(environment)
        if cold:
            self._meter.count_cold_start(self.config.name, environment.init_seconds)
        self._meter.count_invocation(
            self.config.name,
            outcome.seconds,
            self.config.memory_megabytes,
            environment.peak_rss_bytes,
            failed=outcome.error is not None,
            timed_out=outcome.timed_out,
        )
        return outcome

    def processes(self) -> list[dict[str, Any]]:
        with self._changed:
            return [
                {"function": self.config.name, "pid": e.pid, "busy": e.busy, "peak_rss_bytes": e.peak_rss_bytes}
                for e in self._environments
                if e.alive
            ]

    def limit(self, timeout_seconds: float | None) -> None:
        """Another timeout than the template's, from the next invocation on; None: the template's."""
        seconds = self._declared.timeout_seconds if timeout_seconds is None else timeout_seconds
        with self._changed:
            self.config = replace(self._declared, timeout_seconds=seconds)
            for environment in self._environments:
                environment.config = self.config

    def kill(self, *, busy_only: bool) -> int:
        """SIGKILLs its processes; how many there were."""
        with self._changed:
            doomed = [e for e in self._environments if e.alive and (e.busy or not busy_only)]
        for environment in doomed:
            environment.kill()
        return len(doomed)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            doomed, self._environments, self._idle = self._environments, [], []
            self._changed.notify_all()
        for environment in doomed:
            environment.close()

    def _acquire(self, *, wait: bool) -> Environment:
        reserved = self.config.reserved_concurrency
        limit = self.cap if reserved is None else min(self.cap, reserved)
        with self._changed:
            while True:
                if self._closed:
                    raise Throttled("the local cloud is stopping")
                if self._idle:
                    environment = self._idle.pop()
                    if environment.alive:
                        return environment
                    self._discard(environment)
                    continue
                if len(self._environments) < limit:
                    environment = Environment(
                        self.config, self._process_environment, self._log_path, freeze=self._freeze
                    )
                    self._environments.append(environment)
                    return environment
                if not wait and reserved is not None and len(self._environments) >= reserved:
                    raise Throttled("Rate Exceeded.")
                self._changed.wait()

    def _release(self, environment: Environment) -> None:
        with self._changed:
            if environment.alive and environment in self._environments:
                self._idle.append(environment)
            else:
                self._discard(environment)
            self._changed.notify()

    def _discard(self, environment: Environment) -> None:
        if environment in self._environments:
            self._environments.remove(environment)
        threading.Thread(target=environment.close, name="discard", daemon=True).start()


class Functions:
    """All functions of the deployment, by short name, physical name or ARN."""

    def __init__(self, *, async_retry_seconds: float = 1.0) -> None:
        self.async_retry_seconds = async_retry_seconds
        self._by_name: dict[str, Function] = {}
        self._background = ThreadPoolExecutor(max_workers=32, thread_name_prefix="async-invoke")
        self._closing = threading.Event()

    def add(self, function: Function) -> None:
        for name in (function.config.name, function.config.physical_name, function.config.arn):
            self._by_name[name] = function

    def get(self, name: str) -> Function:
        function = self._by_name.get(name)
        if function is None and name.startswith("arn:"):
            # A qualified ARN: arn:aws:lambda:region:account:function:name:qualifier
            function = self._by_name.get(":".join(name.split(":")[:7]))
        if function is None:
            raise UnknownFunction(f"Function not found: {name}")
        return function

    def all(self) -> list[Function]:
        return list(dict.fromkeys(self._by_name.values()))

    def invoke_async(self, name: str, payload: bytes, done: Callable[[Outcome], None] | None = None) -> None:
        """Returns at once; the function gets two more tries when it fails, as Lambda gives it."""
        function = self.get(name)
        if len(payload) > MAX_ASYNC_REQUEST_BYTES:
            raise PayloadTooLarge(f"{len(payload)} bytes exceeded the limit of {MAX_ASYNC_REQUEST_BYTES}")
        self._background.submit(self._attempts, function, payload, done)

    def close(self) -> None:
        self._closing.set()
        for function in self.all():
            function.close()
        self._background.shutdown(wait=False, cancel_futures=True)

    def _attempts(self, function: Function, payload: bytes, done: Callable[[Outcome], None] | None) -> None:
        for attempt in range(ASYNC_ATTEMPTS):
            if attempt and self._closing.wait(self.async_retry_seconds * attempt):
                return
            try:
                outcome = function.invoke(payload, wait=True)
            except Throttled:
                return
            if outcome.error is None:
                break
            log.warning("asynchronous invoke of %s failed (attempt %d)", function.config.name, attempt + 1)
        if done is not None:
            done(outcome)
