"""Invokes functions, synchronously and asynchronously: starts sandboxes as they are needed and keeps them for later.

Lambda's limits hold: payload sizes, reserved concurrency, the account's concurrency, two retries of an asynchronous
invoke. There is also a local cap on processes per function, which keeps a small machine usable; an invoke that only the
cap holds back waits.
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

import orjson

from local.deployment.declared import FunctionConfig
from local.functions.concurrency import AccountConcurrency
from local.functions.sandboxes import InvocationResult, Sandbox
from local.functions.spawning import Spawn, spawn
from local.functions.variables import code_variables
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
    """Lambda's TooManyRequestsException (429): the function's reserved concurrency, or the account's, is in use."""


class UnknownFunction(Exception):
    """Lambda's ResourceNotFoundException (404)."""


class Function:
    """One function and its sandboxes. `variables` are the environment variables of its processes."""

    def __init__(
        self,
        config: FunctionConfig,
        variables: Mapping[str, str],
        log_path: Path,
        *,
        cap: int,
        account: AccountConcurrency,
        meter: Meter,
        spawn: Spawn = spawn,
    ) -> None:
        self.config = self._declared = config
        self.cap = cap
        self._variables = variables
        self._log_path = log_path
        self._account = account
        self._meter = meter
        self._spawn = spawn
        self._changed = threading.Condition()
        self._sandboxes: list[Sandbox] = []
        self._idle: list[Sandbox] = []
        self._outdated: set[Sandbox] = set()
        """Those that are busy and have code that was replaced meanwhile."""
        self._closed = False

    def invoke(self, payload: bytes, *, wait: bool = False) -> InvocationResult:
        """Raises PayloadTooLarge, or Throttled unless `wait`."""
        if len(payload) > MAX_REQUEST_BYTES:
            raise PayloadTooLarge(f"{len(payload)} bytes exceeded the limit of {MAX_REQUEST_BYTES}")
        try:
            sandbox = self._acquire(wait=wait)
        except Throttled:
            self._meter.count_throttle(self.config.name)
            raise
        cold = not sandbox.init_seconds
        try:
            result = sandbox.invoke(payload, str(uuid.uuid4()))
        finally:
            self._release(sandbox)
            self._give_back()
        if cold:
            self._meter.count_cold_start(self.config.name, sandbox.init_seconds)
        self._meter.count_invocation(
            self.config.name,
            result.seconds,
            self.config.memory_megabytes,
            sandbox.peak_rss_bytes,
            timed_out=result.timed_out,
            failed=result.error is not None,
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

    def replace_code(self, functions_path: Path) -> None:
        """As UpdateFunctionCode does it: what runs ends with the code that it began with, every later invocation has
        the new one."""
        with self._changed:
            self._variables = {**self._variables, **code_variables(functions_path)}
            idle, self._idle = self._idle, []
            for sandbox in idle:
                self._discard(sandbox)
            self._outdated |= set(self._sandboxes)
            self._changed.notify_all()

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
        """A sandbox, and for a function without a reservation one of the account's executions."""
        while True:
            sandbox = self._take_sandbox(wait=wait)
            if sandbox is not None:
                return sandbox
            if not wait:
                raise Throttled("Rate Exceeded.")
            self._account.wait_for_room()

    def _take_sandbox(self, *, wait: bool) -> Sandbox | None:
        """None if the account has no execution left for it."""
        reserved = self.config.reserved_concurrency
        limit = self.cap if reserved is None else min(self.cap, reserved)
        with self._changed:
            while True:
                if self._closed:
                    raise Throttled("the local cloud is stopping")
                self._drop_dead()
                if self._idle or len(self._sandboxes) < limit:
                    if reserved is None and not self._account.take():
                        return None
                    return self._idle.pop() if self._idle else self._new_sandbox()
                if not wait and reserved is not None and len(self._sandboxes) >= reserved:
                    raise Throttled("Rate Exceeded.")
                self._changed.wait()

    def _drop_dead(self) -> None:
        for sandbox in [each for each in self._idle if not each.alive]:
            self._idle.remove(sandbox)
            self._discard(sandbox)

    def _new_sandbox(self) -> Sandbox:
        try:
            sandbox = Sandbox(self.config, self._variables, self._log_path, self._spawn)
        except BaseException:
            self._give_back()
            raise
        self._sandboxes.append(sandbox)
        return sandbox

    def _give_back(self) -> None:
        if self.config.reserved_concurrency is None:
            self._account.give_back()

    def _release(self, sandbox: Sandbox) -> None:
        with self._changed:
            if sandbox.alive and sandbox in self._sandboxes and sandbox not in self._outdated:
                self._idle.append(sandbox)
            else:
                self._discard(sandbox)
            self._changed.notify()

    def _discard(self, sandbox: Sandbox) -> None:
        self._outdated.discard(sandbox)
        if sandbox in self._sandboxes:
            self._sandboxes.remove(sandbox)
        threading.Thread(target=sandbox.close, name="discard", daemon=True).start()


class Functions:
    """All functions of the deployment, by short name, physical name or ARN."""

    def __init__(self) -> None:
        self._by_name: dict[str, Function] = {}
        self._background = ThreadPoolExecutor(max_workers=32, thread_name_prefix="async-invoke")
        self._closing = threading.Event()
        self.give_up: Callable[[str, str], None] = lambda arn, body: None
        """Sends an event that failed for good to its destination: (ARN, body)."""

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
                # Lambda repeats a throttled asynchronous invoke for six hours, and does not count it as a try.
                result = function.invoke(payload, wait=True)
            except Throttled:
                return
            if result.error is None:
                return
            log.warning("asynchronous invoke of %s failed (attempt %d)", function.config.name, attempt + 1)
        if function.config.on_failure is not None:
            letter = {"requestPayload": orjson.Fragment(payload), "responseContext": {"functionError": "Unhandled"}}
            self.give_up(function.config.on_failure, orjson.dumps(letter).decode())
