"""A receiver of webhooks on this machine, with good and bad manners by path."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

_REFUSALS = 2


@dataclass(frozen=True)
class Received:
    """One request. Header names are in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class WebhookReceiver:
    """`<url>/<manner>/<anything>`: `ok`, `flaky` (500 twice, then 200), `redirect` (to `ok`), `garbage`, `hang` (until
    `release`)."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._released = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                outer._answer(self, body)

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def at(self, path: str) -> list[Received]:
        """What came to this path so far."""
        with self._lock:
            return [each for each in self.received if each.path == path]

    def release(self) -> None:
        """Those that hang get their reply."""
        self._released.set()

    def _answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        with self._lock:
            self.received.append(Received(handler.path, headers, body))
            self._seen[handler.path] += 1
            times = self._seen[handler.path]
        manner = handler.path.split("/")[1]
        if manner == "garbage":
            handler.wfile.write(b"this is no HTTP\r\n\r\n")
            return
        if manner == "hang":
            self._released.wait(60)
        status = {"redirect": 302, "flaky": 500 if times <= _REFUSALS else 200}.get(manner, 200)
        handler.send_response(status)
        if status == 302:
            handler.send_header("location", f"{self.url}/ok/redirected")
        handler.send_header("content-length", "2")
        handler.end_headers()
        handler.wfile.write(b"ok")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
