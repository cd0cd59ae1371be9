"""Draws shards: a worker that stays on a lane with a rate claims the next ones of its batches, without their messages,
and takes up batches that nobody carries.

    a shard runs here ─▶ its batch is carried ─▶ items run short ─▶ claim the next shard ─▶ run it
                              ▲                                         └──▶ settled, or another's ─▶ the one after
    on the roster, and nobody carries it ─▶ a seat is free, or one is given up for it (`core.roster`)

Messages that many workers take from one queue come in no order, and most are handed back because the lane's rate needs
few workers. Those few would run dry between messages; and while they stay, they receive none of batches that come
later. On a new lane, of which no rate is known yet, several workers draw only what no longer waits in the queue.

A shard that was drawn keeps its message: whoever gets that finds the shard held or settled. So nothing is lost if its
owner dies, and messages do not breed.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass, field

from batchyard.adapters.aws.rosters import Rosters
from batchyard.adapters.aws.shards import Shards
from batchyard.core.lane_pace import SLOT_SECONDS
from batchyard.core.lanes import LaneId
from batchyard.core.messages import ShardMessage
from batchyard.core.roster import Listed, Seated, in_turn, seats_by_account, who_makes_room
from batchyard.core.shards import LeaseHeld, ShardFenced, ShardRow, ShardSettled
from batchyard.worker.lane_watch import LaneWatch
from batchyard.worker.runtime import Runtime
from batchyard.worker.seats import Seat, Seats

Draw = Callable[[ShardMessage, Set[int]], list[ShardMessage]]
"""The step of that name, bound to its adapters."""

_LOOK_SECONDS = 1.0
_TRY_AGAIN_SECONDS = 5.0
_TRY_AGAIN_FIRST_SECONDS = 1.0
"""After that time a shard that somebody else had is tried again: twice as long after each time in vain."""
_FEW_AHEAD = 16
_TRIES_TO_TAKE_UP = 4
"""Shards of a batch that are tried before the next batch is."""
_DRAW_SECONDS = 300.0
"""So long an invocation draws. Then it ends, and its process may receive messages of batches that are on no roster."""
_SPARE_SECONDS = 30.0
"""So long before the invocation has to end no shard is drawn any more."""
_PATIENCE_SECONDS = 5.0
"""So long a batch is left to the worker whose it is to take it up."""

_Name = tuple[str, str, str]


def _name_of(message: ShardMessage) -> _Name:
    """A batch in one of its lanes, at the one provider that a worker's queue has."""
    return message.batch_id, message.model, message.mode


@dataclass(slots=True)
class _Carried:
    """A batch that is worked on here. `message`: of a shard of it; `since`: when its first seat was taken; `seated_at`:
    its last one; `ahead`: shards to try next; `tried`: they and those before them; `ask_at`: when to ask for more;
    `patience_seconds`: how long to leave shards alone that others have."""

    message: ShardMessage
    since: float
    seated_at: float = 0.0
    seats: list[Seat] = field(default_factory=list)
    ahead: deque[ShardMessage] = field(default_factory=deque)
    tried: set[int] = field(default_factory=set)
    ask_at: float = 0.0
    patience_seconds: float = _TRY_AGAIN_FIRST_SECONDS

    @property
    def seats_held(self) -> list[Seat]:
        self.seats = [seat for seat in self.seats if seat.is_held]
        return self.seats


@dataclass(frozen=True, slots=True)
class Drawn:
    """A shard that is ours, without its message having come. `seat.leave` must follow."""

    message: ShardMessage
    claim: ShardRow
    seat: Seat


@dataclass(frozen=True, slots=True)
class DrawTools:
    """What shards are drawn with. `has_visible`: whether messages wait in the queue of a provider."""

    rows: Shards
    rosters: Rosters
    draw: Draw
    watch_of: Callable[[ShardMessage], LaneWatch]
    has_visible: Callable[[str], bool]


class Drawing:
    """For one invocation."""

    def __init__(self, tools: DrawTools, runtime: Runtime, seats: Seats, *, stop_at: float, lease_seconds: int) -> None:
        self._tools = tools
        self._clock = runtime.clock
        self._blocking = runtime.blocking
        self._new_owner = runtime.new_owner
        self._log = runtime.log
        self._seats = seats
        self._last_draw_at = min(stop_at - _SPARE_SECONDS, runtime.clock() + _DRAW_SECONDS)
        self._lease_seconds = lease_seconds
        self._carried: dict[_Name, _Carried] = {}
        self._enough_on: set[LaneId] = set()
        """Lanes that had workers enough without this one."""
        self._not_before: dict[tuple[str, int], float] = {}
        """(batch id, shard number) -> until when it is not drawn here: its last run here got stuck."""
        self._left_alone: list[Listed] = []
        """Batches of the roster that nobody carries, and that are ours to take up."""
        self._seen_at: dict[_Name, float] = {}
        """When they were first seen so."""
        self._read_at = runtime.clock()
        self._has_visible = False
        self._queue_seen_at = -math.inf
        self._running: dict[asyncio.Task[None], None] = {}
        self._changed = asyncio.Event()

    def carry(self, message: ShardMessage, seat: Seat) -> None:
        """A shard of this batch runs here."""
        carried = self._carried.setdefault(_name_of(message), _Carried(message, self._clock()))
        if not carried.seats_held:
            carried.since = self._clock()
        carried.seated_at = self._clock()
        carried.seats.append(seat)
        carried.tried.add(message.shard.number)
        carried.patience_seconds = _TRY_AGAIN_FIRST_SECONDS
        watch = self._tools.watch_of(message)
        watch.share.draws_until = 0.0 if watch.lane in self._enough_on else self._last_draw_at

    def hand_back(self, message: ShardMessage) -> None:
        """A shard was handed back because its lane has workers enough: none of that lane is drawn here any more."""
        watch = self._tools.watch_of(message)
        self._enough_on.add(watch.lane)
        watch.share.draws_until = 0.0

    def put_off(self, message: ShardMessage, seconds: float) -> None:
        """A shard failed, or nothing of it can start for so long. To draw it again at once would be in vain, again and
        again."""
        self._not_before[message.batch_id, message.shard.number] = self._clock() + seconds

    async def draw_while(self, work: asyncio.Future[list[bool]], run: Callable[[Drawn], Awaitable[None]]) -> None:
        """Draws and runs shards until `work` is done, and then as long as the lane needs this worker."""
        work.add_done_callback(lambda _: self._changed.set())
        has_asked_again = False
        try:
            while True:
                self._changed.clear()
                try:
                    await self._take_up_others(run)
                except Exception:  # the roster is a hint: what runs here goes on without it
                    self._log.exception("the roster could not be used")
                await self._draw_in_turn(run)
                if self._running or not work.done():
                    has_asked_again = False
                elif has_asked_again:
                    return
                else:
                    has_asked_again = True
                    self._forget_tried()
                    continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await self._changed.wait()
        finally:
            drawn_shards = list(self._running)
            for task in drawn_shards:
                task.cancel()
            await asyncio.gather(*drawn_shards, return_exceptions=True)
            for carried in self._carried.values():
                self._tools.watch_of(carried.message).share.items_ahead.pop(carried.message.batch_id, None)

    def _forget_tried(self) -> None:
        """What others had when it was tried is asked for once more: if they have handed it back since, its message
        stays away for as long as this worker said that it would draw."""
        self._queue_seen_at = -math.inf
        for carried in self._carried.values():
            carried.tried = {message.shard.number for message in carried.ahead}
            carried.ask_at = 0.0

    async def _start(self, run: Callable[[Drawn], Awaitable[None]], drawn: Drawn) -> None:
        async def running() -> None:
            try:
                await run(drawn)
            finally:
                drawn.seat.leave()

        self.carry(drawn.message, drawn.seat)
        task = asyncio.create_task(running())
        self._running[task] = None
        task.add_done_callback(self._ended)
        await asyncio.sleep(0)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        self._changed.set()

    async def _draw_in_turn(self, run: Callable[[Drawn], Awaitable[None]]) -> None:
        """Shards of the batches that are carried here until the items of none run short: one at a time, the next one
        for who has the fewest seats, or has waited for one the longest."""
        may_want_more = list(self._carried.values())
        while may_want_more:
            seats_of_account = seats_by_account(self._seated())
            carried = min(
                may_want_more,
                key=lambda each: (
                    seats_of_account.get(each.message.account_id, 0.0),
                    len(each.seats_held),
                    each.seated_at,
                ),
            )
            try:
                wants_more = await self._draw_for(carried, run)
            except Exception:
                self._log.exception("no shard of %s could be drawn", carried.message.batch_id)
                carried.ask_at = self._clock() + _TRY_AGAIN_SECONDS
                wants_more = False
            if not wants_more:
                may_want_more.remove(carried)

    async def _draw_for(self, carried: _Carried, run: Callable[[Drawn], Awaitable[None]]) -> bool:
        """One shard of that batch, if somebody else does not have it. Whether the batch may want more."""
        watch = self._tools.watch_of(carried.message)
        batch_id, share = carried.message.batch_id, watch.share
        is_needed = watch.lane not in self._enough_on and share.stays_for(batch_id)
        last_draw_at = min(self._last_draw_at, carried.message.expires_at)
        if self._clock() >= last_draw_at or not is_needed or watch.is_in_trouble:
            share.items_ahead.pop(batch_id, None)
            return False
        if await self._receives_instead(carried.message):
            return False
        if len(carried.ahead) < _FEW_AHEAD:
            await self._ask(carried)
        share.items_ahead[batch_id] = sum(message.shard.items for message in carried.ahead)
        if not carried.ahead or not share.runs_short(batch_id) or await self._receives_instead(carried.message):
            return False
        turn_since = None
        if self._seats.is_full:
            if not self._pass_on_a_seat(carried, share.items_in(batch_id, _LOOK_SECONDS)):
                return False
            turn_since = carried.since
        drawn = await self._claim(carried.ahead.popleft())
        if drawn is not None:
            await self._start(run, drawn)
            carried.since = turn_since or carried.since
        return True

    async def _receives_instead(self, message: ShardMessage) -> bool:
        """Whether items run short, but shards still come as messages. On a lane without a rate each worker gets others,
        while all would draw the same ones: most claims would be in vain. A worker that is alone would only stand still
        in between, and once there are many some of them hand back."""
        share = self._tools.watch_of(message).share
        if share.pace.rate is not None or not share.is_one_of_few or not share.runs_short(message.batch_id):
            return False
        if self._clock() >= self._queue_seen_at + _LOOK_SECONDS:
            self._queue_seen_at = self._clock()
            self._has_visible = await self._blocking(self._tools.has_visible, message.provider)
        return self._has_visible

    def _pass_on_a_seat(self, carried: _Carried, few_items: float) -> bool:
        """Whether a seat of that batch is free for its next shard, because the run that has it will soon have started
        all its items: else the batch would stand still until the last of them has ended. Not while an account waits
        that has no seat here."""
        held = seats_by_account(self._seated())
        somebody_has_none = any(listed.message.account_id not in held for listed in self._left_alone)
        if somebody_has_none or not self._seats.may_make_room:
            return False
        for seat in carried.seats_held:
            if seat.items_to_start() <= few_items:
                seat.pass_on()
                return True
        return False

    async def _take_up_others(self, run: Callable[[Drawn], Awaitable[None]]) -> None:
        """Batches that nobody carries, as far as there are seats for them."""
        now = self._clock()
        if not self._carried or now >= self._last_draw_at:
            return
        if now >= self._read_at + SLOT_SECONDS:
            self._read_at = now
            await self._read_roster()
        for listed in in_turn(self._left_alone, self._seated()):
            if self._seats.is_full:
                if not await self._make_room_for(listed):
                    continue
            elif self._is_outranked(listed.message.account_id):
                continue
            self._left_alone.remove(listed)
            self._seen_at.pop(_name_of(listed.message), None)
            try:
                await self._take_up(listed.message, run)
            except Exception:
                self._log.exception("%s could not be taken up", listed.message.batch_id)

    def _is_outranked(self, account_id: str) -> bool:
        """Whether a free seat is for a batch that is carried here already, because its account has fewer."""
        held = seats_by_account(self._seated())
        return any(
            held.get(carried.message.account_id, 0.0) < held.get(account_id, 0.0)
            and self._tools.watch_of(carried.message).share.runs_short(carried.message.batch_id)
            for carried in self._carried.values()
            if carried.ahead
        )

    async def _read_roster(self) -> None:
        provider = next(iter(self._carried.values())).message.provider
        self._left_alone = []
        if not any(self._is_needed(carried) for carried in self._carried.values()):
            return
        seen: dict[_Name, float] = {}
        for listed in await self._blocking(self._tools.rosters.of, provider):
            if self._clock() >= listed.message.expires_at:
                continue
            name = _name_of(listed.message)
            carried = self._carried.get(name)
            if (carried and carried.seats_held) or await self._is_carried_by_others(listed.message):
                continue
            seen[name] = self._seen_at.get(name, self._clock())
            share = self._tools.watch_of(listed.message).share
            if share.has_to_take_up(listed.message.batch_id) or self._clock() >= seen[name] + _PATIENCE_SECONDS:
                self._left_alone.append(listed)
        self._seen_at = seen

    def _is_needed(self, carried: _Carried) -> bool:
        return bool(carried.seats_held) and not self._tools.watch_of(carried.message).share.is_surplus()

    async def _is_carried_by_others(self, message: ShardMessage) -> bool:
        """Also true if nobody may carry it now."""
        watch = self._tools.watch_of(message)
        await watch.look_again()
        return watch.is_in_trouble or watch.share.is_carried(message.batch_id)

    def _seated(self) -> list[Seated]:
        return [
            Seated(carried.message, len(carried.seats_held), carried.since)
            for carried in self._carried.values()
            if carried.seats_held
        ]

    async def _make_room_for(self, listed: Listed) -> bool:
        """Whether a seat was given up."""
        if not self._seats.may_make_room:
            return False
        leaver = who_makes_room(listed, self._seated(), self._clock())
        if leaver is None:
            return False
        carried = self._carried[_name_of(leaver.message)]
        carried.seats_held[-1].make_room()
        if not carried.seats_held:
            now = int(self._clock())
            await self._blocking(self._tools.rosters.take_up, carried.message, now)
        return True

    async def _take_up(self, message: ShardMessage, run: Callable[[Drawn], Awaitable[None]]) -> None:
        carried = self._carried.setdefault(_name_of(message), _Carried(message, self._clock()))
        if not carried.ahead:
            await self._ask(carried)
        for _ in range(_TRIES_TO_TAKE_UP):
            if not carried.ahead:
                return
            drawn = await self._claim(carried.ahead.popleft())
            if drawn is not None:
                await self._start(run, drawn)
                await self._blocking(self._tools.rosters.take_up, message, int(self._clock()))
                return

    async def _claim(self, message: ShardMessage) -> Drawn | None:
        """The shard, if nobody has it, it was not put off, and there is a seat for it."""
        batch_id, number = message.batch_id, message.shard.number
        if self._seats.is_full or self._clock() < self._not_before.get((batch_id, number), 0.0):
            return None
        seat = await self._seats.take()
        owner, now = self._new_owner(), int(self._clock())
        lease_until = now + self._lease_seconds
        try:
            claim = await self._blocking(self._tools.rows.claim, batch_id, number, owner, now, lease_until)
        except (ShardSettled, ShardFenced, LeaseHeld):
            seat.leave()
            return None
        except BaseException:
            seat.leave()
            raise
        return Drawn(message.as_of(now), claim, seat)

    async def _ask(self, carried: _Carried) -> None:
        if self._clock() < carried.ask_at:
            return
        messages = await self._blocking(self._tools.draw, carried.message, frozenset(carried.tried))
        carried.tried.update(message.shard.number for message in messages)
        carried.ahead.extend(messages)
        if not messages:
            carried.tried = {message.shard.number for message in carried.ahead}
            carried.ask_at = self._clock() + carried.patience_seconds
            carried.patience_seconds = min(2 * carried.patience_seconds, _TRY_AGAIN_SECONDS)
