"""A process that has imported what functions import, and forks into the functions' processes.

    local cloud ──[handler, variables, log]──▶ nursery ──fork──▶ as `python -m awslambdaric handler`
                ◀──[pid, null], then [pid, exit code]──┘

Most of a second of CPU time goes into the start of a function's process: it imports boto3 and other packages, then the
deployed code, then reads boto3's descriptions of services. Tests start hundreds. A fork has all of it from its first
moment, except its handler's own module, which may look at its environment; a function whose code was replaced
meanwhile imports its own. Starts are therefore shorter than real ones: benchmarks do without.

Only on Linux, which has pidfds: no signal goes to a stranger that was given the same number.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import boto3
import botocore.session
from botocore.loaders import create_loader
from botocore.retries import standard

from local.functions.spawning import die_with_parent

_PACKAGES = (
    "aiohttp",
    "aws_lambda_powertools.logging",
    "aws_lambda_powertools.metrics",
    "aws_lambda_powertools.utilities.typing",
    "boto3",
    "orjson",
    "pydantic",
    "python_multipart",
    "uvloop",
)
"""Not awslambdaric: it reads the address of the Runtime API when it is imported."""
_CODE = "batchyard"
_SERVICES = ("dynamodb", "lambda", "s3", "secretsmanager", "sqs", "stepfunctions")
_PR_SET_PDEATHSIG = 1
"""prctl.h"""


class Child:
    """A process that a nursery bore: what a sandbox needs of `subprocess.Popen`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)
        self._code: int | None = None
        self._changed = threading.Condition()

    def ended(self, code: int) -> None:
        with self._changed:
            self._code = code
            os.close(self._descriptor)
            self._changed.notify_all()

    def poll(self) -> int | None:
        return self._code

    def wait(self) -> int:
        with self._changed:
            self._changed.wait_for(lambda: self._code is not None)
            assert self._code is not None
            return self._code

    def send_signal(self, number: int) -> None:
        with self._changed, contextlib.suppress(ProcessLookupError):
            if self._code is None:
                signal.pidfd_send_signal(self._descriptor, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Nursery:
    """The local cloud's end of it. Has to be made by a thread that lives as long as the local cloud does."""

    def __init__(self, root: Path, functions_path: Path, wait_scale: float = 1.0) -> None:
        """`functions_path`: where the deployed code is. `wait_scale`: a factor for how long boto3 waits before it
        repeats a call."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [
                    *die_with_parent(),
                    sys.executable,
                    "-m",
                    "local.functions.nursery",
                    str(theirs.fileno()),
                    str(functions_path),
                    str(wait_scale),
                ],
                cwd=root,
                env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "en_US.UTF-8"},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._end = ours
        self._asking = threading.Lock()
        self._changed = threading.Condition()
        self._children: dict[int, Child] = {}
        self._newest: Child | None = None
        self._is_gone = False
        self._listening = threading.Thread(target=self._listen, name="nursery", daemon=True)
        self._listening.start()

    def bear(self, handler: str, variables: Mapping[str, str], log_path: Path) -> Child:
        """A process that runs the function. Raises RuntimeError if the nursery is gone."""
        with self._asking, self._changed:
            self._end.sendall(json.dumps([handler, dict(variables), str(log_path)]).encode() + b"\n")
            self._changed.wait_for(lambda: self._newest is not None or self._is_gone)
            child, self._newest = self._newest, None
        if child is None:
            raise RuntimeError("the nursery is gone")
        return child

    def close(self) -> None:
        """Ends it, and all that it bore."""
        self._process.kill()
        self._process.wait()
        self._listening.join()
        self._end.close()

    def _listen(self) -> None:
        with self._end.makefile(encoding="utf-8") as lines:
            for line in lines:
                pid, code = json.loads(line)
                with self._changed:
                    if code is None:
                        self._newest = self._children[pid] = Child(pid)
                        self._changed.notify_all()
                    else:
                        self._children.pop(pid).ended(code)
        with self._changed:
            self._is_gone = True
            self._changed.notify_all()
            for child in self._children.values():
                child.ended(-signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class _Birth:
    handler: str
    variables: dict[str, str]
    log_path: str


def _serve(end: socket.socket) -> _Birth | None:
    """Bears children until the local cloud is gone: None. In each child: what it is to be."""
    wakes, wake = os.pipe()
    os.set_blocking(wakes, False)
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    received = b""
    while True:
        ready, _, _ = select.select([end.fileno(), wakes], [], [])
        if wakes in ready:
            os.read(wakes, 4096)
            _report_ended(end)
        if end.fileno() not in ready:
            continue
        data = end.recv(65_536)
        if not data:
            return None
        *lines, received = (received + data).split(b"\n")
        for line in lines:
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                end.close()
                os.close(wakes)
                os.close(wake)
                return _Birth(*json.loads(line))
            end.sendall(b"[%d,null]\n" % pid)


def _report_ended(end: socket.socket) -> None:
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            end.sendall(b"[%d,%d]\n" % (found[0], os.waitstatus_to_exitcode(found[1])))


def _become(birth: _Birth, parent: int, known_code: str) -> None:
    """Goes on as `python -m awslambdaric handler` with these variables would."""
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    log = os.open(birth.log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, log), (2, log)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(birth.variables)
    time.tzset()
    if birth.variables["PYTHONPATH"] != known_code:
        _forget_code()
    sys.path[1:1] = birth.variables["PYTHONPATH"].split(os.pathsep)
    sys.argv = ["awslambdaric", birth.handler]
    runpy.run_module("awslambdaric", run_name="__main__", alter_sys=True)


def _import_code(functions_path: str) -> None:
    """All of it but the handlers. The path is taken away again: each function has its own."""
    sys.path.insert(1, functions_path)
    for name in _modules(Path(functions_path) / _CODE):
        importlib.import_module(name)
    sys.path.remove(functions_path)


def _modules(package: Path) -> Iterator[str]:
    for found in pkgutil.iter_modules([str(package)]):
        if found.name != "handlers":
            yield from _names_below(package / found.name, f"{_CODE}.{found.name}")


def _names_below(path: Path, name: str) -> Iterator[str]:
    yield name
    for found in pkgutil.iter_modules([str(path)]):
        yield from _names_below(path / found.name, f"{name}.{found.name}")


def _forget_code() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == _CODE]:
        del sys.modules[name]


def _remember_descriptions() -> None:
    """What boto3 knows of AWS is looked up and parsed once in here, and not again by each function: all sessions have
    one loader, which keeps what it has read."""
    botocore.session.create_loader = cache(create_loader)
    session = boto3.session.Session(aws_access_key_id="none", aws_secret_access_key="none", region_name="us-east-1")
    for service in _SERVICES:
        session.client(service)  # type: ignore[call-overload]  # one of those above


def _scale_waits(factor: float) -> None:
    usual = standard.ExponentialBackoff.delay_amount

    def scaled(self: standard.ExponentialBackoff, context: standard.RetryContext) -> float:
        return factor * float(usual(self, context))

    standard.ExponentialBackoff.delay_amount = scaled  # type: ignore[method-assign]


def _main() -> None:
    descriptor, functions_path, wait_scale = sys.argv[1:]
    for name in _PACKAGES:
        importlib.import_module(name)
    _import_code(functions_path)
    _remember_descriptions()
    _scale_waits(float(wait_scale))
    gc.collect()
    gc.freeze()  # a fork that looks through all of this for garbage would have to copy it first
    parent = os.getpid()
    birth = _serve(socket.socket(fileno=int(descriptor)))
    if birth is not None:
        _become(birth, parent, functions_path)


if __name__ == "__main__":
    _main()
