"""A request and a reply as surfaces see them: no Lambda event, no client library."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from batchyard.core import exact_json
from batchyard.core.errors import InvalidRequest, UnsupportedMediaType

JSON_TYPE = "application/json"
_REPEATS = "x-stainless-retry-count"
_JSON = re.compile(r"application/(json|[\w.+-]+\+json)\s*(;|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Request:
    """Header names are in lower case. `parameters` are those of the route's path, decoded; of a repeated query
    parameter the last one counts. `api_url`: the address before the path."""

    method: str
    path: str
    request_id: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    api_url: str = ""

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "")

    @property
    def is_repeat(self) -> bool:
        """Whether its client says that it has sent it before and heard no answer. The official SDKs of OpenAI and
        Anthropic, and what is built on them, count their repeats in a header."""
        return re.fullmatch(r"0*[1-9][0-9]*", self.headers.get(_REPEATS, "")) is not None

    def json(self) -> Any:
        """The body as JSON, every number exact (`core.exact_json`). Raises UnsupportedMediaType or InvalidRequest."""
        if self.content_type and not _JSON.match(self.content_type.strip()):
            raise UnsupportedMediaType("Send a JSON body with the header 'Content-Type: application/json'.")
        try:
            return exact_json.loads(self.body or b"{}")
        except orjson.JSONDecodeError as error:
            raise InvalidRequest(
                f"We could not parse the JSON body of your request: {error.msg} at character {error.pos}.",
                code="invalid_json",
            ) from error


@dataclass(frozen=True, slots=True)
class Reply:
    """`body` is text in UTF-8 unless `binary`."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    binary: bool = False


def json_reply(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, orjson.dumps(body), {"content-type": JSON_TYPE, **(headers or {})})
