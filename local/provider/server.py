"""HTTP/1.1 for the simulator: an asyncio Protocol with httptools' parser, which is as fast as Python can be on one
core. Every benchmark runs against it, so it must not be what slows one down."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from typing import cast

import httptools

from local.provider.controls import receive
from local.provider.simulator import Simulator
from local.provider.wire import CLOSE, KEEP, RESET, Reply, Request

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_HOLDING_SECONDS = 0.05
"""How often an answer that is held back looks whether it may go."""
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Connection(asyncio.Protocol):
    """One client connection. A pipelined request waits until the one before it is answered."""

    def __init__(self, simulator: Simulator, loop: asyncio.AbstractEventLoop, open_ones: set[Connection]) -> None:
        """`open_ones`: where it is listed while it is open."""
        self._simulator = simulator
        self._loop = loop
        self._open_ones = open_ones
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._reply: Reply | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpRequestParser(self)
        self._open_ones.add(self)

    def abort(self) -> None:
        """Resets the connection, whatever is in flight on it."""
        self._transport.abort()

    def connection_lost(self, _: Exception | None) -> None:
        self._open_ones.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._reply is not None:
            self._book("silent" if self._reply.answer in ("hang", "stall") else "abandoned", good=False)
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.write(_BAD_REQUEST)
            self._transport.close()

    def on_message_begin(self) -> None:
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))
        if len(name) == 6 and name.lower() == b"expect":
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        path, _, query = self._url.partition(b"?")
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        method = self._parser.get_method().decode("latin-1")
        request = Request(method, path.decode("latin-1"), body, self._headers, query.decode("latin-1"))
        keep = self._parser.should_keep_alive()
        if self._reply is not None:
            self._waiting.append((request, keep))
        else:
            self._serve(request, keep)

    def _serve(self, request: Request, keep: bool) -> None:
        reply = receive(self._simulator, request)
        if not keep and reply.ending == KEEP:
            reply.ending = CLOSE
        self._reply = reply
        if reply.tags:
            self._simulator.ledger.begun(reply.tags)
        if reply.delay_seconds:
            self._timer = self._loop.call_later(reply.delay_seconds, self._send)
        else:
            self._send()

    def _send(self) -> None:
        reply = self._reply
        assert reply is not None
        self._timer = None
        if self._transport.is_closing():
            return
        if reply.tags and self._simulator.config.is_holding:
            self._timer = self._loop.call_later(_HOLDING_SECONDS, self._send)
            return
        if reply.data:
            self._transport.write(reply.data)
        if reply.ending == KEEP:
            self._book(reply.answer, reply.good)
            if self._waiting:
                self._serve(*self._waiting.popleft())
        elif reply.ending == CLOSE:
            self._book(reply.answer, reply.good)
            self._transport.close()
        elif reply.ending == RESET:
            self._book(reply.answer, good=False)
            connection = self._transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        # SILENT: the request stays in flight until the client gives up.

    def _book(self, answer: str, good: bool) -> None:
        reply, self._reply = self._reply, None
        if reply is not None and reply.tags:
            self._simulator.ledger.ended(reply.tags, reply.request, answer, reply.bill if good else None)
