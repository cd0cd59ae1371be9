"""Invokes functions, synchronously and asynchronously: starts sandboxes as they are needed and keeps them for later.

Lambda's limits hold: payload sizes, reserved concurrency, two retries of an asynchronous invoke. There is also a local
cap on processes per function, which keeps a small machine usable; an invoke that only the cap holds back waits.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from local.deployment.declared import FunctionConfig
from local.functions.sandboxes import InvocationResult, Sandbox
from local.meter import Meter

log = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 6_291_456
MAX_ASYNC_REQUEST_BYTES = 1_048_576
ASYNC_ATTEMPTS = 3
_ASYNC_RETRY_SECONDS = 1.0
"""Lambda waits one minute, then two, which is too long for tests."""


class PayloadTooLarge(Exception):
    """Lambda's RequestTooLargeException (413)."""


class Throttled(Exception):
    """Lambda's TooManyRequestsException (429): the reserved concurrency is in use."""


class UnknownFunction(Exception):
    """Lambda's ResourceNotFoundException (404)."""


class Function:
    """One function and its sandboxes. `variables` are the environment variables of its processes."""

    def __init__(
        self, config: FunctionConfig, variables: Mapping[str, str], log_path: Path, *, cap: int, meter: Meter
    ) -> None:
        self.config = self._declared = config
        self.cap = cap
        self._variables = variables
        self._log_path = log_path
        self._meter = meter
        self._changed = threading.Condition()
        self._sandboxes: list[Sandbox] = []
        self._idle: list[Sandbox] = []
        self._closed = False

    def invoke(self, payload: bytes, *, wait: bool = False) -> InvocationResult:
        """Raises PayloadTooLarge, or Throttled unless `wait`."""
        if len(payload) > MAX_REQUEST_BYTES:
            raise PayloadTooLarge(f"{len(payload)} bytes exceeded the limit of {MAX_REQUEST_BYTES}")
        sandbox = self._acquire(wait=wait)
        cold = not sandbox.init_seconds
        try:
            result = sandbox.invoke(payload, str(uuid.uuid4()))
        finally:
            self._release(sandbox)
        if cold:
            self._meter.count_cold_start(self.config.name, sandbox.init_seconds)
        self._meter.count_invocation(
            self.config.name,
            result.seconds,
            self.config.memory_megabytes,
            sandbox.peak_rss_bytes,
            timed_out=result.timed_out,
        )
        return result

    def processes(self) -> list[dict[str, Any]]:
        with self._changed:
            return [
                {
                    "function": self.config.name,
                    "pid": each.pid,
                    "busy": each.busy,
                    "peak_rss_bytes": each.peak_rss_bytes,
                }
                for each in self._sandboxes
                if each.alive
            ]

    def limit(self, timeout_seconds: float | None) -> None:
        """Another timeout than the template's, from the next invocation on; None: the template's."""
        seconds = self._declared.timeout_seconds if timeout_seconds is None else timeout_seconds
        with self._changed:
            self.config = replace(self._declared, timeout_seconds=seconds)
            for sandbox in self._sandboxes:
                sandbox.config = self.config

    def kill(self, *, busy_only: bool) -> int:
        """Kills its processes with SIGKILL; returns how many."""
        with self._changed:
            doomed = [each for each in self._sandboxes if each.alive and (each.busy or not busy_only)]
        for sandbox in doomed:
            sandbox.kill()
        return len(doomed)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            doomed, self._sandboxes, self._idle = self._sandboxes, [], []
            self._changed.notify_all()
        for sandbox in doomed:
            sandbox.close()

    def _acquire(self, *, wait: bool) -> Sandbox:
        reserved = self.config.reserved_concurrency
        limit = self.cap if reserved is None else min(self.cap, reserved)
        with self._changed:
            while True:
                if self._closed:
                    raise Throttled("the local cloud is stopping")
                if self._idle:
                    sandbox = self._idle.pop()
                    if sandbox.alive:
                        return sandbox
                    self._discard(sandbox)
                    continue
                if len(self._sandboxes) < limit:
                    sandbox = Sandbox(self.config, self._variables, self._log_path)
                    self._sandboxes.append(sandbox)
                    return sandbox
                if not wait and reserved is not None and len(self._sandboxes) >= reserved:
                    raise Throttled("Rate Exceeded.")
                self._changed.wait()

    def _release(self, sandbox: Sandbox) -> None:
        with self._changed:
            if sandbox.alive and sandbox in self._sandboxes:
                self._idle.append(sandbox)
            else:
                self._discard(sandbox)
            self._changed.notify()

    def _discard(self, sandbox: Sandbox) -> None:
        if sandbox in self._sandboxes:
            self._sandboxes.remove(sandbox)
        threading.Thread(target=sandbox.close, name="discard", daemon=True).start()


class Functions:
    """All functions of the deployment, by short name, physical name or ARN."""

    def __init__(self) -> None:
        self._by_name: dict[str, Function] = {}
        self._background = ThreadPoolExecutor(max_workers=32, thread_name_prefix="async-invoke")
        self._closing = threading.Event()

    def add(self, function: Function) -> None:
        for name in (function.config.name, function.config.physical_name, function.config.arn):
            self._by_name[name] = function

    def get(self, name: str) -> Function:
        """Raises UnknownFunction."""
        try:
            return self._by_name[name]
        except KeyError:
            raise UnknownFunction(f"Function not found: {name}") from None

    def all(self) -> list[Function]:
        return list(dict.fromkeys(self._by_name.values()))

    def invoke_async(self, name: str, payload: bytes) -> None:
        """Returns at once; the function gets two more tries if it fails, as in Lambda."""
        function = self.get(name)
        if len(payload) > MAX_ASYNC_REQUEST_BYTES:
            raise PayloadTooLarge(f"{len(payload)} bytes exceeded the limit of {MAX_ASYNC_REQUEST_BYTES}")
        self._background.submit(self._attempts, function, payload)

    def close(self) -> None:
        self._closing.set()
        for function in self.all():
            function.close()
        self._background.shutdown(wait=False, cancel_futures=True)

    def _attempts(self, function: Function, payload: bytes) -> None:
        for attempt in range(ASYNC_ATTEMPTS):
            if attempt and self._closing.wait(_ASYNC_RETRY_SECONDS * attempt):
                return
            try:
                result = function.invoke(payload, wait=True)
            except Throttled:
                return
            if result.error is None:
                return
            log.warning("asynchronous invoke of %s failed (attempt %d)", function.config.name, attempt + 1)
