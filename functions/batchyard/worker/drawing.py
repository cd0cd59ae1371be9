"""Draws shards: a worker that stays on a lane with a rate claims the next ones of its batches, without their messages.

    a shard runs here ─▶ its batch is carried ─▶ items run short ─▶ claim the next shard ─▶ run it
                                                                        └──▶ settled, or another's ─▶ the one after

Messages that many workers take from one queue come in no order, and most are handed back because the lane's rate needs
few workers. Those few would run dry between messages. A shard that was drawn keeps its message: whoever gets that finds
the shard held or settled. So nothing is lost if its owner dies, and messages do not breed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass, field

from batchyard.adapters.aws.shards import Shards
from batchyard.core.messages import ShardMessage
from batchyard.core.shards import LeaseHeld, ShardFenced, ShardRow, ShardSettled
from batchyard.worker.lane_watch import LaneWatch
from batchyard.worker.runtime import Runtime

Draw = Callable[[ShardMessage, Set[int]], list[ShardMessage]]
"""The step of that name, bound to its adapters."""

_LOOK_SECONDS = 1.0
_TRY_AGAIN_SECONDS = 5.0
"""After that time a shard that somebody else had is tried again."""
_FEW_AHEAD = 16
_DRAW_SECONDS = 60.0
"""So long an invocation draws. Then it ends, and makes room for batches that wait until a worker is free."""
_SPARE_SECONDS = 30.0
"""So long before the invocation has to end no shard is drawn any more."""


@dataclass(slots=True)
class _Carried:
    """A batch that is worked on here. `message`: of its first shard here; `ahead`: shards to try next; `tried`: they
    and those before them; `ask_at`: when to ask for more."""

    message: ShardMessage
    ahead: deque[ShardMessage] = field(default_factory=deque)
    tried: set[int] = field(default_factory=set)
    ask_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Drawn:
    """A shard that is ours, without its message having come."""

    message: ShardMessage
    claim: ShardRow


class Drawing:
    """For one invocation. No shard is drawn while `room` is locked."""

    def __init__(
        self,
        rows: Shards,
        draw: Draw,
        runtime: Runtime,
        room: asyncio.Semaphore,
        *,
        stop_at: float,
        lease_seconds: int,
    ) -> None:
        self._rows = rows
        self._draw = draw
        self._clock = runtime.clock
        self._blocking = runtime.blocking
        self._new_owner = runtime.new_owner
        self._log = runtime.log
        self._room = room
        self._last_draw_at = min(stop_at - _SPARE_SECONDS, runtime.clock() + _DRAW_SECONDS)
        self._lease_seconds = lease_seconds
        self._carried: dict[str, _Carried] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    def carry(self, message: ShardMessage) -> None:
        """A shard of this batch runs here."""
        carried = self._carried.setdefault(message.batch_id, _Carried(message))
        carried.tried.add(message.shard.number)

    async def draw_while(
        self,
        work: asyncio.Future[list[bool]],
        watch_of: Callable[[ShardMessage], LaneWatch],
        run: Callable[[Drawn], Awaitable[None]],
    ) -> None:
        """Draws and runs shards until `work` is done, and then as long as the lane needs this worker."""
        work.add_done_callback(lambda _: self._changed.set())
        try:
            while True:
                self._changed.clear()
                for carried in list(self._carried.values()):
                    try:
                        await self._draw_for(carried, watch_of(carried.message), run)
                    except Exception:
                        self._log.exception("no shard of %s could be drawn", carried.message.batch_id)
                        carried.ask_at = self._clock() + _TRY_AGAIN_SECONDS
                if work.done() and not self._running:
                    return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await self._changed.wait()
        finally:
            drawn_shards = list(self._running)
            for task in drawn_shards:
                task.cancel()
            await asyncio.gather(*drawn_shards, return_exceptions=True)

    async def _start(self, run: Callable[[Drawn], Awaitable[None]], drawn: Drawn) -> None:
        async def running() -> None:
            await run(drawn)

        task = asyncio.create_task(running())
        self._running.add(task)
        task.add_done_callback(self._ended)
        await asyncio.sleep(0)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._changed.set()

    async def _draw_for(self, carried: _Carried, watch: LaneWatch, run: Callable[[Drawn], Awaitable[None]]) -> None:
        """Shards of that batch until its items run short no more."""
        batch_id, share = carried.message.batch_id, watch.share
        while self._clock() < self._last_draw_at and share.stays and not watch.is_in_trouble:
            if len(carried.ahead) < _FEW_AHEAD:
                await self._ask(carried)
            share.draws_until = self._last_draw_at
            share.items_ahead[batch_id] = sum(message.shard.items for message in carried.ahead)
            if not carried.ahead or self._room.locked() or not share.runs_short(batch_id):
                return
            drawn = await self._claim(carried.ahead.popleft())
            if drawn is not None:
                await self._start(run, drawn)
        share.items_ahead.pop(batch_id, None)

    async def _claim(self, message: ShardMessage) -> Drawn | None:
        """The shard, if nobody has it."""
        batch_id, number, owner, now = message.batch_id, message.shard.number, self._new_owner(), int(self._clock())
        try:
            claim = await self._blocking(self._rows.claim, batch_id, number, owner, now, now + self._lease_seconds)
        except (ShardSettled, ShardFenced, LeaseHeld):
            return None
        return Drawn(message, claim)

    async def _ask(self, carried: _Carried) -> None:
        if self._clock() < carried.ask_at:
            return
        messages = await self._blocking(self._draw, carried.message, frozenset(carried.tried))
        carried.tried.update(message.shard.number for message in messages)
        carried.ahead.extend(messages)
        if not messages:
            carried.tried = {message.shard.number for message in carried.ahead}
            carried.ask_at = self._clock() + _TRY_AGAIN_SECONDS
