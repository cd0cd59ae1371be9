"""Local clouds as forks of a process that has imported what they are made of.

    caller ──[options]─ and sockets ──▶ fork server ──fork──▶ as `python -m local --attached options` would
           ◀──────── its pidfd ────────

More than half of the CPU time of a start goes into imports, mostly moto's, and tests start dozens. There is one fork
server for each process that starts clouds. It ends with that process, a cloud when its `end` is closed.

Only on Linux, which has pidfds.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path

from local.deployment.templates import ROOT

_MOST_BYTES = 1 << 20
"""Of a cloud's options."""


class Fork:
    """A local cloud's process: what is needed of `subprocess.Popen`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def wait(self) -> None:
        """Once; afterwards it cannot be killed any more."""
        select.select([self._descriptor], [], [])
        os.close(self._descriptor)


class ForkServer:
    """This process's end of it."""

    def __init__(self) -> None:
        self._end, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._asking = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "local.preloaded", str(theirs.fileno())],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def fork(self, options: str, end: socket.socket, log_path: Path) -> Fork:
        """A local cloud with `options` as JSON, whose standard input and output is `end`."""
        with log_path.open("wb") as log_file, self._asking:
            socket.send_fds(self._end, [options.encode()], [end.fileno(), log_file.fileno()])
            _, (descriptor,), _, _ = socket.recv_fds(self._end, 1, 1)
        return Fork(descriptor)

    def close(self) -> None:
        self._end.close()
        self._process.wait()


@cache
def fork_server() -> ForkServer:
    server = ForkServer()
    atexit.register(server.close)
    return server


def _serve(end: socket.socket) -> str | None:
    """Forks until the caller is gone: None. In each fork: its options."""
    while True:
        options, descriptors, _, _ = socket.recv_fds(end, _MOST_BYTES, 2)
        if not options:
            return None
        _bury()
        pid = os.fork()
        if pid == 0:
            end.close()
            _take_over(*descriptors)
            return options.decode()
        process = os.pidfd_open(pid)
        socket.send_fds(end, [b"."], [process])
        for descriptor in (process, *descriptors):
            os.close(descriptor)


def _bury() -> None:
    """Those that have ended. Until then nobody else is given their ids."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _take_over(end: int, log_file: int) -> None:
    for target, source in ((0, end), (1, end), (2, log_file)):
        os.dup2(source, target)
    os.close(end)
    os.close(log_file)


def _main() -> int:
    for name in [name for name in os.environ if name.startswith(("AWS_", "PYTHONWARNINGS"))]:
        del os.environ[name]
    for name in ("local.host", "local.__main__"):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    options = _serve(socket.socket(fileno=int(sys.argv[1])))
    if options is None:
        return 0
    from moto.moto_api._internal import mock_random

    from local.__main__ import main

    mock_random.seed()  # or all clouds would make the same ids
    return main(["--attached", options])


if __name__ == "__main__":
    code = _main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # as local/__main__.py does
