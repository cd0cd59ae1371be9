"""Listens for the simulator at two ports: one for its clients, which can be made to refuse connections as a provider
that is down does, and one for tests, which is always there."""

from __future__ import annotations

import asyncio
import socket

from local.provider.server import Connection
from local.provider.simulator import Simulator

HOST = "127.0.0.1"
_BACKLOG = 4096
_BIND_PAUSE_SECONDS = 0.01
"""A socket that was closed gives its port back only in one of the loop's next turns."""


class Listener:
    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._loop = asyncio.get_running_loop()
        self._connections: set[Connection] = set()
        self._changing = asyncio.Lock()
        self._server: asyncio.Server | None = None
        self._held: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None
        self.port = 0
        self.control_port = 0

    async def open(self, port: int) -> None:
        """Listens at `port`, 0 for a free one, and follows the simulator's setting `is_down` from now on."""
        control = await self._loop.create_server(self._control_connection, HOST, 0)
        self.control_port = control.sockets[0].getsockname()[1]
        self._server = await self._loop.create_server(self._connection, HOST, port, backlog=_BACKLOG)
        self.port = self._server.sockets[0].getsockname()[1]
        self._simulator.on_change = self._follow
        await self._catch_up()

    def _connection(self) -> Connection:
        return Connection(self._simulator, self._loop, self._connections)

    def _control_connection(self) -> Connection:
        return Connection(self._simulator, self._loop, set())

    def _follow(self) -> None:
        self._task = self._loop.create_task(self._catch_up())

    async def _catch_up(self) -> None:
        async with self._changing:
            is_down = self._simulator.config.is_down
            if is_down and self._server is not None:
                await self._go_down(self._server)
            elif not is_down and self._held is not None:
                held, self._held = self._held, None
                self._server = await self._loop.create_server(self._connection, sock=held, backlog=_BACKLOG)

    async def _go_down(self, server: asyncio.Server) -> None:
        """Breaks all connections, and holds the port without listening, so that nobody else gets it."""
        self._server = None
        server.close()
        for connection in list(self._connections):
            connection.abort()
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        while True:
            try:
                held.bind((HOST, self.port))
                break
            except OSError:
                await asyncio.sleep(_BIND_PAUSE_SECONDS)
        self._held = held
