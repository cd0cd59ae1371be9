"""`LocalCloud`: starts the local cloud in a process of its own and drives it. For tests, the benchmark and the demo.

    with LocalCloud() as cloud:
        client = OpenAI(base_url=f"{cloud.api_url}/v1", api_key=cloud.api_key)
        cloud.fail("work", operation="UpdateItem", nth=3)
        ...
        cloud.meter()

It is a process of its own, because moto's state is global, and its threads would share an interpreter lock with the
caller's.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
import botocore.session
from botocore.config import Config

from local.deployment.templates import ROOT
from local.options import Options
from local.preloaded import Fork, fork_server

START_SECONDS = 600.0
"""It takes four; a machine on which ten start at once needs minutes."""
_ENDS_SECONDS = 20.0
_BUSY_SECONDS = 300.0
"""How long `invoke` asks again while a function is as often at work as it may be."""

Described = dict[str, Any]
"""A JSON object that the local cloud answers with."""


class LocalCloudError(Exception):
    """The local cloud did not start, or refused a control call; the message has its reason."""


class LocalCloud:
    """Attributes after `start`: api_url, aws_endpoint, region, access_key_id, secret_access_key, data_bucket,
    drop_bucket, table_name, account_id and api_key (of the first account), functions (short name -> physical name),
    state_machines, provider_url, logs."""

    api_url: str
    aws_endpoint: str
    region: str
    access_key_id: str
    secret_access_key: str
    data_bucket: str
    drop_bucket: str
    table_name: str
    account_id: str
    api_key: str
    functions: dict[str, str]
    state_machines: list[str]
    provider_url: str
    logs: str

    def __init__(self, **options: Any) -> None:
        """`options` are the fields of options.Options."""
        self._temporary = tempfile.TemporaryDirectory(prefix="batchyard-")
        self.folder = Path(self._temporary.name)
        self._options = Options(folder=self.folder, **options)
        self._process: subprocess.Popen[bytes] | Fork | None = None
        self._clients: Described = {}

    def start(self) -> Self:
        log_path = self.folder / "cloud.log"
        self._end, theirs = socket.socketpair()
        with theirs:
            start = fork_server().fork if self._options.preload and sys.platform == "linux" else _start
            self._process = start(self._options.to_json(), theirs, log_path)
        try:
            line = self._first_line()
        except BaseException:  # Ctrl-C, too. It would hear of its parent's end only when it is ready
            self._process.kill()
            self.stop()
            raise
        if not line:
            logged = log_path.read_text()[-4000:]
            self.stop()
            raise LocalCloudError(f"the local cloud did not start:\n{logged}")
        self.__dict__.update(json.loads(line))
        return self

    def _first_line(self) -> str:
        """What the process says when it is ready; empty if it ended, or was not ready in time."""
        assert self._process is not None
        overdue = threading.Timer(START_SECONDS, self._process.kill)
        overdue.start()
        try:
            with self._end.makefile() as said:
                return said.readline()
        finally:
            overdue.cancel()

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        self._end.close()
        _wait(process, _ENDS_SECONDS)
        self._temporary.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # Using it.

    def client(self, service: str, **config: Any) -> Any:
        """A boto3 client with the operator's credentials; the same one for the same arguments."""
        name = f"{service} {self.aws_endpoint} {self.access_key_id} {self.secret_access_key} {sorted(config.items())}"
        with _making_clients:
            if name not in self._clients:
                self._clients[name] = self._new_client(service, config)
        return self._clients[name]

    def _new_client(self, service: str, config: dict[str, Any]) -> Any:
        new: Callable[..., Any] = _own_session().client
        usual = Config(retries={"mode": "standard"}, read_timeout=900, max_pool_connections=32)
        return new(
            service,
            endpoint_url=self.aws_endpoint,
            region_name=self.region,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            config=usual.merge(Config(**config)),
        )

    def create_account(self, name: str) -> tuple[str, str]:
        """(account id, API key)"""
        created = self._control("POST", "accounts", name=name)
        return created["account_id"], created["api_key"]

    def operator(self, action: str, **fields: Any) -> Any:
        """What the admin function answers to an operator."""
        return self._control("POST", "operator", action=action, **fields)

    def invoke(self, function: str, event: Any) -> Any:
        """A synchronous invoke by short name, once the function is free: Sweep runs by itself, too, and never twice at
        once. Raises LocalCloudError when the function fails."""
        answer = self._invoke_when_free(FunctionName=self.functions[function], Payload=json.dumps(event))
        payload = json.loads(answer["Payload"].read() or b"null")
        if "FunctionError" in answer:
            raise LocalCloudError(f"{function}: {payload}")
        return payload

    def _invoke_when_free(self, **parameters: str) -> Any:
        client = self.client("lambda")
        patience_ends = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                return client.invoke(**parameters)
            except client.exceptions.TooManyRequestsException:  # botocore has repeated it twice by then
                if time.monotonic() > patience_ends:
                    raise

    def log(self, function: str) -> str:
        """What the function's processes have written so far; of the local cloud itself for `cloud`."""
        path = self.folder / "cloud.log" if function == "cloud" else Path(self.logs) / f"{function}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def queue_depths(self) -> dict[str, int]:
        """Messages per queue, visible or not."""
        depths: dict[str, int] = self._control("GET", "queues")
        return depths

    # Looking at it.

    def meter(self) -> Described:
        """What AWS would bill since the start or `reset_meter`; see meter.Meter."""
        counted: Described = self._control("GET", "meter")
        return counted

    def reset_meter(self) -> None:
        self._control("POST", "meter/reset")

    def denials(self) -> list[dict[str, str]]:
        """The grants that were missing: [{"function", "action", "resource"}]. Empty in a correct deployment."""
        denied: list[dict[str, str]] = self._control("GET", "denials")
        return denied

    def processes(self, function: str | None = None) -> list[Described]:
        """[{"function", "pid", "busy", "peak_rss_bytes"}]"""
        running: list[Described] = self._control("GET", "processes")
        return [each for each in running if function in (None, each["function"])]

    # Breaking it.

    def kill(self, function: str, *, busy_only: bool = True) -> int:
        """Kills the function's processes with SIGKILL; returns how many."""
        killed: int = self._control("POST", "kill", function=function, busy_only=busy_only)
        return killed

    def fail(self, function: str | None = None, **fault: Any) -> int:
        """Makes the nth matching AWS call from now on, and the times-1 after it, fail; returns the fault's id. The
        fields are those of faults.Fault. The SDK repeats a call that ended with 500 by itself, up to five calls."""
        number: int = self._control("POST", "faults", function=function, **fault)
        return number

    def unfail(self, fault: int) -> Described:
        """Takes the fault away; returns it with `seen` (calls that matched) and `fired` (those that met it)."""
        found: Described = self._control("POST", "faults/remove", id=fault)
        return found

    def limit(self, function: str, timeout_seconds: float | None) -> None:
        """Gives the function another timeout, from its next invocation on; None: the template's."""
        self._control("POST", "limit", function=function, timeout_seconds=timeout_seconds)

    def occupy(self, executions: int) -> None:
        """So many of the account's concurrent executions are used by neighbours from now on. Needs the option
        `account_concurrency`."""
        self._control("POST", "neighbours", executions=executions)

    def replace_code(self, functions_path: Path | None = None) -> None:
        """Deploys other code for every function, None: the first one. What runs ends with the code that it had."""
        path = self._options.functions_path if functions_path is None else functions_path
        self._control("POST", "code", functions_path=str(path))

    def faults(self) -> list[Described]:
        """The faults that were set, with `seen` (calls that matched) and `fired`."""
        found: list[Described] = self._control("GET", "faults")
        return found

    def clear_faults(self) -> None:
        self._control("POST", "faults/clear")

    def deliver(self, **switches: Any) -> None:
        """Sets switches of the queue poller: duplicate, visibility_seconds, redelivery_seconds,
        noisy_messages."""
        self._control("POST", "delivery", **switches)

    def fire(self, name: str) -> int:
        """Runs the scheduled rules of the function `name` now; returns how many there were."""
        fired: int = self._control("POST", "fire", name=name)
        return fired

    def _control(self, method: str, path: str, **body: Any) -> Any:
        request = urllib.request.Request(
            f"{self.aws_endpoint}/_local/{path}",
            method=method,
            data=json.dumps(body).encode() if method == "POST" else None,
        )
        try:
            with urllib.request.urlopen(request, timeout=600) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                raise LocalCloudError(f"{method} {path}: {error.read().decode()}") from error


def _start(options: str, end: socket.socket, log_path: Path) -> subprocess.Popen[bytes]:
    """A local cloud whose standard input and output is `end`, as a process of its own."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "PYTHONWARNINGS"))}
    command, fd = [sys.executable, "-m", "local", "--attached", options], end.fileno()
    with log_path.open("wb") as log_file:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=fd,
            stdout=fd,
            stderr=log_file,
            start_new_session=True,  # a terminal's Ctrl-C is for the caller, who still wants to cancel its batch
        )


def _wait(process: subprocess.Popen[bytes] | Fork, seconds: float) -> None:
    """Until it has ended; it is killed after `seconds`."""
    overdue = threading.Timer(seconds, process.kill)
    overdue.start()
    process.wait()
    overdue.cancel()


_making_clients = threading.Lock()
"""A session is not made for several threads."""


@cache
def _own_session() -> boto3.session.Session:
    """A session that reads no AWS profile of this machine."""
    nothing = dict.fromkeys(("config_file", "credentials_file"), (None, None, os.devnull, None))
    session_vars = {"profile": (None, None, None, None)} | nothing
    return boto3.session.Session(botocore_session=botocore.session.Session(session_vars=session_vars))
