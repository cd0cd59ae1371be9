"""Calls moto in this process: one Request in, one Response out.

moto's backends are plain Python objects without locks, and a conditional write is a read followed by a write: two
threads could both find their condition true. So there is one call at a time per service, which costs no speed under
Python's interpreter lock.
"""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from urllib.parse import unquote_to_bytes

from moto.core.request import (
    PRESERVED_HEADER_NAMES_ENVIRON_KEY,
    environ_key_for_header,
    should_preserve_original_header_name,
)
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from local.http_server import Request, Response

_UNLOCKED = {"lambda"}
"""Calls that wait for something else of the local cloud and may not hold a lock meanwhile."""

_ONE_APPLICATION = {"dynamodb", "s3", "sqs", "states", "secretsmanager", "kms"}


class MotoGate:
    """Code that uses a backend's objects directly, as the queue poller does, must hold `lock(service)` too."""

    def __init__(self) -> None:
        self._application = DomainDispatcherApplication(create_backend_app)
        self._by_service: dict[str, Any] = {}
        self._locks: dict[str, threading.RLock] = {}
        self._guard = threading.Lock()

    def lock(self, service: str) -> threading.RLock:
        with self._guard:
            return self._locks.setdefault(service, threading.RLock())

    def call(self, request: Request, service: str, *, waits: bool = False) -> Response:
        environ = _environ(request)
        answer: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            answer[:] = [status, headers]

        guard: AbstractContextManager[Any] = nullcontext() if waits or service in _UNLOCKED else self.lock(service)
        with guard:
            parts: Iterable[bytes] = self._application_for(service, environ)(environ, start_response)
            body = b"".join(parts)
        close = getattr(parts, "close", None)
        if close is not None:
            close()
        status, headers = answer
        return Response(int(status.split(" ", 1)[0]), [(k, v) for k, v in headers if k.lower() != "connection"], body)

    def _application_for(self, service: str, environ: dict[str, Any]) -> Any:
        """moto lists its folder for every call to find the service's application; here it does so once."""
        if service not in _ONE_APPLICATION:
            return self._application
        application = self._by_service.get(service)
        if application is None:
            application = self._by_service[service] = self._application.get_application(environ)
        return application


def _environ(request: Request) -> dict[str, Any]:
    """A WSGI environment. The decoded path is latin-1 text of UTF-8 bytes, as WSGI wants it."""
    host, _, port = request.header("host", "127.0.0.1:80").partition(":")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(request.path).decode("latin-1"),
        "QUERY_STRING": request.query,
        "REQUEST_URI": request.target,
        "RAW_URI": request.target,
        "SERVER_NAME": host,
        "SERVER_PORT": port or "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": request.client,
        "CONTENT_LENGTH": str(len(request.body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    preserved: dict[str, str] = {}
    for name, value in request.headers:
        key = environ_key_for_header(name)
        if key == "CONTENT_LENGTH" or name == "transfer-encoding":
            continue
        environ[key] = f"{environ[key]},{value}" if key in environ else value
        if should_preserve_original_header_name(name):
            preserved[key] = name
    environ[PRESERVED_HEADER_NAMES_ENVIRON_KEY] = preserved
    return environ
