"""A request as it came in, a reply as it goes out, and the bytes of replies."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

import orjson

if TYPE_CHECKING:
    from local.provider.ledger import Bill

KEEP, CLOSE, RESET, SILENT = "keep", "close", "reset", "silent"
"""How a reply ends: the connection is kept, closed or reset; or the reply never ends (only a part of its bytes is
sent)."""

NO_REQUEST_ID = b"x-request-id: req_none"
"""A placeholder in replies, which the hash of the request replaces. It stays if the request was refused."""


class Request(NamedTuple):
    """`headers` as they came, names in any case."""

    method: str
    path: str
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] | list[tuple[bytes, bytes]] = ()
    query: str = ""

    def header(self, name: bytes) -> str:
        """Empty if there is none. `name` is in lower case."""
        length = len(name)
        for key, value in self.headers:
            if len(key) == length and key.lower() == name:
                return value.decode("latin-1")
        return ""

    def parameters(self) -> dict[str, str]:
        return dict(parse_qsl(self.query, keep_blank_values=True))


@dataclass(slots=True)
class Reply:
    data: bytes
    """Head and body, or the part of them that is sent."""
    delay_seconds: float = 0.0
    ending: str = KEEP
    answer: str = "200"
    """The ledger's name for it: a status, or the fault if no status is sent."""
    good: bool = False
    request: bytes = b""
    tags: tuple[str, ...] = ()
    bill: Bill | None = None
    """What its client pays once it has arrived."""


class Refused(Exception):
    """A request that is answered with an error. `kind`, `param` and `code` are OpenAI's fields of an error; a dialect
    that has none of them leaves them out."""

    def __init__(
        self, status: int, message: str, *, kind: str | None = None, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.code = code


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart/form-data body."""

    content: bytes
    filename: str = ""
    headers: dict[str, str] = field(default_factory=dict)


def form_parts(request: Request) -> dict[str, Part]:
    """The parts of a multipart body by name; a repeated name keeps its last part. Raises Refused for another body."""
    content_type = request.header(b"content-type")
    _, found, boundary = content_type.partition("boundary=")
    if not content_type.startswith("multipart/") or not found:
        raise Refused(400, "The body has to be multipart/form-data.")
    parts = {}
    for piece in (b"\r\n" + request.body).split(b"\r\n--" + boundary.strip('"').encode())[1:-1]:
        head, _, content = piece.partition(b"\r\n\r\n")
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head.decode().split("\r\n") if line)
        }
        said = {
            name.strip(): value.strip('"')
            for name, _, value in (word.partition("=") for word in headers.get("content-disposition", "").split(";"))
        }
        parts[said.get("name", "")] = Part(content, said.get("filename", ""), headers)
    return parts


def json_body(request: Request) -> dict[str, Any]:
    """Raises Refused unless the body is a JSON object."""
    try:
        parsed = orjson.loads(request.body)
    except ValueError:
        parsed = None
    if type(parsed) is not dict:
        raise Refused(400, "We could not parse the JSON body of your request.")
    return parsed


def json_reply(status: int, content: bytes, headers: list[str] | None = None) -> Reply:
    return reply(status, content, "application/json", headers or [], good=False)


def object_reply(content: Any) -> Reply:
    return json_reply(200, orjson.dumps(content))


def reply(status: int, content: bytes, content_type: str, headers: list[str], *, good: bool) -> Reply:
    lines = [
        f"HTTP/1.1 {status} {phrase(status)}",
        f"content-type: {content_type}",
        NO_REQUEST_ID.decode(),
        *headers,
        f"content-length: {len(content)}",
    ]
    return Reply("\r\n".join(lines).encode() + b"\r\n\r\n" + content, answer=str(status), good=good)


def with_headers(data: bytes, headers: list[str]) -> bytes:
    """`headers` come right behind the status; a reply that sends nothing stays that way."""
    status, end, rest = data.partition(b"\r\n")
    return b"\r\n".join([status, *(header.encode() for header in headers), rest]) if end else data


def phrase(status: int) -> str:
    """Vendors use statuses that the standard library has no words for, such as Anthropic's 529."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"
