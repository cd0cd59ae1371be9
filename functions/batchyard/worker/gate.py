"""The gates in front of the providers: every call of a lane passes through one, first come first served.

A gate lets through what its lane's pacer allows; all gates of a process share its number of calls in flight. Gates
live as long as the process, so that one invocation starts with what the last one learned.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from batchyard.core.calls import Answer, ProviderReply
from batchyard.core.pacing import Pace, Pacer


@dataclass(slots=True)
class Shared:
    """What the gates of a process have in common: its calls in flight, and the bytes of results not flushed yet."""

    calls: asyncio.Semaphore
    held_bytes: int = 0


class Gate:
    """`clock` in seconds. Used from one event loop only."""

    def __init__(self, pacer: Pacer, shared: Shared, clock: Callable[[], float]) -> None:
        self.pacer = pacer
        self._shared = shared
        self._clock = clock
        self._waiting: deque[asyncio.Future[int]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def enter(self) -> int:
        """Waits until a call may start. The number returned goes to `leave`, which must follow."""
        if self._waiting or self._wait_seconds() > 0:
            call = await self._queue()
        else:
            call = self.pacer.start()
        try:
            await self._shared.calls.acquire()
        except asyncio.CancelledError:
            self.pacer.end(call)
            self._admit()
            raise
        return call

    def leave(self, call: int, outcome: ProviderReply | None, seconds: float) -> None:
        """The call took `seconds` and came to `outcome`; None where it was cancelled. The body of a success counts as
        held from now on: `free` must follow."""
        self._shared.calls.release()
        if outcome is None:
            self.pacer.end(call)
        elif isinstance(outcome, Answer) and outcome.failure is None:
            self.pacer.end_well(call, seconds)
            self.pacer.weigh(len(outcome.body))
            self._shared.held_bytes += len(outcome.body)
        elif outcome.failure is not None and outcome.failure.asks_for_less:
            self.pacer.end_throttled(call, self._clock(), outcome.retry_advice.retry_after_seconds)
        else:
            self.pacer.end(call)
        if self._waiting:
            self._admit()

    def free(self, answer_bytes: int) -> None:
        """Successes of that many bytes are out of memory."""
        self._shared.held_bytes -= answer_bytes
        self._admit()

    def _wait_seconds(self) -> float:
        return self.pacer.wait_seconds(self._clock(), self._shared.held_bytes)

    async def _queue(self) -> int:
        turn: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._admit()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.pacer.end(turn.result())
                self._admit()
            raise

    def _admit(self) -> None:
        """Let in as many as may start, and come back when time alone will let in more."""
        while self._waiting:
            if self._waiting[0].done():
                self._waiting.popleft()
                continue
            wait = self._wait_seconds()
            if wait > 0:
                self._wake_after(wait)
                return
            self._waiting.popleft().set_result(self.pacer.start())

    def _wake_after(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds != float("inf"):
            self._timer = asyncio.get_running_loop().call_later(seconds, self._admit)


class Gates:
    """One gate per lane, made when it is first asked for. `max_in_flight` bounds all of them together."""

    def __init__(self, max_in_flight: int, clock: Callable[[], float], memory_bytes: int = 96_000_000) -> None:
        """`memory_bytes`: what a lane's answers in flight, judged by recent ones, and all those held may add up to."""
        self._pace = Pace(ceiling=max_in_flight, memory_bytes=memory_bytes)
        self._shared = Shared(asyncio.Semaphore(max_in_flight))
        self._clock = clock
        self._gates: dict[tuple[str, str, str | None], Gate] = {}

    def of(self, provider: str, model: str, owner: str | None = None) -> Gate:
        """Vendors limit by model, so each (provider, model) learns for itself; and by key, so an account that brings
        its own (`owner`) does, too."""
        gate = self._gates.get((provider, model, owner))
        if gate is None:
            gate = self._gates[provider, model, owner] = Gate(Pacer(self._pace), self._shared, self._clock)
        return gate
