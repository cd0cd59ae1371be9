"""Calls to a provider over HTTP. What is sent and what an answer means is the affair of its translator.

aiohttp by itself: httpx on top of it cost a fifth of a worker's CPU time. An answer that is streamed (because the body
asked for that, or because the provider always does it) becomes the JSON it adds up to.
"""

from __future__ import annotations

import asyncio
import ssl
import time
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from dataclasses import dataclass

import aiohttp
import certifi
from multidict import CIMultiDict
from yarl import URL

from batchyard.adapters.providers.answer_memory import SMALL_BYTES, AnswerMemory
from batchyard.adapters.providers.events import EventStream
from batchyard.adapters.providers.openai.translator import OpenAITranslator
from batchyard.adapters.providers.openai_replies import (
    HEADERS_READ,
    MOST_ERROR_BYTES,
    Received,
    reply_of,
    streamed_reply_of,
)
from batchyard.adapters.providers.translator import Translator, Untranslatable, refusal
from batchyard.core.calls import NoAnswer, ProviderReply
from batchyard.core.lanes import Lane
from batchyard.core.retry import FailureReason

_KEEP_ALIVE_SECONDS = 30.0
_DNS_SECONDS = 60
_LONGEST_HEADER_BYTES = 65_536
"""aiohttp refuses answers with a header of more than 8 KB. They are paid all the same, and vendors' SDKs take them."""
_EVENT_STREAM = "text/event-stream"
_EVENTS_PER_ANSWER = 24
"""How many times longer a streamed answer may be than a plain one: each token comes in an object of its own."""

_PACKED = frozenset({"gzip", "x-gzip", "deflate"})
_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
_UNPACKED_PIECE_BYTES = 262_144

_TRANSPORT_FAULTS = (aiohttp.ClientError, zlib.error, OSError, RuntimeError)
"""uvloop raises bare RuntimeErrors, too."""

_NAMES_OF_HEADERS = {name.encode(): name for name in HEADERS_READ}

_Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Limits of a provider's client. A whole answer must arrive within the two timeouts together. Silence has no
    timeout of its own: its timer would be set and cleared several times per call."""

    connect_timeout_seconds: float
    read_timeout_seconds: float
    max_connections: int
    max_response_bytes: int

    @property
    def total_seconds(self) -> float:
        return self.connect_timeout_seconds + self.read_timeout_seconds


class ProviderClient:
    """One provider. Belongs to the event loop that makes its first call; connections stay open between calls.

    `base_url` ends before the endpoint's path: `https://api.openai.com/v1`.
    """

    def __init__(
        self,
        base_url: str,
        limits: CallLimits,
        memory: AnswerMemory | None = None,
        translator: Translator | None = None,
    ) -> None:
        """`memory`: shared by all clients of a process; without it a client has its own. `translator`: OpenAI's if none
        is given."""
        self._base_url = base_url
        self._translator = translator or OpenAITranslator()
        self._memory = memory or AnswerMemory(6 * limits.max_response_bytes, limits.max_response_bytes)
        self._limits = limits
        self._prepared: tuple[str | None, CIMultiDict[str]] = None, CIMultiDict()
        self._total_seconds = limits.total_seconds
        self._session: aiohttp.ClientSession | None = None

    async def call(self, endpoint: str, api_key: str, body: bytes, lane: Lane | None = None) -> ProviderReply:
        """The reply to an item with `body` for `endpoint` (`/v1/chat/completions`), in the item's form. `lane`: see
        `Translator.request`. The whole answer must arrive within the two timeouts. A call that is cancelled closes its
        connection, so that the provider may stop working on it."""
        asked = self._translator.request(endpoint, body, lane)
        if isinstance(asked, Untranslatable):
            return refusal(asked, endpoint)
        url = self._base_url + asked.path
        headers, added = self._headers(api_key), asked.headers
        if asked.sign is not None and not api_key:
            added = {**(added or {}), **asked.sign(url, asked.body)}
        if added:
            headers = headers.copy()
            headers.update(added)
        reply = await self._post(URL(url, encoded=asked.sign is not None), headers, asked.body)
        if asked.read_answer is None or isinstance(reply, NoAnswer):
            return reply
        return asked.read_answer(reply, time.time())

    async def _post(self, url: URL, asked_with: CIMultiDict[str], body: bytes) -> ProviderReply:
        """The provider's reply in its own form."""
        session = self._session or self._connect()
        try:
            async with (
                asyncio.timeout(self._total_seconds),
                session.post(url, data=body, headers=asked_with, allow_redirects=False) as response,
            ):
                status, headers = response.status, _headers_read(response)
                events = EventStream() if _is_streamed(status, headers) else None
                received = await self._read(response, headers, events)
        except aiohttp.ConnectionTimeoutError:
            return NoAnswer(FailureReason.CONNECTION)
        except TimeoutError:
            return NoAnswer(FailureReason.TIMEOUT)
        except _TRANSPORT_FAULTS:
            return NoAnswer(FailureReason.CONNECTION)
        if events is not None and received.is_whole:
            return streamed_reply_of(status, headers, events, time.time())
        return reply_of(status, headers, received, time.time())

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _read(self, response: aiohttp.ClientResponse, headers: _Headers, events: EventStream | None) -> Received:
        """The body; empty if it went to `events`. Reading stops when it is longer than allowed, or what `events` hold
        of it is. A success that is too long is not kept at all."""
        is_success = 200 <= response.status < 300
        most_held = self._limits.max_response_bytes if is_success else MOST_ERROR_BYTES
        most = most_held if events is None else most_held * _EVENTS_PER_ANSWER
        if is_success and int(headers.get("content-length", "0")) > most:
            return Received(b"", is_whole=False)
        chunks: list[bytes] = []
        take = chunks.append if events is None else events.feed
        size, held, is_large = 0, 0, False
        stream: AsyncIterable[bytes] = response.content.iter_any()
        if headers.get("content-encoding", "").lower() in _PACKED:
            stream = _unpacked(stream)
        try:
            async for chunk in stream:
                take(chunk)
                size += len(chunk)
                held = size if events is None else events.held_bytes
                if size > most or held > most_held:
                    break
                if held > SMALL_BYTES and not is_large:
                    await self._memory.begin_large()
                    is_large = True
            is_whole = size <= most and held <= most_held
            return Received(chunks[0] if len(chunks) == 1 else b"".join(chunks), is_whole=is_whole)
        finally:
            if is_large:
                self._memory.end_large()

    def _headers(self, api_key: str) -> CIMultiDict[str]:
        if self._prepared[0] != api_key:
            headers = self._translator.headers(api_key) | {
                "content-type": "application/json",
                "accept": "application/json, text/event-stream",
                "accept-encoding": "identity",
                "user-agent": "batchyard",
            }
            self._prepared = api_key, CIMultiDict(headers)
        return self._prepared[1]

    def _connect(self) -> aiohttp.ClientSession:
        limits = self._limits
        authorities = ssl.create_default_context()
        authorities.load_verify_locations(certifi.where())
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=authorities,
                limit=limits.max_connections,
                keepalive_timeout=_KEEP_ALIVE_SECONDS,
                ttl_dns_cache=_DNS_SECONDS,
            ),
            timeout=aiohttp.ClientTimeout(sock_connect=limits.connect_timeout_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            max_line_size=_LONGEST_HEADER_BYTES,
            max_field_size=_LONGEST_HEADER_BYTES,
        )
        return self._session


def _headers_read(response: aiohttp.ClientResponse) -> dict[str, str]:
    """Those of the headers that are read here, by their names in lower case."""
    found = {}
    for name, value in response.raw_headers:
        known = _NAMES_OF_HEADERS.get(name.lower())
        if known is not None:
            found[known] = value.decode("latin-1")
    return found


async def _unpacked(stream: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The body of a server that compresses although it was asked not to. Its pieces are bounded: a packed chunk
    may hold a thousand times its bytes."""
    unpacker = zlib.decompressobj(_GZIP_OR_ZLIB)
    async for chunk in stream:
        while chunk:
            yield unpacker.decompress(chunk, _UNPACKED_PIECE_BYTES)
            chunk = unpacker.unconsumed_tail
    yield unpacker.flush()


def _is_streamed(status: int, headers: _Headers) -> bool:
    return 200 <= status < 300 and headers.get("content-type", "").lower().startswith(_EVENT_STREAM)
