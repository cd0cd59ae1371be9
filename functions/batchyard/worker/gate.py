"""The gates in front of the providers: every call of a lane passes through one, accounts and batches in turns.

A gate lets through what its lane's pacer allows; all gates of a process share its places in flight, so that long calls
of one lane leave others theirs. Gates live as long as the process, so that one invocation starts with what the last one
learned.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from batchyard.adapters.providers.answer_memory import AnswerMemory
from batchyard.core.calls import Answer, ProviderReply
from batchyard.core.lanes import LaneId
from batchyard.core.pacing import Pace, Pacer
from batchyard.core.turns import Turns

_LONGEST_ADVISED_PAUSE_SECONDS = 1.0
"""A provider that has nothing left says when it has all again, which is later than when it has some."""
_LEFT_TO_OTHERS = 32
"""One in so many of a process's places. More would cost a lane that is alone its speed."""


class Places:
    """The `count` calls that a process may have in flight. One that becomes free goes to the gate that has the fewest:
    of two that always want more each has half, however long their calls take. The last few no gate gets for itself
    alone: another one can begin before one of its calls has ended."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._most = count - count // _LEFT_TO_OTHERS
        self._taken: Counter[Gate] = Counter()
        self._wanted_by: dict[Gate, None] = {}
        """In the order in which they asked."""

    def has_one_for(self, gate: Gate) -> bool:
        """Whether the gate may take one. If others have all of them it is asked to admit a call when one is free."""
        if self._taken[gate] >= self._most:
            return False
        if not self._free:
            self._wanted_by[gate] = None
        return self._free > 0

    def take(self, gate: Gate) -> None:
        self._free -= 1
        self._taken[gate] += 1

    def give_back(self, gate: Gate) -> None:
        self._free += 1
        self._taken[gate] -= 1
        while self._free and self._wanted_by:
            neediest = min(self._wanted_by, key=self._taken.__getitem__)
            del self._wanted_by[neediest]
            neediest.admit()


@dataclass(slots=True)
class Shared:
    """What the gates of a process have in common: its places in flight, and the bytes of results not flushed yet."""

    places: Places
    memory: AnswerMemory


class Gate:
    """`clock` in seconds. Used from one event loop only."""

    def __init__(self, pacer: Pacer, shared: Shared, clock: Callable[[], float]) -> None:
        self.pacer = pacer
        self._shared = shared
        self._clock = clock
        self._waiting: Turns[asyncio.Future[int]] = Turns()
        self._timer: asyncio.TimerHandle | None = None
        self._starts: dict[int, float] = {}
        """Call -> when it started. The first one is the oldest."""
        self._last_reply_at = clock()
        self._is_shut = False

    def shut(self) -> None:
        """Lets no call start any more. Those in flight go on."""
        self._is_shut = True

    def open(self, *, gently: bool = False) -> None:
        """Lets calls start again; `gently`: a few at first."""
        self._is_shut = False
        if gently:
            self.pacer.restart()
        self.admit()

    def allow(self, rate: float | None) -> None:
        """So many calls a second may start here; None: as many as the pacer has room for."""
        self.pacer.allow(rate, self._clock())
        self.admit()

    def oldest_call_seconds(self, now: float) -> float:
        """How long the call that started first has been in flight; 0 if none is."""
        return now - next(iter(self._starts.values()), now)

    def silent_seconds(self, now: float) -> float:
        """How long ago the last reply came."""
        return now - self._last_reply_at

    def weigh(self, weights: Mapping[str, Mapping[str, float]]) -> None:
        """How much each account is to get here, and each of its batches: account -> batch -> weight."""
        self._waiting.weigh(weights)

    def waiting_batches(self) -> dict[str, str]:
        """The batches that wait for a call to start -> their accounts."""
        return self._waiting.batches()

    async def enter(self, account_id: str = "", batch_id: str = "") -> int:
        """Waits until a call for that batch may start. The number returned goes to `leave`, which must follow."""
        if len(self._waiting) or self._wait_seconds() > 0 or not self._shared.places.has_one_for(self):
            call = await self._queue(account_id, batch_id)
        else:
            call = self._start()
        self._starts[call] = self._clock()
        return call

    def leave(self, call: int, reply: ProviderReply | None, seconds: float) -> None:
        """The call took `seconds` and came to `reply`; None if it was cancelled."""
        self._starts.pop(call, None)
        if reply is not None:
            self._last_reply_at = self._clock()
        if isinstance(reply, Answer):
            self.pacer.weigh(len(reply.body))
            self._heed(reply)
        if reply is None:
            self.pacer.end(call)
        elif isinstance(reply, Answer) and reply.failure is None:
            self.pacer.end_well(call, seconds)
        elif reply.failure is not None and reply.failure.asks_for_less:
            self.pacer.end_throttled(call, self._clock(), reply.retry_advice.retry_after_seconds)
        else:
            self.pacer.end(call)
        self._shared.places.give_back(self)
        if len(self._waiting):
            self.admit()

    def _heed(self, answer: Answer) -> None:
        """Pauses if the provider says that nothing is left. If calls have a rate, that sees to it."""
        if answer.rate_advice is None or self.pacer.rate is not None:
            return
        seconds = answer.rate_advice.wait_seconds
        if seconds > 0:
            self.pacer.pause(self._clock() + min(seconds, _LONGEST_ADVISED_PAUSE_SECONDS))

    def hold(self, answer_bytes: int) -> None:
        """An answer of that many bytes waits for its flush: `free` must follow."""
        self._shared.memory.hold(answer_bytes)

    def free(self, answer_bytes: int) -> None:
        """Answers of that many bytes are out of memory."""
        self._shared.memory.free(answer_bytes)
        self.admit()

    def _wait_seconds(self) -> float:
        if self._is_shut:
            return math.inf
        return self.pacer.wait_seconds(self._clock(), self._shared.memory.held_bytes)

    async def _queue(self, account_id: str, batch_id: str) -> int:
        turn: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.add(account_id, batch_id, turn)
        self.admit()
        try:
            return await turn
        except asyncio.CancelledError:
            self._waiting.discard(account_id, batch_id, turn)
            if turn.done() and not turn.cancelled():
                self.pacer.end(turn.result())
                self._shared.places.give_back(self)
                self.admit()
            raise

    def admit(self) -> None:
        """Let in as many as may start, and come back when time alone will let in more, or a place becomes free."""
        while len(self._waiting):
            wait = self._wait_seconds()
            if wait > 0:
                self._wake_after(wait)
                return
            if not self._shared.places.has_one_for(self):
                return
            turn = self._waiting.take()
            if not turn.done():
                turn.set_result(self._start())

    def _start(self) -> int:
        self._shared.places.take(self)
        return self.pacer.start()

    def _wake_after(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds != math.inf:
            self._timer = asyncio.get_running_loop().call_later(seconds, self.admit)


class Gates:
    """One gate per lane, made when it is first asked for. `max_in_flight` bounds all of them together."""

    def __init__(
        self,
        max_in_flight: int,
        clock: Callable[[], float],
        memory_bytes: int = 96_000_000,
        largest_answer_bytes: int = 16_000_000,
    ) -> None:
        """`memory_bytes`: what a lane's answers in flight, judged by recent ones, and all those held may add up to."""
        self._pace = Pace(ceiling=max_in_flight, memory_bytes=memory_bytes)
        self.memory = AnswerMemory(memory_bytes, largest_answer_bytes)
        self._shared = Shared(Places(max_in_flight), self.memory)
        self._clock = clock
        self._gates: dict[LaneId, Gate] = {}

    def of(self, lane: LaneId) -> Gate:
        gate = self._gates.get(lane)
        if gate is None:
            gate = self._gates[lane] = Gate(Pacer(self._pace), self._shared, self._clock)
        return gate
