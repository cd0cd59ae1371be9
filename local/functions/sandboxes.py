"""One sandbox (Lambda's execution environment): a process under AWS's runtime client, and the Runtime API it talks to.

    start ─▶ init ─▶ idle (frozen) ⇄ busy ─▶ gone
               └────────────────────────────▶ gone      (init error, exit, time-out, kill)

A sandbox runs one invocation at a time. Between invocations its process is stopped (SIGSTOP), as Lambda freezes
it; an invocation that outlives the function's timeout is ended with SIGKILL, and so is one whose process ever held more
memory than the function has. The Runtime API is the one of
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html, one port per sandbox, because the paths do not say
who is asking.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from local.deployment.declared import FunctionConfig
from local.functions.spawning import Spawn, spawn
from local.http_server import HttpServer, Request, Response

INIT_SECONDS = 60.0
"""Lambda allows 10 s; a small machine that starts many processes at once needs more."""
MAX_RESPONSE_BYTES = 6_291_556
MEMORY_LOOKS_SECONDS = 0.25
"""How often a busy process's memory is looked at. Its peak is what counts, so nothing is missed, only noticed late."""
_PREFIX = "/2018-06-01/runtime"


@dataclass(frozen=True, slots=True)
class InvocationResult:
    """How an invocation ended. `error` is the value of X-Amz-Function-Error, None for success. `seconds` run from the
    moment the process took the event until it answered."""

    payload: bytes
    error: str | None = None
    seconds: float = 0.0
    timed_out: bool = False


@dataclass(slots=True)
class _Invocation:
    id: str
    payload: bytes
    handed_out: float | None = None
    result: InvocationResult | None = None


class Sandbox:
    """`variables` are all the environment variables of the process, except the address of the Runtime API."""

    def __init__(
        self, config: FunctionConfig, variables: Mapping[str, str], log_path: Path, spawn: Spawn = spawn
    ) -> None:
        self.config = config
        self.init_seconds = 0.0
        self.peak_rss_bytes = 0
        self._log_path = log_path
        self._changed = threading.Condition()
        self._invocation: _Invocation | None = None
        self._is_asking = False
        self._init_error: bytes | None = None
        self._exit_code: int | None = None
        self._server = HttpServer(self._answer, name=f"runtime-{config.name}")
        self._started = time.monotonic()
        variables = {**variables, "AWS_LAMBDA_RUNTIME_API": self._server.address}
        with self._changed:  # it may ask for work before anybody knows it
            self._process = spawn(config.handler, variables, log_path)
        threading.Thread(target=self._watch, name=f"watch-{config.name}", daemon=True).start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._exit_code is None and self._init_error is None

    @property
    def busy(self) -> bool:
        invocation = self._invocation
        return invocation is not None and invocation.handed_out is not None and invocation.result is None

    def invoke(self, payload: bytes, request_id: str) -> InvocationResult:
        """Runs one invocation until it ends, in whatever way. The caller must not start another one before that."""
        invocation = _Invocation(request_id, payload)
        with self._changed:
            self._invocation = invocation
            self._changed.notify_all()
            self._changed.wait_for(lambda: invocation.handed_out is not None or not self.alive, INIT_SECONDS)
            if invocation.handed_out is None:
                return self._not_started(invocation)
            deadline = invocation.handed_out + self.config.timeout_seconds
            self._wait_for_end(invocation, deadline)
            if invocation.result is not None:
                # The sandbox is free again only when its process asks for the next invocation.
                self._changed.wait_for(lambda: self._is_asking or self._exit_code is not None, INIT_SECONDS)
            elif self._exit_code is not None:
                invocation.result = self._crashed(invocation)
            else:
                invocation.result = self._timed_out(invocation)
        if not invocation.result.timed_out and self._exit_code is None:
            self.peak_rss_bytes = max(self.peak_rss_bytes, _peak_rss_bytes(self.pid))
        self._log_report(invocation.id, invocation.result)
        return invocation.result

    def _wait_for_end(self, invocation: _Invocation, deadline: float) -> None:
        """Until there is a result, or the process is gone, or `deadline`. Looks at the process's memory meanwhile."""

        def is_over() -> bool:
            return invocation.result is not None or self._exit_code is not None

        while (left := deadline - time.monotonic()) > 0:
            if self._changed.wait_for(is_over, min(left, MEMORY_LOOKS_SECONDS)):
                return
            self._kill_if_too_large()

    def _kill_if_too_large(self) -> bool:
        """Ends a process that has held more memory than its function has; it shows as a crash."""
        if _peak_rss_bytes(self.pid) <= self.config.memory_megabytes << 20:
            return False
        self.kill()
        return True

    def kill(self) -> None:
        """SIGKILL; also ends a frozen process."""
        self.peak_rss_bytes = max(self.peak_rss_bytes, _peak_rss_bytes(self.pid))
        if self._process.poll() is None:
            self._process.kill()

    def close(self) -> None:
        self.kill()
        self._process.wait()
        self._server.close()

    # The Runtime API.

    def _answer(self, request: Request) -> Response:
        path = request.path.removeprefix(_PREFIX)
        if request.method == "GET" and path == "/invocation/next":
            return self._next()
        if request.method == "POST" and path == "/init/error":
            with self._changed:
                self._init_error = request.body
                self._changed.notify_all()
            return _accepted()
        _, _, rest = path.partition("/invocation/")
        request_id, _, kind = rest.partition("/")
        if request.method == "POST" and kind in ("response", "error"):
            return self._finish(request_id, request.body, "Unhandled" if kind == "error" else None)
        return Response(404, [("Content-Type", "application/json")], b'{"errorType":"NotFound"}')

    def _next(self) -> Response:
        with self._changed:
            if not self.init_seconds:
                self.init_seconds = time.monotonic() - self._started
            self._is_asking = True
            self._changed.notify_all()
            if not self._has_work():
                self._signal(signal.SIGSTOP)
            self._changed.wait_for(lambda: self._has_work() or self._exit_code is not None)
            invocation = self._invocation
            if invocation is None or self._exit_code is not None:
                return Response(500, cut=True)
            self._signal(signal.SIGCONT)
            self._is_asking = False
            invocation.handed_out = time.monotonic()
            self._changed.notify_all()
        deadline = int((time.time() + self.config.timeout_seconds) * 1000)
        # awslambdaric reads all of these and crashes on an answer that lacks one.
        headers = [
            ("Content-Type", "application/json"),
            ("Lambda-Runtime-Aws-Request-Id", invocation.id),
            ("Lambda-Runtime-Deadline-Ms", str(deadline)),
            ("Lambda-Runtime-Invoked-Function-Arn", self.config.arn),
            (
                "Lambda-Runtime-Trace-Id",
                f"Root=1-{int(time.time()):08x}-{invocation.id.replace('-', '')[:24]};Sampled=0",
            ),
            ("Lambda-Runtime-Client-Context", ""),
            ("Lambda-Runtime-Cognito-Identity", ""),
        ]
        return Response(200, headers, invocation.payload)

    def _has_work(self) -> bool:
        return self._invocation is not None and self._invocation.handed_out is None

    def _finish(self, request_id: str, body: bytes, error: str | None) -> Response:
        with self._changed:
            invocation = self._invocation
            if invocation is None or invocation.id != request_id or invocation.handed_out is None:
                return Response(400, [("Content-Type", "application/json")], b'{"errorType":"InvalidRequestID"}')
            if self._kill_if_too_large():
                return Response(500, cut=True)
            if len(body) > MAX_RESPONSE_BYTES and error is None:
                body = _error("Function.ResponseSizeTooLarge", _TOO_LARGE)
                error = "Unhandled"
            invocation.result = InvocationResult(body, error, time.monotonic() - invocation.handed_out)
            self._changed.notify_all()
        return _accepted()

    # Invocations that end without an answer.

    def _watch(self) -> None:
        code = self._process.wait()
        with self._changed:
            self._exit_code = code
            self._changed.notify_all()

    def _not_started(self, invocation: _Invocation) -> InvocationResult:
        if self._init_error is not None:
            return InvocationResult(self._init_error, "Unhandled")
        if self._exit_code is not None:
            return self._crashed(invocation)
        self.kill()
        return InvocationResult(
            _error("Sandbox.Timedout", f"RequestId: {invocation.id} Error: init timed out"), "Unhandled"
        )

    def _crashed(self, invocation: _Invocation) -> InvocationResult:
        code = self._exit_code or 0
        reason = (
            f"signal: {signal.Signals(-code).name.removeprefix('SIG').lower()}ed" if code < 0 else f"exit status {code}"
        )
        seconds = time.monotonic() - invocation.handed_out if invocation.handed_out else 0.0
        message = f"RequestId: {invocation.id} Error: Runtime exited with error: {reason}"
        return InvocationResult(_error("Runtime.ExitError", message), "Unhandled", seconds)

    def _timed_out(self, invocation: _Invocation) -> InvocationResult:
        self.kill()
        seconds = self.config.timeout_seconds
        message = f"RequestId: {invocation.id} Error: Task timed out after {seconds:.2f} seconds"
        return InvocationResult(_error("Sandbox.Timedout", message), "Unhandled", seconds, timed_out=True)

    def _signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)

    def _log_report(self, request_id: str, result: InvocationResult) -> None:
        line = (
            f"REPORT RequestId: {request_id}\tDuration: {result.seconds * 1000:.2f} ms\t"
            f"Memory Size: {self.config.memory_megabytes} MB\tMax Memory Used: {self.peak_rss_bytes >> 20} MB"
        )
        if result.error is not None and (result.timed_out or b"Runtime.ExitError" in result.payload):
            line += f"\t{orjson.loads(result.payload)['errorMessage']}"
        with self._log_path.open("a") as log_file:
            log_file.write(line + "\n")


_TOO_LARGE = f"Response payload size exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes)."


def _accepted() -> Response:
    return Response(202, [("Content-Type", "application/json")], b'{"status":"OK"}')


def _error(kind: str, message: str) -> bytes:
    return orjson.dumps({"errorType": kind, "errorMessage": message})


def _peak_rss_bytes(pid: int) -> int:
    """0 if the process is gone or the system has no /proc."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
