"""Stands between the functions and the local cloud's AWS endpoint and keeps every call, so that a test can look for
what must not be in any."""

from __future__ import annotations

import http.client
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Recorded:
    """`operation`: the last part of X-Amz-Target, or method and path if there is none."""

    operation: str
    request: bytes
    response: bytes


class Recorder:
    """`url` is what functions are given as their AWS endpoint; `upstream` the real one, to be set before they call."""

    def __init__(self) -> None:
        self.upstream = ""
        self.calls: list[Recorded] = []
        recorder = self

        class Handler(_Handler):
            def record(self, recorded: Recorded) -> None:
                recorder.calls.append(recorded)

            def address(self) -> str:
                return urlsplit(recorder.upstream).netloc

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="recorder", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    """One thread and one connection upstream per connection."""

    protocol_version = "HTTP/1.1"
    _connection: http.client.HTTPConnection | None = None

    def record(self, recorded: Recorded) -> None:
        raise NotImplementedError

    def address(self) -> str:
        raise NotImplementedError

    def finish(self) -> None:
        super().finish()
        if self._connection is not None:
            self._connection.close()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self.address(), timeout=120)
        self._connection.request(self.command, self.path, body, headers)
        answer = self._connection.getresponse()
        content = answer.read()
        operation = self.headers.get("X-Amz-Target", f"{self.command} {self.path}").rpartition(".")[2]
        self.record(Recorded(operation, b"%r %b" % (sorted(headers.items()), body), content))
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        if length is not None and answer.status != 204:
            self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _forward  # noqa: N815
