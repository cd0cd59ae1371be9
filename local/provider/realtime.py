"""One realtime call of any vendor: refused, broken or answered, and how long that takes."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from typing import Any

from local.provider.answering import Answering, Caller, Item
from local.provider.answers.content import Endpoint
from local.provider.config import Config
from local.provider.dialects import Bucket, Dialect
from local.provider.faults import Dice, Fault
from local.provider.wire import (
    CLOSE,
    NO_REQUEST_ID,
    RESET,
    SILENT,
    Refused,
    Reply,
    Request,
    json_body,
    json_reply,
    phrase,
    reply,
    with_headers,
)


class Realtime:
    def __init__(self, answering: Answering, config: Config, clock: Callable[[], float]) -> None:
        self._answering = answering
        self._clock = clock
        self.configure(config)

    def configure(self, config: Config) -> None:
        self.config = config
        self._draws = bool(config.faults or config.flex_faults or config.latency_sigma)
        self._fixed_delay = config.latency_ms / 1000
        self._bucket = float(config.burst)
        self._bucket_at = self._clock()

    def receive(self, request: Request, caller: Caller, dialect: Dialect, endpoint: Endpoint) -> Reply:
        """Raises Refused for a request that is not received as an item's at all."""
        now = self._clock()
        body = json_body(request)
        if dialect.check_call is not None:
            dialect.check_call(request, body)
        if dialect.complete is not None:
            body = dialect.complete(body, request)
        item = self._answering.receive(caller, dialect, endpoint, body, request.body, now)
        self._answering.read_wishes(item, request.body)
        dice = Dice(self.config.seed, item.request, item.attempt) if self._draws else None
        limited = self._over_the_limit(now) if self.config.rate_per_second else None
        delay_seconds = self._delay(dice, item.wishes.numbers.get("latency"))
        replied = self._reply(item, dice, limited, now, delay_seconds)
        if self.config.rate_headers and self.config.rate_per_second and limited is None:
            replied.data = with_headers(replied.data, dialect.rate_headers(self._left(now)))
        replied.delay_seconds = delay_seconds
        if replied.answer != "200":
            replied.data = replied.data.replace(NO_REQUEST_ID, b"x-request-id: req_%b" % item.request.hex().encode(), 1)
        replied.request = item.request
        replied.tags = _tags(body)
        return replied

    def _reply(self, item: Item, dice: Dice | None, limited: float | None, now: float, delay_seconds: float) -> Reply:
        fault = item.wishes.fault
        if fault is None and dice is not None:
            fault = dice.fault(self.config.flex_faults if item.mode == "flex" else self.config.faults)
        try:
            if limited is not None:
                return self._too_many(item.dialect, limited, now)
            if fault is not None and fault.kind == "status":
                return self._failed(item.dialect, fault.status, item.wishes.numbers.get("retry_after", 1.0), now)
            if fault is not None and fault.kind == "insufficient_quota":
                raise Refused(429, _NO_MONEY, kind=fault.kind, code=fault.kind)
            if fault is not None and fault.kind == "resource_unavailable":
                raise Refused(429, _NO_ROOM, code=fault.kind)
            good = self._good(item, now, delay_seconds)
        except Refused as refused:
            return json_reply(refused.status, item.dialect.error_body(refused))
        return good if fault is None else _with_fault(good, fault, item.dialect, self.config.huge_bytes)

    def _good(self, item: Item, now: float, delay_seconds: float) -> Reply:
        content, bill = self._answering.answer(item, now, delay_seconds)
        name = item.request.hex().encode()
        stream = item.endpoint.stream
        if stream is not None and item.body.get("stream") is True:
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in stream(item.body, content))
            return Reply(_STREAM_HEAD % name + chunks + b"0\r\n\r\n", good=True, bill=bill)
        return Reply(_OK_HEAD % (name, len(content)) + content, good=True, bill=bill)

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

    def _too_many(self, dialect: Dialect, seconds: float, now: float) -> Reply:
        message = f"Rate limit reached. Please try again in {seconds:.3f}s."
        limits = [*dialect.rate_headers(self._left(now)), *self._retry_after(seconds, now)]
        return json_reply(429, dialect.error_body(Refused(429, message, code="rate_limit_exceeded")), limits)

    def _left(self, now: float) -> Bucket:
        seconds = (self.config.burst - int(self._bucket)) / self.config.rate_per_second
        return Bucket(self.config.burst, int(self._bucket), seconds, now + seconds, self.config.rate_per_second)

    def _failed(self, dialect: Dialect, status: int, retry_after_seconds: float, now: float) -> Reply:
        headers = self._retry_after(retry_after_seconds, now) if status == 429 else []
        refused = Refused(status, f"Simulated {phrase(status)}.", code="simulated")
        return json_reply(status, dialect.error_body(refused), headers)

    def _retry_after(self, seconds: float, now: float) -> list[str]:
        match self.config.retry_after:
            case "date":
                return [f"retry-after: {formatdate(-(-(now + seconds) // 1), usegmt=True)}"]
            case "seconds":
                return [f"retry-after: {-(-seconds // 1):.0f}"]
        return []


_NO_MONEY = "You exceeded your current quota, please check your plan and billing details."
_NO_ROOM = "There is no room for flex processing right now. Try again later, or with the default service tier."
_OK_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nopenai-version: 2020-10-01\r\n"
    b"x-request-id: req_%b\r\ncontent-length: %d\r\n\r\n"
)
_STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"x-request-id: req_%b\r\ntransfer-encoding: chunked\r\n\r\n"
)


def _with_fault(good: Reply, fault: Fault, dialect: Dialect, huge_bytes: int) -> Reply:
    """A good reply with the fault applied."""
    head, _, content = good.data.partition(b"\r\n\r\n")
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
        case "missing":
            return good
    match fault.shape:
        case "not_json":
            content, content_type = b"upstream connect error or disconnect", "application/json"
        case "truncated":
            content, content_type = content[: len(content) // 2], "application/json"
        case "html":
            content, content_type = b"<html><body><h1>502 Bad Gateway</h1></body></html>", "text/html"
        case "error":
            failed = Refused(500, "The model failed to answer.")
            content, content_type = dialect.error_body(failed), "application/json"
        case "empty":
            content, content_type = b"", "application/json"
        case "huge":
            content, content_type = b'{"filler":"' + b"x" * huge_bytes + b'"}', "application/json"
        case _:
            content_type = "text/plain"
    is_good = fault.shape == "wrong_type"
    malformed = reply(200, content, content_type, [], good=is_good)
    malformed.bill = good.bill if is_good else None
    malformed.answer = f"malformed:{fault.shape}"
    return malformed


def _tags(body: dict[str, Any]) -> tuple[str, ...]:
    tags = ("all", f"model:{body.get('model')}")
    metadata = body.get("metadata")
    if isinstance(metadata, dict) and "tag" in metadata:
        return (*tags, f"tag:{metadata['tag']}")
    return tags
