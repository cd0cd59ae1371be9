"""An API that answers the dashboard from values that a test sets, and serves its real files with the real rules for
what a page may do. No AWS, no local cloud: a page is there in milliseconds, and can have a million items."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

PAGE = Path(__file__).parents[2] / "functions" / "batchyard" / "dashboard"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)
_TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
API_KEY = "by_live_stubstubstubstub1234"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to the API."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes
    headers: dict[str, str]

    def json(self) -> Any:
        return json.loads(self.body)


class Refusal(Exception):
    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}


Answer = Callable[[Asked], Any]


@dataclass
class StubApi:
    """`answers`: (method, path) -> the JSON, or what makes it. `*` in a path stands for anything; the longest that
    fits is taken. `asked`: every request to the API so far."""

    answers: dict[tuple[str, str], Any] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    url: str = ""
    _server: ThreadingHTTPServer | None = None

    def __enter__(self) -> StubApi:
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}/prod/"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    @property
    def page(self) -> str:
        return f"{self.url}dashboard/index.html"

    def requests(self, method: str, path: str) -> list[Asked]:
        return [each for each in self.asked if (each.method, each.path) == (method, path)]

    def answer(self, asked: Asked) -> Any:
        self.asked.append(asked)
        if asked.headers.get("authorization") != f"Bearer {API_KEY}":
            raise Refusal(401, "Incorrect API key provided.", "invalid_api_key")
        found = self.answers.get((asked.method, asked.path))
        if found is None:
            patterns = [each for each in self.answers if each[0] == asked.method and fnmatchcase(asked.path, each[1])]
            if not patterns:
                raise Refusal(404, f"Invalid URL ({asked.method} {asked.path})", "unknown_url")
            found = self.answers[max(patterns, key=lambda each: len(each[1]))]
        return found(asked) if callable(found) else found


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A page that was left hears no more of its questions, and a test may lose an answer on purpose."""


def _handler(api: StubApi) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            address = urlsplit(self.path)
            path = unquote(address.path).removeprefix("/prod/")
            if path.startswith("dashboard/") and not path.startswith("dashboard/api/"):
                self._file(PAGE / path.removeprefix("dashboard/"))
                return
            length = int(self.headers.get("content-length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, path, dict(parse_qsl(address.query)), self.rfile.read(length), headers)
            try:
                self._send(200, "application/json", json.dumps(api.answer(asked)).encode())
            except Refusal as refusal:
                self._send(refusal.status, "application/json", json.dumps(refusal.body).encode())

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

        def _file(self, file: Path) -> None:
            if file.is_file():
                self._send(200, _TYPES[file.suffix], file.read_bytes())
            else:
                self._send(404, "text/plain", b"")

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.send_header("content-security-policy", POLICY)
            self.send_header("x-content-type-options", "nosniff")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing."""

    return Handler
