"""One shard, from its claim to its last part: runs the items that are not done, flushes results, keeps the lease.

    items ──▶ gate of the lane ──▶ provider ──▶ results ──▶ part object ──▶ the shard row names it   (every few seconds)

A run stops when `stopping.stop_order` says so. No call starts after that; what is in flight gets the time that the
order allows. Then everything that came in is flushed and the shard released. An owner that lost its lease flushes
nothing.

Poison: a shard that crashed its owners again and again is run one item at a time, each announced in the row before its
call. An item that was the last word of four owners in a row takes the blame: it fails, and the rest goes on. Fewer are
not enough, because workers die of other things too. A suspect is run first, and its result is kept at once: an owner
that dies after that says nothing about it any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.shards import Shards
from batchyard.core.errors import LeaseLost
from batchyard.core.families import families
from batchyard.core.items import WorkItem
from batchyard.core.keys import part_key
from batchyard.core.lane_pace import next_duty_at
from batchyard.core.lanes import Lane
from batchyard.core.messages import ShardMessage
from batchyard.core.parts import encode_part
from batchyard.core.results import Result, failed, tally
from batchyard.core.retry import FailureReason
from batchyard.core.shards import ShardRow, ShardState, is_done, mark_done
from batchyard.core.usage import retries_tally
from batchyard.worker.item_runner import Conditions, ItemRunner, Upstream
from batchyard.worker.lane_share import Participant
from batchyard.worker.meter import Meter
from batchyard.worker.runtime import Runtime
from batchyard.worker.seats import Seat
from batchyard.worker.stopping import RunLimits, Situation, Stop, StopOrder, last_start_at, stop_order

CRASH_CODE = "item_crashed_worker"

_TICK_SECONDS = 1.0
_LAST_FEW = 1 / 8
"""This share of a shard's items. At an LLM's latencies fewer than one call in eight takes twice the usual time."""
_CAREFUL_AFTER_BEGUN = 2
"""Beside the first owner, which is taken to have begun: to know it would cost every shard a write. Two of three may
have had bad luck; one item at a time costs a shard more than a third try does."""
_BLAME_FROM_SUSPICION = 4
_WRITE_AGAIN_SECONDS = 2.0
_WRITES_FOR = 2 / 3
"""How long a part may wait for AWS, as a share of the lease: the last try has to be over when that ends."""


def is_suspicious(claim: ShardRow) -> bool:
    """Whether something in the shard may crash its owners, so that its items run one at a time. Owners that died before
    they ran any say nothing about them."""
    return claim.begun >= _CAREFUL_AFTER_BEGUN or claim.suspect is not None


@dataclass(frozen=True, slots=True)
class Assignment:
    """A shard that is ours: the message that sent it, its row as our claim left it, its items, its place here."""

    message: ShardMessage
    claim: ShardRow
    items: list[WorkItem]
    seat: Seat


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of the worker's function. At `stop_at` (unix seconds) every shard has to be handed back."""

    stop_at: float
    meter: Meter


@dataclass(frozen=True, slots=True)
class ShardStores:
    """Where the worker keeps what it knows of shards: their rows, and their items and parts."""

    rows: Shards
    objects: Objects


@dataclass(frozen=True, slots=True)
class Ended:
    """`row`: as the last flush left it. `wait_seconds`: how long to leave the shard alone, if it was throttled."""

    stop: Stop
    row: ShardRow
    wait_seconds: float = 0.0


class ShardRun:
    """The run of one shard in one invocation."""

    def __init__(
        self,
        assignment: Assignment,
        upstream: Upstream,
        invocation: Invocation,
        stores: ShardStores,
        limits: RunLimits,
        runtime: Runtime,
    ) -> None:
        message, claim, items = assignment.message, assignment.claim, assignment.items
        self._message = message
        self._claim = claim
        self._row = claim
        self._seat = assignment.seat
        self._item_count = len(items)
        self._left = {item.position: item for item in items if not is_done(claim.done, item.position)}
        self._gate = upstream.gate
        self._watch = upstream.watch
        self._witness = upstream.witness
        self._is_caching_worth_it = upstream.price.rewards_caching
        self._stores = stores
        self._limits = limits
        self._meter = invocation.meter
        self._clock = runtime.clock
        self._blocking = runtime.blocking
        self._changed = asyncio.Event()
        self._runner = ItemRunner(
            upstream,
            Conditions(message.account_id, message.batch_id, message.concurrency, message.expires_at),
            runtime,
            self._meter,
            on_result=self._take,
            on_idle=self._changed.set,
        )
        self._runner.lease(claim.lease_until)
        self._participant = Participant(message, lambda: len(self._left), invocation.stop_at)
        self._results: list[Result] = []
        self._positions: list[int] = []
        self._result_bytes = 0
        self._held_bytes = 0
        self._parts = 0
        self._suspect: int | None = None
        self._suspicions = 0
        self._order: StopOrder | None = None
        self._started_at = self._clock()
        self._written_at = float(claim.lease_until - limits.lease_seconds)
        self._flush_at = math.inf
        self._stop_at = invocation.stop_at
        self._cut_at = math.inf

    async def run(self) -> Ended:
        """Raises LeaseLost, ItemBroke, or whatever else went wrong; then only what was flushed counts."""
        self._watch.share.expect(item.body for item in self._left.values())
        self._watch.tell(self._changed.set)
        try:
            await self._watch.share.join(self._participant)
            if self._clock() >= self._beat_at():  # a slow start: if the lease is lost, no call may be paid for
                await self._heartbeat()
            if self._watch.share.is_surplus():
                self._order = StopOrder(Stop.SURPLUS, self._clock())
            elif is_suspicious(self._claim):
                await self._run_one_by_one()
            else:
                if self._claim.attempts > 1:
                    await self._begin()
                self._start()
                self._seat.items_to_start = self._runner.items_to_start
                await self._attend()
            return await self._end()
        finally:
            self._watch.forget(self._changed.set)
            await self._runner.cancel()
            self._gate.free(self._held_bytes)
            await self._watch.share.leave(self._participant)

    def _start(self) -> None:
        if self._is_caching_worth_it:
            self._runner.start_families(families(self._left.values()))
        else:
            self._runner.start(self._left.values())

    async def _run_one_by_one(self) -> None:
        announced = self._announced()
        if announced is not None and self._claim.suspicions >= _BLAME_FROM_SUSPICION:
            message = "This request was not executed: it ended every worker that tried it."
            self._take(announced, failed(announced.index, announced.custom_id, CRASH_CODE, message))
            await self._flush()
        for item in sorted(self._left.values(), key=lambda item: item is not announced):
            self._suspect = item.position
            self._suspicions = self._claim.suspicions + 1 if item is announced else 1
            await self._heartbeat()
            self._consider_stopping()
            if self._order is not None:
                break
            self._runner.start([item])
            await self._attend()
            is_cleared = item is announced and item.position not in self._left
            if is_cleared or self._clock() >= self._flush_at:
                await self._flush()

    def _announced(self) -> WorkItem | None:
        """The item that the last owner was running on its own when it was last heard of."""
        return None if self._claim.suspect is None else self._left.get(self._claim.suspect)

    async def _attend(self) -> None:
        """Until no item runs any more: flush, keep the lease, and stop the items when there is a reason to."""
        while self._runner.running:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._seconds_to_next_duty()):
                    await self._changed.wait()
            self._runner.raise_error()
            self._watch.look_for_hanging_calls(self._witness)
            await self._watch.keep_up(self._witness)
            self._runner.give_up_calls(self._watch.hung_before)
            self._consider_stopping()
            now = self._clock()
            if now >= self._cut_at:
                await self._runner.cancel()
            elif self._suspect is None and self._is_flush_due(now):
                await self._flush()
            elif now >= self._beat_at():
                await self._heartbeat()
        self._runner.raise_error()

    def _seconds_to_next_duty(self) -> float:
        now = self._clock()
        last_start = last_start_at(self._started_at, self._stop_at, self._gate.pacer.latency.bound_seconds)
        due = (
            self._flush_at,
            self._cut_at,
            last_start,
            self._stop_at,
            float(self._message.expires_at),
            next_duty_at(now),
        )
        return max(0.0, min(_TICK_SECONDS, self._beat_at() - now, *(at - now for at in due if at > now)))

    def _consider_stopping(self) -> None:
        order = stop_order(self._situation(), self._limits)
        if order is None:
            return
        if self._order is None:
            self._runner.hold()
        if self._order is None or order.stop in (Stop.FENCED, Stop.EXPIRED):
            self._order = order
        self._cut_at = min(self._cut_at, order.cut_at)

    def _situation(self) -> Situation:
        now = self._clock()
        stopping = self._order is not None
        return Situation(
            now=now,
            started_at=self._started_at,
            stop_at=self._stop_at,
            expires_at=float(self._message.expires_at),
            fenced=self._row.fence is not None,
            lane_closed=self._watch.is_in_trouble,
            lane_hangs=self._watch.health.reason == FailureReason.TIMEOUT,
            is_surplus=self._watch.share.is_surplus(),
            makes_room=self._seat.has_to_go,
            wants_to_start=not stopping and (self._runner.waiting or self._suspect is not None),
            next_start=self._runner.next_start(now),
            usual_call_seconds=self._gate.pacer.latency.bound_seconds,
            is_drawn=self._watch.share.pace.rate is not None,
        )

    def _take(self, item: WorkItem, result: Result) -> None:
        del self._left[item.position]
        self._results.append(result)
        self._positions.append(item.position)
        size = len(result.body or b"")
        self._result_bytes += size
        self._held_bytes += size
        self._gate.hold(size)
        if len(self._results) == 1:
            self._flush_at = self._clock() + self._limits.flush_seconds
        if self._is_full():
            self._changed.set()

    def _is_flush_due(self, now: float) -> bool:
        """The last few items of a shard get as long again to come in: most do, which saves the shard a part."""
        is_nearly_done = len(self._left) <= self._item_count * _LAST_FEW
        patience = self._limits.flush_seconds if is_nearly_done else 0.0
        return self._is_full() or now >= self._flush_at + patience

    def _is_full(self) -> bool:
        return len(self._results) >= self._limits.flush_items or self._result_bytes >= self._limits.flush_bytes

    async def _end(self) -> Ended:
        await self._watch.keep_up(self._witness)
        self._consider_stopping()
        order = self._order or StopOrder(Stop.EXPIRED, self._clock())
        if order.stop is Stop.OUT_OF_TIME:
            self._fail_timed_out()
        if self._results or not (self._left or self._row.state is ShardState.SETTLED):
            await self._flush()
        if not self._left:
            return Ended(Stop.SETTLED, self._row)
        await self._blocking(self._stores.rows.release, self._message.batch_id, self._claim)
        if order.stop is Stop.SURPLUS:
            await self._watch.look(consistent=True)  # who is to draw this shard may have left meanwhile
        is_the_lanes = order.stop in (Stop.LANE_CLOSED, Stop.SURPLUS)
        wait_seconds = self._watch.wait_seconds() if is_the_lanes else order.wait_seconds
        return Ended(order.stop, self._row, wait_seconds)

    def _fail_timed_out(self) -> None:
        """An item that had a full timeout and then ran into the end of the invocation would do so for ever, if others
        got through meanwhile."""
        if not self._watch.has_been_well_since(self._started_at):
            return
        reason = FailureReason.TIMEOUT
        for position in self._runner.timed_out & self._left.keys():
            item = self._left[position]
            self._take(item, failed(item.index, item.custom_id, str(reason), reason.message))

    async def _begin(self) -> None:
        """An owner before us died, or could not flush: should we die too, it has to be known that items ran."""
        lease_until = self._lease_until()
        self._row = await self._blocking(self._stores.rows.begin, self._message.batch_id, self._claim, lease_until)
        self._runner.lease(lease_until)

    async def _heartbeat(self) -> None:
        lease_until = self._lease_until()
        self._row = await self._blocking(
            self._stores.rows.heartbeat,
            self._message.batch_id,
            self._claim,
            lease_until,
            self._suspect,
            self._suspicions,
        )
        self._runner.lease(lease_until)

    async def _flush(self) -> None:
        """Write what came in as a part, then name it in the shard's row. The last part settles the shard."""
        results, positions, freed_bytes = self._results, self._positions, self._result_bytes
        self._results, self._positions, self._result_bytes, self._flush_at = [], [], 0, math.inf
        gained = tally(results) + retries_tally(self._runner.retries)
        self._runner.retries.clear()
        give_up_at = min(self._written_at + self._limits.lease_seconds * _WRITES_FOR, self._stop_at)
        lease_until = self._lease_until()
        self._parts += 1
        write = partial(
            self._write,
            results,
            done=mark_done(self._row.done, positions, self._item_count),
            tally=self._row.tally + gained,
            lease_until=lease_until,
            settled=not self._left,
            now=int(self._clock()),
            first_call_at=int(self._runner.first_call_at),
        )
        self._row = await self._written(write, give_up_at)
        self._runner.lease(lease_until)
        self._meter.tally += gained
        self._held_bytes -= freed_bytes
        self._gate.free(freed_bytes)

    async def _written(self, write: Callable[[], ShardRow], give_up_at: float) -> ShardRow:
        """The row after `write`. If AWS is away for some seconds it is repeated, because what came in is paid."""
        while True:
            try:
                return cast(ShardRow, await self._blocking(write))
            except LeaseLost:
                raise
            except Exception:
                if self._clock() + _WRITE_AGAIN_SECONDS >= give_up_at:
                    raise
            await asyncio.sleep(_WRITE_AGAIN_SECONDS)

    def _write(self, results: list[Result], **row: Any) -> ShardRow:
        """May be repeated."""
        message = self._message
        key = part_key(message.account_id, message.batch_id, self._claim.number, self._claim.version, self._parts - 1)
        lane = Lane(message.provider, message.model, message.mode)
        self._stores.objects.put(key, encode_part(message.batch_id, results, lane))
        return self._stores.rows.flush(message.batch_id, self._claim, part_key=key, **row)

    def _beat_at(self) -> float:
        """When the row has to hear of us again: two beats may be late before the lease ends."""
        return self._written_at + self._limits.lease_seconds / 3

    def _lease_until(self) -> int:
        self._written_at = self._clock()
        return int(self._written_at) + self._limits.lease_seconds
