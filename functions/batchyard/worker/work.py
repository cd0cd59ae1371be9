"""Work: take the shards that SQS records name, run them side by side on one event loop, and see each one on its way.

    admit ─▶ claim ─▶ read ─▶ run ─▶ settled ─▶ settle
      │        │               ├──▶ out of time, throttled, lane closed ─▶ the message is sent again
      │        │               └──▶ fenced, expired, lease lost ─▶ nothing: others close the batch or own the shard
      │        ├──▶ settled already ─▶ settle again (whoever settled it may have died before that was through)
      │        ├──▶ its batch may not cost more ─▶ handed back; sent again for when something has settled
      │        ├──▶ somebody else's lease ─▶ the message is sent again for when that ends
      │        └──▶ fenced ─▶ nothing
      └──▶ the lane is in trouble ─▶ the message is sent again for the next probe: nobody waits in here

A shard that crashed its owners waits until the others of this process have ended, so that the next crash is its own.

A message that did its duty is a success, also when it is sent again: as a new one, so that handing back never uses up
the receives after which SQS gives a message up. Only what went wrong is a failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from batchyard.adapters.aws.queues import Queues
from batchyard.adapters.aws.rosters import Rosters
from batchyard.adapters.aws.secrets import SecretMissing
from batchyard.core.errors import BooksDoNotBalance, LeaseLost
from batchyard.core.estimates import Room
from batchyard.core.health import LaneState
from batchyard.core.items import WorkItem, read_work_lines
from batchyard.core.keys import work_key
from batchyard.core.messages import ShardMessage
from batchyard.core.shards import LeaseHeld, ShardFenced, ShardRow, ShardSettled, ShardState
from batchyard.worker.drawing import Draw, Drawing, Drawn, DrawTools
from batchyard.worker.item_runner import ItemBroke, Upstream
from batchyard.worker.lane_watch import SECRET_MISSING, Admission, LaneWatch
from batchyard.worker.meter import Meter
from batchyard.worker.runtime import Runtime
from batchyard.worker.seats import Seat, Seats
from batchyard.worker.shard_run import Assignment, Ended, Invocation, ShardRun, ShardStores, is_suspicious
from batchyard.worker.stopping import RunLimits, Stop

RECEIVES_AT_MOST = 10
"""After as many SQS gives a message up (infra/provider_queues.py), which is for people to notice. Sweep moves it back:
its shard, and all that follow that, would stand still until the deadline otherwise."""

_SENT_AGAIN = (Stop.OUT_OF_TIME, Stop.THROTTLED, Stop.LANE_CLOSED, Stop.SURPLUS, Stop.MADE_ROOM)
_FULL_SECONDS = 30
_LONGEST_DELAY_SECONDS = 900
"""SQS: both DelaySeconds and, by our choice, the visibility of a message that failed."""


@dataclass(frozen=True, slots=True)
class Record:
    """One SQS message as it was received. `receives`: how often it was, this time included."""

    id: str
    body: str
    receipt_handle: str
    receives: int


class LaneFinder(Protocol):
    """The part of `upstreams.Upstreams` that this module needs."""

    def watch_of(self, message: ShardMessage) -> LaneWatch: ...

    async def of(self, message: ShardMessage) -> Upstream: ...


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps that a worker calls, bound to their adapters. `settle(message, row, again)`: see `steps.settle`;
    `draw(message, tried)`: see `steps.draw`; `rosters`: whose shards may be drawn; `start(message)`: see
    `steps.start`."""

    settle: Callable[[ShardMessage, ShardRow, bool], None]
    draw: Draw
    rosters: Rosters
    start: Callable[[ShardMessage], Room]


class Worker:
    """Lives as long as its process."""

    def __init__(
        self,
        stores: ShardStores,
        queues: Queues,
        upstreams: LaneFinder,
        steps: Steps,
        limits: RunLimits,
        runtime: Runtime,
    ) -> None:
        self._stores = stores
        self._queues = queues
        self._upstreams = upstreams
        self._steps = steps
        self._limits = limits
        self._runtime = runtime
        self._clock = runtime.clock
        self._blocking = runtime.blocking
        self._log = runtime.log
        self._seats = Seats(limits.shards_at_once)
        self._running = 0
        self._ended = asyncio.Event()

    async def work(self, records: Sequence[Record], *, stop_at: float, meter: Meter) -> list[str]:
        """The ids of the records that failed. At `stop_at` (unix seconds) every shard is handed back."""
        invocation = Invocation(stop_at, meter)
        drawing = Drawing(
            DrawTools(
                self._stores.rows,
                self._steps.rosters,
                self._steps.draw,
                self._upstreams.watch_of,
                self._queues.has_visible,
            ),
            self._runtime,
            self._seats,
            stop_at=stop_at,
            lease_seconds=self._limits.lease_seconds,
        )
        working = asyncio.gather(*(self._work_one(record, invocation, drawing) for record in records))
        drawn = drawing.draw_while(working, partial(self._work_drawn, invocation, drawing))
        succeeded, _ = await asyncio.gather(working, drawn)
        return [record.id for record, fine in zip(records, succeeded, strict=True) if not fine]

    async def _work_one(self, record: Record, invocation: Invocation, drawing: Drawing) -> bool:
        meter = invocation.meter
        message = None
        seat = await self._seats.take()
        self._running += 1
        try:
            message = ShardMessage.from_json(record.body).as_of(self._clock())
            meter.provider = message.provider
            await self._work_shard(message, invocation, drawing, seat)
        except LeaseLost:
            meter.shards["lease_lost"] += 1
        except Exception:
            where = "of no shard" if message is None else f"{message.batch_id} shard {message.shard.number}"
            self._log.exception("the message %s, %s, failed", record.id, where)
            meter.shards["error"] += 1
            if message is None:  # it would be moved back for ever, and never tell of what batch it is
                return record.receives >= RECEIVES_AT_MOST
            drawing.put_off(message, self._limits.lease_seconds)
            await self._postpone(message, record)
            return False
        finally:
            seat.leave()
            self._running -= 1
            self._ended.set()
        return True

    async def _work_drawn(self, invocation: Invocation, drawing: Drawing, drawn: Drawn) -> None:
        """A shard that is handed back needs no sending: its message is on its way."""
        self._running += 1
        try:
            ended = await self._work_claimed(drawn.message, drawn.claim, invocation, drawn.seat)
            _tell(drawing, drawn.message, ended)
        except LeaseLost:
            invocation.meter.shards["lease_lost"] += 1
        except Exception:
            self._log.exception("%s shard %s, which was drawn, failed", drawn.message.batch_id, drawn.claim.number)
            invocation.meter.shards["error"] += 1
            drawing.put_off(drawn.message, self._limits.lease_seconds)
        finally:
            self._running -= 1
            self._ended.set()

    async def _work_shard(self, message: ShardMessage, invocation: Invocation, drawing: Drawing, seat: Seat) -> None:
        if not await self._may_run(message):
            await self._pass_on(message, invocation.meter)
            return
        claim = await self._claim(message)
        if claim is not None and await self._has_room(message, claim):
            drawing.carry(message, seat)
            ended = await self._work_claimed(message, claim, invocation, seat)
            _tell(drawing, message, ended)
            if ended.stop in _SENT_AGAIN:
                await self._send_again(message, ended.wait_seconds)

    async def _has_room(self, message: ShardMessage, claim: ShardRow) -> bool:
        """Whether the batch may cost what the shard may cost. If not the shard is handed back: for later, if shards are
        running that may turn out to be cheaper than they are taken to be."""
        if message.max_price_picousd is None:
            return True
        try:
            room = await self._blocking(self._steps.start, message)
        except Exception:
            await self._give_back(message, claim)
            raise
        if room is Room.FREE:
            return True
        await self._blocking(self._stores.rows.release, message.batch_id, claim)
        if room is Room.FULL:
            await self._send_again(message, _FULL_SECONDS)
        return False

    async def _may_run(self, message: ShardMessage) -> bool:
        """Whether the lane of the message is well, now or after a probe that fell to us."""
        watch = self._upstreams.watch_of(message)
        admission = await watch.admit(message.batch_id)
        if admission is Admission.PROBE:
            try:
                upstream = await self._upstreams.of(message)
            except SecretMissing:
                await watch.probe_failed(LaneState.BLOCKED, SECRET_MISSING)
            except BaseException:
                watch.drop_probe()
                raise
            else:
                await watch.probe(upstream.witness)
            return not watch.is_in_trouble
        return admission is Admission.PASS

    async def _work_claimed(self, message: ShardMessage, claim: ShardRow, invocation: Invocation, seat: Seat) -> Ended:
        if is_suspicious(claim):
            claim = await self._until_alone(message, claim, invocation.stop_at)
        try:
            ended = await self._run(message, claim, invocation, seat)
        except SecretMissing:
            self._log.exception("the provider %s cannot be called", message.provider)
            await self._give_back(message, claim)
            ended = await self._block(message, claim)
        except (LeaseLost, ItemBroke):
            raise
        except Exception:
            await self._give_back(message, claim)
            raise
        invocation.meter.shards[ended.stop] += 1
        if ended.stop is Stop.SETTLED:
            await self._blocking(self._steps.settle, message, ended.row, False)
        return ended

    async def _block(self, message: ShardMessage, claim: ShardRow) -> Ended:
        watch = self._upstreams.watch_of(message)
        watch.blocked(SECRET_MISSING)
        await watch.keep_up()
        return Ended(Stop.LANE_CLOSED, claim, watch.wait_seconds())

    async def _pass_on(self, message: ShardMessage, meter: Meter) -> None:
        """The lane is in trouble, or has workers enough: leave a shard alone that has something left to run."""
        if self._clock() >= message.expires_at:
            return
        row = await self._blocking(self._stores.rows.get, message.batch_id, message.shard.number)
        if row is not None and row.state is ShardState.SETTLED:
            await self._blocking(self._steps.settle, message, row, True)
        elif row is None or (row.state is ShardState.OPEN and row.fence is None):
            watch = self._upstreams.watch_of(message)
            meter.shards[Stop.LANE_CLOSED if watch.is_in_trouble else Stop.SURPLUS] += 1
            await self._send_again(message, watch.wait_seconds())

    async def _run(self, message: ShardMessage, claim: ShardRow, invocation: Invocation, seat: Seat) -> Ended:
        upstream = await self._upstreams.of(message)
        items = await self._blocking(self._read, message)
        assignment = Assignment(message, claim, items, seat)
        run = ShardRun(assignment, upstream, invocation, self._stores, self._limits, self._runtime)
        return await run.run()

    async def _give_back(self, message: ShardMessage, claim: ShardRow) -> None:
        """After a fault that is none of its items': it must not count as a crash, or an outage would have the shard run
        one item at a time, and an item be blamed."""
        with contextlib.suppress(Exception):  # the fault itself is what gets told
            await self._blocking(self._stores.rows.release, message.batch_id, claim)

    async def _claim(self, message: ShardMessage) -> ShardRow | None:
        """The row of a shard that is ours now; None if there is nothing to run."""
        now = int(self._clock())
        if now >= message.expires_at:
            return None
        batch_id, number, owner = message.batch_id, message.shard.number, self._runtime.new_owner()
        try:
            lease_until = now + self._limits.lease_seconds
            claim: ShardRow = await self._blocking(self._stores.rows.claim, batch_id, number, owner, now, lease_until)
        except ShardSettled as refused:
            await self._blocking(self._steps.settle, message, refused.row, True)
        except ShardFenced:
            pass
        except LeaseHeld as refused:
            if refused.row.owner == owner:  # this very claim, repeated by botocore because its answer got lost
                return refused.row
            await self._send_again(message, refused.row.lease_until + 1 - now)
        else:
            return claim
        return None

    async def _until_alone(self, message: ShardMessage, claim: ShardRow, stop_at: float) -> ShardRow:
        """Keeps the shard's lease until no other shard runs in this process, but for half of the time left at most.
        The shard's row. Raises LeaseLost."""
        patience_ends = (self._clock() + stop_at) / 2
        beat_at = self._clock()
        self._running -= 1
        self._ended.set()
        try:
            while self._running and self._clock() < patience_ends:
                if self._clock() >= beat_at:
                    lease_until = int(self._clock()) + self._limits.lease_seconds
                    claim = await self._blocking(self._stores.rows.heartbeat, message.batch_id, claim, lease_until)
                    beat_at = self._clock() + self._limits.lease_seconds / 3
                    continue
                self._ended.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(beat_at, patience_ends) - self._clock()):
                        await self._ended.wait()
        finally:
            self._running += 1
        return claim

    def _read(self, message: ShardMessage) -> list[WorkItem]:
        shard = message.shard
        key = work_key(message.account_id, message.batch_id, message.run)
        items = read_work_lines(self._stores.objects.get(key, shard.offset, shard.length))
        if len(items) != shard.items:
            raise BooksDoNotBalance(f"shard {shard.number} of {message.batch_id} has {len(items)} items in {key}")
        return items

    async def _send_again(self, message: ShardMessage, delay_seconds: float) -> None:
        delay = min(max(0, math.ceil(delay_seconds)), _LONGEST_DELAY_SECONDS)
        await self._blocking(self._queues.send, [message], delay)

    async def _postpone(self, message: ShardMessage, record: Record) -> None:
        """Have a failed message back when its lease is over, later each time, not when its long visibility ends."""
        seconds = min(_LONGEST_DELAY_SECONDS, self._limits.lease_seconds << min(record.receives - 1, 8))
        try:
            await self._blocking(self._queues.postpone, message.provider, record.receipt_handle, seconds)
        except Exception:
            self._log.exception(
                "the message %s could not be postponed: it comes back when its visibility ends", record.id
            )


def _tell(drawing: Drawing, message: ShardMessage, ended: Ended) -> None:
    """What follows for drawing from how a run ended."""
    if ended.stop is Stop.SURPLUS:
        drawing.hand_back(message)
    elif ended.stop in (Stop.THROTTLED, Stop.OUT_OF_TIME):
        drawing.put_off(message, ended.wait_seconds)
