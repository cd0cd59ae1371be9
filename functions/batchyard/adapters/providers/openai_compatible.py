"""Calls to a provider that speaks OpenAI's dialect: chat completions, completions, embeddings, responses, moderations.

httpx with the aiohttp transport, called directly: httpx.AsyncClient would double the cost of a call with cookies,
redirects and authentication that a provider call has no use for; a new httpx.Request per call would add a third to it.
The request's bytes are the item's body as it is.
An answer that is streamed (the body asked for it, or the provider knows no other way) becomes the JSON it adds up to.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
import httpx
import orjson
from httpx_aiohttp import AiohttpTransport
from multidict import CIMultiDict

from batchyard.adapters.providers.events import EventStream, StreamBroken, StreamFailed
from batchyard.core.calls import Answer, NoAnswer, ProviderReply
from batchyard.core.ratelimits import RATE_LIMIT_HEADERS, read_rate_advice
from batchyard.core.refusals import ErrorDetails
from batchyard.core.retry import FailureReason, failure_of, read_retry_advice
from batchyard.core.usage import Usage

_KEEP_ALIVE_SECONDS = 30.0
_DNS_SECONDS = 60
_ERROR_TEXT_CHARS = 2000
"""How much of an error page that is no JSON the customer gets to see."""

_EVENT_STREAM = "text/event-stream"
_EVENTS_PER_ANSWER = 24
"""How many times longer a streamed answer may be than a plain one: each token comes in an object of its own."""

_HEADERS_READ = {
    name.encode(): name
    for name in (
        *("content-length", "content-encoding", "content-type", "x-request-id"),
        *("retry-after", "retry-after-ms", "x-should-retry"),
        *RATE_LIMIT_HEADERS,
    )
}

_Headers = Mapping[str, str]


@dataclass(slots=True)
class _Post:
    """What the transport reads of an httpx.Request, with headers that are of aiohttp's type already."""

    url: str
    headers: CIMultiDict[str]
    content: bytes
    extensions: dict[str, Any]
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What a provider's client keeps to. A whole answer must arrive within the two timeouts together."""

    connect_timeout_seconds: float
    read_timeout_seconds: float
    max_connections: int
    max_response_bytes: int

    @property
    def total_seconds(self) -> float:
        return self.connect_timeout_seconds + self.read_timeout_seconds


class OpenAICompatible:
    """One provider. Belongs to the event loop that makes its first call; connections stay open between calls.

    `base_url` ends before the endpoint's path: `https://api.openai.com/v1`.
    """

    def __init__(self, base_url: str, limits: CallLimits) -> None:
        self._base_url = base_url
        self._limits = limits
        self._prepared: tuple[str | None, CIMultiDict[str]] = None, CIMultiDict()
        self._extensions = {
            "timeout": {
                "connect": limits.connect_timeout_seconds,
                "read": limits.read_timeout_seconds,
                "pool": limits.total_seconds,
            }
        }
        self._total_seconds = limits.total_seconds
        ssl_context = httpx.create_ssl_context()
        self._transport = AiohttpTransport(verify=ssl_context, client=lambda: self._session(ssl_context))

    async def call(self, endpoint: str, api_key: str, body: bytes) -> ProviderReply:
        """POST `body` to `endpoint` (`/v1/chat/completions`). The whole answer must arrive within the two timeouts."""
        url = self._base_url + endpoint.removeprefix("/v1")
        request = _Post(url, self._headers(api_key), body, self._extensions)
        try:
            async with asyncio.timeout(self._total_seconds):
                response = await self._transport.handle_async_request(cast(httpx.Request, request))
                try:
                    headers = _headers_read(response)
                    events = EventStream() if _is_streamed(response.status_code, headers) else None
                    content = await self._read(response, headers, events)
                finally:
                    await response.aclose()
        except TimeoutError:
            return NoAnswer(FailureReason.TIMEOUT)
        except (httpx.HTTPError, aiohttp.ClientError, OSError, RuntimeError) as error:  # uvloop raises bare ones too
            return NoAnswer(_transport_failure(error))
        if events is not None and content is not None:
            return _streamed(response.status_code, headers, events)
        return _reply(response.status_code, headers, content)

    async def close(self) -> None:
        await self._transport.aclose()

    async def _read(self, response: httpx.Response, headers: _Headers, events: EventStream | None) -> bytes | None:
        """The body, which goes to `events` instead where there are any; None where it is longer than the limit."""
        most = self._limits.max_response_bytes * (1 if events is None else _EVENTS_PER_ANSWER)
        if int(headers.get("content-length", "0")) > most:
            return None
        encoded = headers.get("content-encoding", "identity") != "identity"
        chunks: list[bytes] = []
        take = chunks.append if events is None else events.feed
        size = 0
        async for chunk in response.aiter_bytes() if encoded else response.stream:  # type: ignore[union-attr]
            take(chunk)
            size += len(chunk)
            if size > most:
                return None
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _headers(self, api_key: str) -> CIMultiDict[str]:
        if self._prepared[0] != api_key:
            headers = {
                "authorization": f"Bearer {api_key}",
                "content-type": "application/json",
                "accept": "application/json, text/event-stream",
                "accept-encoding": "identity",
                "user-agent": "batchyard",
            }
            self._prepared = api_key, CIMultiDict(headers)
        return self._prepared[1]

    def _session(self, ssl_context: Any) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            ssl=ssl_context,
            limit=self._limits.max_connections,
            keepalive_timeout=_KEEP_ALIVE_SECONDS,
            ttl_dns_cache=_DNS_SECONDS,
        )
        return aiohttp.ClientSession(
            connector=connector, connector_owner=True, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
        )


def _headers_read(response: httpx.Response) -> dict[str, str]:
    """The headers that mean something here, by their names in lower case."""
    found = {}
    for name, value in response.headers.raw:
        known = _HEADERS_READ.get(name.lower())
        if known is not None:
            found[known] = value.decode("latin-1")
    return found


def _reply(status: int, headers: _Headers, content: bytes | None) -> ProviderReply:
    """What an answer means. `content`: None where it was too long to be read."""
    request_id = headers.get("x-request-id")
    if 200 <= status < 300:
        if content is None:
            return NoAnswer(FailureReason.TOO_LARGE)
        document = _json_object(content)
        if document is None:
            return NoAnswer(FailureReason.INVALID_RESPONSE)
        rate_advice = read_rate_advice(headers, time.time())
        return Answer(status, _one_line(content), request_id, usage_of(document), rate_advice=rate_advice)
    now = time.time()
    retry_advice, rate_advice = read_retry_advice(headers, now), read_rate_advice(headers, now)
    document = _json_object(content or b"")
    body = _one_line(content or b"") if document is not None else _wrapped_error(status, content or b"")
    allows_nothing = rate_advice is not None and rate_advice.allows_nothing
    failure = failure_of(status, retry_advice, ErrorDetails.of(document), limit_is_zero=allows_nothing)
    return Answer(status, body, request_id, Usage(), failure, retry_advice, rate_advice)


def _is_streamed(status: int, headers: _Headers) -> bool:
    return 200 <= status < 300 and headers.get("content-type", "").lower().startswith(_EVENT_STREAM)


def _streamed(status: int, headers: _Headers, events: EventStream) -> ProviderReply:
    """What an answer means that came as events."""
    try:
        document = events.answer()
    except StreamBroken:
        return NoAnswer(FailureReason.INVALID_RESPONSE)
    except StreamFailed:
        return NoAnswer(FailureReason.SERVER_ERROR)
    body, request_id = _one_line(orjson.dumps(document)), headers.get("x-request-id")
    rate_advice = read_rate_advice(headers, time.time())
    return Answer(status, body, request_id, usage_of(document), rate_advice=rate_advice)


def usage_of(document: dict[str, Any]) -> Usage:
    """Token counts of an answer, by the names of chat completions and embeddings or by those of responses. What is
    missing or no count is 0."""
    usage = document.get("usage")
    if not isinstance(usage, dict):
        return Usage()
    if "input_tokens" in usage:
        given, made = _count(usage, "input_tokens"), _count(usage, "output_tokens")
        given_details, made_details = usage.get("input_tokens_details"), usage.get("output_tokens_details")
    else:
        given, made = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
        given_details, made_details = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    cached, reasoning = _count(given_details, "cached_tokens"), _count(made_details, "reasoning_tokens")
    return Usage(given, min(cached, given), made, min(reasoning, made))


def _count(mapping: object, name: str) -> int:
    value = mapping.get(name) if isinstance(mapping, dict) else None
    return value if type(value) is int and value > 0 else 0


def _json_object(content: bytes) -> dict[str, Any] | None:
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def _one_line(content: bytes) -> bytes:
    """`content`, which is JSON, as one line by anybody's definition. Raw line ends only stand between its tokens; the
    other separators (U+0085, U+2028, U+2029) only inside its strings, where an escape means the same."""
    if b"\n" in content or b"\r" in content:
        content = content.replace(b"\n", b" ").replace(b"\r", b" ")
    if not content.isascii():
        content = (
            content.replace(b"\xe2\x80\xa8", b"\\u2028")
            .replace(b"\xe2\x80\xa9", b"\\u2029")
            .replace(b"\xc2\x85", b"\\u0085")
        )
    return content


def _wrapped_error(status: int, content: bytes) -> bytes:
    """An error object of ours around what the provider said instead of one."""
    text = content[: 4 * _ERROR_TEXT_CHARS].decode("utf-8", "replace").strip()[:_ERROR_TEXT_CHARS]
    error = {
        "message": text or f"The provider answered with status {status} and no error object.",
        "type": "provider_error",
        "param": None,
        "code": None,
    }
    return _one_line(orjson.dumps({"error": error}))


def _transport_failure(error: Exception) -> FailureReason:
    """What the transport raises is too coarse (a server that hangs up is its ConnectTimeout): look at the cause."""
    cause = error.__cause__ or error
    if isinstance(cause, aiohttp.ConnectionTimeoutError):
        return FailureReason.CONNECTION
    return FailureReason.TIMEOUT if isinstance(cause, TimeoutError) else FailureReason.CONNECTION
