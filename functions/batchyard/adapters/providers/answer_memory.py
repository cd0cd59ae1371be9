"""How many bytes of answers a process may hold: those being read, and those read and not flushed yet.

A small answer is read at once. A large one waits, its bytes with the provider, until there is room for the largest that
is allowed; so no mix of answers can make a worker outgrow its memory. What is held goes with the next flush, a few
seconds later, so nobody waits for ever. Used from one event loop only.
"""

from __future__ import annotations

import asyncio
from collections import deque

SMALL_BYTES = 128 * 1024


class AnswerMemory:
    """`at_most`, `largest`: bytes of all answers together, and of one."""

    def __init__(self, at_most: int, largest: int) -> None:
        self._at_most = at_most
        self._largest = largest
        self._reading = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.held_bytes = 0

    async def begin_large(self) -> None:
        """Waits until a large answer may be read. `end_large` must follow."""
        while not self._has_room():
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
        self._reading += 1

    def end_large(self) -> None:
        self._reading -= 1
        self._wake()

    def hold(self, size: int) -> None:
        """An answer of `size` bytes was read, and `free` must follow."""
        self.held_bytes += size

    def free(self, size: int) -> None:
        self.held_bytes -= size
        self._wake()

    def _has_room(self) -> bool:
        needed = self.held_bytes + (self._reading + 1) * self._largest
        return needed <= self._at_most or self.held_bytes + self._reading == 0

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
