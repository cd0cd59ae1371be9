"""One request in, one reply out. No I/O and no sleeping: a reply says how long to wait and how to end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import orjson

from local.provider.answers import ENDPOINTS, Unanswerable, count_tokens, error_body, model_list
from local.provider.config import Config
from local.provider.faults import NO_WISHES, Dice, Fault, wishes_of
from local.provider.ledger import Ledger, hash_request

_WITNESS_TEXT = "."
"""All that a witness says (`batchyard.core.witness`)."""

KEEP, CLOSE, RESET, SILENT = "keep", "close", "reset", "silent"
"""How a reply ends: the connection is kept, closed or reset; or the reply never ends (only a part of its bytes is
sent)."""


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


class Simulator:
    def __init__(self, config: Config, clock: Callable[[], float] = time.time) -> None:
        self.on_change: Callable[[], None] = lambda: None
        """Called after every change of the settings."""
        self.configure(config)
        self._initial = self.config
        self._clock = clock
        self._bucket = float(config.burst)
        self._bucket_at = clock()
        self.ledger = Ledger()

    def configure(self, config: Config) -> None:
        self.config = config
        self._draws = bool(config.faults or config.latency_sigma)
        self._fixed_delay = config.latency_ms / 1000
        self.on_change()

    def receive(self, method: str, path: str, authorization: str, body: bytes) -> Reply:
        """The reply to a request. If it has tags, the caller tells the ledger when it begins and ends."""
        prefix, found, rest = path.partition("/v1/")
        endpoint = found + rest
        provider = prefix.strip("/") or "default"
        if path.startswith("/_sim/"):
            return self._control(method, path, body)
        refusal = self._refuse(method, provider, endpoint, path, authorization)
        if refusal is not None:
            return refusal
        if endpoint == "/v1/models":
            return _json_reply(200, model_list(int(self._clock())))
        return self._answer(provider, endpoint, authorization.removeprefix("Bearer "), body)

    def _refuse(self, method: str, provider: str, endpoint: str, path: str, authorization: str) -> Reply | None:
        key = authorization.removeprefix("Bearer ").strip() if authorization.startswith("Bearer ") else ""
        if endpoint not in ENDPOINTS and endpoint != "/v1/models":
            return _error(404, f"Invalid URL ({method} {path})")
        if method != ("GET" if endpoint == "/v1/models" else "POST"):
            return _error(405, f"Not allowed to {method} on {endpoint}.")
        if not key:
            return _error(401, "You didn't provide an API key in an Authorization header (Bearer).")
        if provider in self.config.keys and key != self.config.keys[provider]:
            return _error(401, "Incorrect API key provided.", code="invalid_api_key")
        return None

    def _answer(self, provider: str, endpoint: str, key: str, body: bytes) -> Reply:
        now = self._clock()
        try:
            parsed = orjson.loads(body)
            if type(parsed) is not dict:
                raise ValueError("the body is not an object")
        except ValueError:
            return _error(400, "We could not parse the JSON body of your request.")
        request = hash_request(parsed)
        attempt = self.ledger.witnessed() if _is_witness(parsed) else self.ledger.received(request, provider, key, now)
        wishes = NO_WISHES
        if "metadata" in parsed or "user" in parsed:
            try:
                wishes = wishes_of(parsed, attempt)
            except ValueError as error:
                return _error(400, str(error), param="metadata.simulate")
        dice = Dice(self.config.seed, request, attempt) if self._draws else None
        fault = wishes.fault or (dice.fault(self.config.faults) if dice else None)
        limited = self._over_the_limit(now) if self.config.rate_per_second else None
        if limited is not None:
            reply = self._too_many(limited, now)
        elif fault is not None and fault.kind == "status":
            reply = self._failed(fault.status, wishes.numbers.get("retry_after", 1.0), now)
        elif fault is not None and fault.kind == "insufficient_quota":
            reply = _error(429, _NO_MONEY, kind=fault.kind, code=fault.kind)
        else:
            reply = self._good(endpoint, parsed, len(body), request, wishes, now)
            if fault is not None:
                reply = _with_fault(reply, fault, self.config.huge_bytes)
        if self.config.rate_headers and self.config.rate_per_second and limited is None:
            reply.data = _with_headers(reply.data, self._rate_headers())
        reply.delay_seconds = self._delay(dice, wishes.numbers.get("latency"))
        if reply.answer != "200":
            reply.data = reply.data.replace(_NO_REQUEST_ID, b"x-request-id: req_%b" % request.hex().encode(), 1)
        reply.request = request
        reply.tags = _tags(parsed)
        return reply

    def _good(self, endpoint: str, parsed: dict[str, Any], size: int, request: bytes, wishes: Any, now: float) -> Reply:
        answer, stream = ENDPOINTS[endpoint]
        try:
            tokens = count_tokens(parsed, size, request, wishes)
            content = answer(parsed, tokens, request, int(now))
        except Unanswerable as missing:
            return _error(400, missing.args[0], param=missing.args[1])
        if stream is not None and parsed.get("stream") is True:
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in stream(parsed, content))
            return Reply(_STREAM_HEAD % request.hex().encode() + chunks + b"0\r\n\r\n", good=True)
        return Reply(_OK_HEAD % (request.hex().encode(), len(content)) + content, good=True)

    def _delay(self, dice: Dice | None, wish_ms: float | None) -> float:
        if wish_ms is not None:
            return wish_ms / 1000
        if dice is None or not self.config.latency_sigma:
            return self._fixed_delay
        return dice.latency_ms(self.config.latency_ms, self.config.latency_sigma) / 1000

    def _over_the_limit(self, now: float) -> float | None:
        """Takes a token from the bucket; if there is none, returns the seconds until there will be one."""
        rate = self.config.rate_per_second
        self._bucket = min(self.config.burst, self._bucket + (now - self._bucket_at) * rate)
        self._bucket_at = now
        if self._bucket >= 1:
            self._bucket -= 1
            return None
        return (1 - self._bucket) / rate

    def _too_many(self, seconds: float, now: float) -> Reply:
        message = f"Rate limit reached. Please try again in {seconds:.3f}s."
        limits = [*self._rate_headers(), *self._retry_after(seconds, now)]
        return _error(429, message, kind="requests", code="rate_limit_exceeded", headers=limits)

    def _rate_headers(self) -> list[str]:
        """OpenAI's: the size of the bucket, what is left in it, and how long until it is full again."""
        left = int(self._bucket)
        return [
            f"x-ratelimit-limit-requests: {self.config.burst}",
            f"x-ratelimit-remaining-requests: {left}",
            f"x-ratelimit-reset-requests: {(self.config.burst - left) / self.config.rate_per_second:.3f}s",
        ]

    def _failed(self, status: int, retry_after_seconds: float, now: float) -> Reply:
        headers = self._retry_after(retry_after_seconds, now) if status == 429 else []
        kind = "server_error" if status >= 500 else "requests" if status == 429 else "invalid_request_error"
        return _error(status, f"Simulated {_phrase(status)}.", kind=kind, code="simulated", headers=headers)

    def _retry_after(self, seconds: float, now: float) -> list[str]:
        match self.config.retry_after:
            case "date":
                return [f"retry-after: {formatdate(-(-(now + seconds) // 1), usegmt=True)}"]
            case "seconds":
                return [f"retry-after: {-(-seconds // 1):.0f}"]
        return []

    def _control(self, method: str, path: str, body: bytes) -> Reply:
        match method, path:
            case "GET", "/_sim/stats":
                return _json_reply(200, orjson.dumps(self.ledger.stats()))
            case "GET", "/_sim/counts":
                return _json_reply(200, orjson.dumps(self.ledger.counts()))
            case "GET", "/_sim/config":
                return _json_reply(200, orjson.dumps(self.config.to_dict()))
            case "POST", "/_sim/config":
                try:
                    self.configure(self.config.changed(orjson.loads(body)))
                except (ValueError, TypeError) as error:
                    return _error(400, str(error))
                self._bucket, self._bucket_at = float(self.config.burst), self._clock()
                return _json_reply(200, orjson.dumps(self.config.to_dict()))
            case "POST", "/_sim/reset":
                self.ledger.reset()
                self.configure(self._initial)
                return _json_reply(200, b"{}")
        return _error(404, f"Unknown control ({method} {path})")


_NO_MONEY = "You exceeded your current quota, please check your plan and billing details."
_OK_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nopenai-version: 2020-10-01\r\n"
    b"x-request-id: req_%b\r\ncontent-length: %d\r\n\r\n"
)
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"x-request-id: req_%b\r\ntransfer-encoding: chunked\r\n\r\n"
)


_NO_REQUEST_ID = b"x-request-id: req_none"
"""A placeholder in replies, which the hash of the request replaces. It stays if the request was refused."""


def _json_reply(status: int, content: bytes, headers: list[str] | None = None) -> Reply:
    return _reply(status, content, "application/json", headers or [], good=False)


def _reply(status: int, content: bytes, content_type: str, headers: list[str], *, good: bool) -> Reply:
    lines = [
        f"HTTP/1.1 {status} {_phrase(status)}",
        f"content-type: {content_type}",
        _NO_REQUEST_ID.decode(),
        *headers,
        f"content-length: {len(content)}",
    ]
    return Reply("\r\n".join(lines).encode() + b"\r\n\r\n" + content, answer=str(status), good=good)


def _with_headers(data: bytes, headers: list[str]) -> bytes:
    """`headers` come right behind the status; a reply that sends nothing stays that way."""
    status, end, rest = data.partition(b"\r\n")
    return b"\r\n".join([status, *(header.encode() for header in headers), rest]) if end else data


def _phrase(status: int) -> str:
    """Vendors use statuses that the standard library has no words for, such as Anthropic's 529."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"


def _error(
    status: int,
    message: str,
    *,
    kind: str = "invalid_request_error",
    param: str | None = None,
    code: str | None = None,
    headers: list[str] | None = None,
) -> Reply:
    return _json_reply(status, error_body(message, kind, param, code), headers)


def _with_fault(reply: Reply, fault: Fault, huge_bytes: int) -> Reply:
    """A good reply with the fault applied."""
    head, _, content = reply.data.partition(b"\r\n\r\n")
    half = head + b"\r\n\r\n" + content[: len(content) // 2]
    match fault.kind:
        case "hang":
            return Reply(b"", ending=SILENT, answer="hang")
        case "stall":
            return Reply(half, ending=SILENT, answer="stall")
        case "disconnect":
            return Reply(b"", ending=CLOSE, answer="disconnect")
        case "disconnect_mid_body":
            return Reply(half, ending=CLOSE, answer="disconnect_mid_body")
        case "reset":
            return Reply(b"", ending=RESET, answer="reset")
    match fault.shape:
        case "not_json":
            content, content_type = b"upstream connect error or disconnect", "application/json"
        case "truncated":
            content, content_type = content[: len(content) // 2], "application/json"
        case "html":
            content, content_type = b"<html><body><h1>502 Bad Gateway</h1></body></html>", "text/html"
        case "error":
            content, content_type = error_body("The model failed to answer.", "server_error"), "application/json"
        case "empty":
            content, content_type = b"", "application/json"
        case "huge":
            content, content_type = b'{"filler":"' + b"x" * huge_bytes + b'"}', "application/json"
        case _:
            content_type = "text/plain"
    malformed = _reply(200, content, content_type, [], good=fault.shape == "wrong_type")
    malformed.answer = f"malformed:{fault.shape}"
    return malformed


def _tags(parsed: dict[str, Any]) -> tuple[str, ...]:
    tags = ("all", f"model:{parsed.get('model')}")
    metadata = parsed.get("metadata")
    if isinstance(metadata, dict) and "tag" in metadata:
        return (*tags, f"tag:{metadata['tag']}")
    return tags


def _is_witness(parsed: dict[str, Any]) -> bool:
    messages = parsed.get("messages")
    if type(messages) is list and len(messages) == 1:
        return messages == [{"role": "user", "content": _WITNESS_TEXT}]
    return _WITNESS_TEXT in (parsed.get("input"), parsed.get("prompt"))
