"""A small threaded HTTP/1.1 server, for the API gateway, the AWS endpoint and the Lambda Runtime API.

It owns sockets and limits (httptools parses); a handler answers. One thread per connection, connections are kept alive.
A request that is broken, too large, too slow or cut short never reaches the handler; it is answered with a 4xx if an
answer can still be sent. docs/decisions/0025-a-server-of-our-own.md says why no library's server is used.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus

import httptools

log = logging.getLogger(__name__)

READ_BYTES = 256 * 1024
DRAIN_BYTES = 256 * 1024 * 1024
"""How much of a refused request is read and thrown away at most, so that its sender reads the answer."""


@dataclass(slots=True)
class Request:
    """`target` is the raw request target (path and query as sent); header names are lower-case, in order of arrival."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    client: str

    def header(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.headers if key == name), default)

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]


@dataclass(slots=True)
class Response:
    """`cut`: the connection is closed without an answer, as a broken network does it."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    cut: bool = False


Handler = Callable[[Request], Response]
Refusal = Callable[[int, str], Response]


@dataclass(frozen=True, slots=True)
class HttpLimits:
    header_bytes: int = 64 * 1024
    body_bytes: int = 6 * 1024**3
    idle_seconds: float = 600.0
    """How long a kept-alive connection may be silent between requests."""
    stall_seconds: float = 30.0
    """How long a request may stop arriving in the middle."""


class _Refused(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class HttpServer:
    """Serves `handler` on `port` (0: any free one) of the loopback interface until `close`."""

    def __init__(
        self,
        handler: Handler,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        limits: HttpLimits | None = None,
        refuse: Refusal | None = None,
        name: str = "http",
    ) -> None:
        self.handler = handler
        self.limits = limits or HttpLimits()
        self.refuse = refuse or _plain_refusal
        self.name = name
        self._socket = socket.create_server((host, port), backlog=512)
        self.host, self.port = self._socket.getsockname()[:2]
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False
        threading.Thread(target=self._accept, name=f"{name}-accept", daemon=True).start()

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def close(self) -> None:
        self._closed = True
        # A thread blocked in accept() is only woken by shutdown, not by close.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection, address = self._socket.accept()
            except OSError:
                if self._closed:
                    return
                log.exception("%s: accept failed", self.name)
                time.sleep(0.1)  # The process has no file descriptor left: wait until some are closed.
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._connections.add(connection)
            threading.Thread(
                target=self._serve, args=(connection, address[0]), name=f"{self.name}-connection", daemon=True
            ).start()

    def _serve(self, connection: socket.socket, client: str) -> None:
        try:
            _Connection(self, connection, client).run()
        except OSError:
            log.debug("%s: %s went away", self.name, client)
        finally:
            with self._lock:
                self._connections.discard(connection)
            connection.close()


class _Connection:
    """One client's connection. httptools calls the `on_` methods while it is fed."""

    def __init__(self, server: HttpServer, connection: socket.socket, client: str) -> None:
        self.server = server
        self.socket = connection
        self.client = client
        self.parser = httptools.HttpRequestParser(self)
        self.ready: list[tuple[Request, bool]] = []
        self.refused: _Refused | None = None
        self.on_message_begin()

    # httptools calls these.

    def on_message_begin(self) -> None:
        self.started = False
        self.url = b""
        self.headers: list[tuple[str, str]] = []
        self.header_bytes = 0
        self.chunks: list[bytes] = []
        self.body_bytes = 0

    def on_url(self, url: bytes) -> None:
        self.started = True
        self.url += url
        self._count_header(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_header(len(name) + len(value) + 4)
        self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        for name, value in self.headers:
            if name == "content-length" and int(value) > self.server.limits.body_bytes:
                self._refuse(413, "the body is too large")
            if name == "expect" and value.lower() == "100-continue":
                self.socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self.body_bytes += len(body)
        if self.body_bytes > self.server.limits.body_bytes:
            self._refuse(413, "the body is too large")
        self.chunks.append(body)

    def on_message_complete(self) -> None:
        request = Request(
            self.parser.get_method().decode("latin-1"),
            self.url.decode("latin-1"),
            self.headers,
            b"".join(self.chunks),
            self.client,
        )
        self.ready.append((request, self.parser.should_keep_alive()))
        self.on_message_begin()

    def _count_header(self, size: int) -> None:
        self.header_bytes += size
        if self.header_bytes > self.server.limits.header_bytes:
            self._refuse(431, "the headers are too large")

    def _refuse(self, status: int, reason: str) -> None:
        self.refused = _Refused(status, reason)
        raise self.refused

    # The loop.

    def run(self) -> None:
        while True:
            limits = self.server.limits
            self.socket.settimeout(limits.stall_seconds if self.started else limits.idle_seconds)
            try:
                data = self.socket.recv(READ_BYTES)
            except TimeoutError:
                if self.started:
                    self._answer_and_close(408, "the request stopped arriving")
                return
            if not data:
                if self.started:
                    self._answer_and_close(400, "the request was cut short")
                return
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade:
                self._answer_and_close(400, "protocol upgrades are not supported")
                return
            except httptools.HttpParserError as error:
                refused = self.refused or _Refused(400, f"not HTTP: {error}")
                self._answer_and_close(refused.status, refused.reason)
                return
            for request, keep_alive in self.ready:
                if not self._answer(request, keep_alive):
                    return
            self.ready.clear()

    def _answer(self, request: Request, keep_alive: bool) -> bool:
        try:
            response = self.server.handler(request)
        except Exception:
            log.exception("%s: %s %s failed", self.server.name, request.method, request.path)
            response = self.server.refuse(500, "internal error")
        if response.cut:
            return False
        self.socket.settimeout(self.server.limits.stall_seconds)
        self._send(response, request.method, keep_alive)
        return keep_alive

    def _answer_and_close(self, status: int, reason: str) -> None:
        self.socket.settimeout(2.0)
        self._send(self.server.refuse(status, reason), "GET", keep_alive=False)
        self.socket.shutdown(socket.SHUT_WR)
        # If the connection were closed while the client still sends, its kernel would drop our answer.
        drained = 0
        while drained < DRAIN_BYTES and (data := self.socket.recv(READ_BYTES)):
            drained += len(data)

    def _send(self, response: Response, method: str, keep_alive: bool) -> None:
        head = [f"HTTP/1.1 {response.status} {_phrase(response.status)}"]
        head += [f"{name}: {value}" for name, value in response.headers]
        named = {name.lower() for name, _ in response.headers}
        if "content-length" not in named and response.status not in (204, 304):
            head.append(f"Content-Length: {len(response.body)}")
        if not keep_alive:
            head.append("Connection: close")
        block = ("\r\n".join(head) + "\r\n\r\n").encode("latin-1", "replace")
        body = b"" if method == "HEAD" or response.status in (204, 304) else response.body
        if len(body) < READ_BYTES:
            self.socket.sendall(block + body)
        else:
            self.socket.sendall(block)
            self.socket.sendall(body)


_PHRASES = {status.value: status.phrase for status in HTTPStatus}


def _phrase(status: int) -> str:
    return _PHRASES.get(status, "Unknown")


def _plain_refusal(status: int, reason: str) -> Response:
    return Response(status, [("Content-Type", "text/plain")], reason.encode())
