"""Runs the items of one shard concurrently: each through the gate of its lane, and again after a failure worth it."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from batchyard.core.calls import Answer, NoAnswer, ProviderReply
from batchyard.core.errors import BatchyardError
from batchyard.core.families import HEAD_START_SECONDS
from batchyard.core.items import WorkItem
from batchyard.core.results import Outcome, Result, failed
from batchyard.core.retry import FailureReason, Failures, RetryPolicy, wait_before_retry
from batchyard.core.usage import Price, discounted_picousd
from batchyard.worker.gate import Gate
from batchyard.worker.lane_watch import LaneWatch
from batchyard.worker.meter import Meter
from batchyard.worker.runtime import Runtime
from batchyard.worker.witnesses import Witness


class ItemBroke(BatchyardError):
    """An item set off a fault in our own code; `__cause__` is the fault."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """The lane of a shard as its items see it. `call` sends a body to its provider and endpoint, `witness` the smallest
    one that it takes. `price` is that of realtime, of which an item costs `price_percent`."""

    call: Callable[[bytes], Awaitable[ProviderReply]]
    gate: Gate
    watch: LaneWatch
    witness: Witness
    price: Price
    retry: RetryPolicy
    price_percent: int = 100


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a shard's message asks of its calls, and for whom they are. `concurrency`: ceiling on calls in flight; None
    leaves it to the gate. No call starts at or after `expires_at` (unix seconds)."""

    account_id: str
    batch_id: str
    concurrency: int | None
    expires_at: float


class ItemRunner:
    """`on_result` gets every result; `on_idle` is called when nothing runs any more or a task broke."""

    def __init__(
        self,
        upstream: Upstream,
        conditions: Conditions,
        runtime: Runtime,
        meter: Meter,
        *,
        on_result: Callable[[WorkItem, Result], None],
        on_idle: Callable[[], None],
    ) -> None:
        self._upstream = upstream
        self._conditions = conditions
        self._slots = asyncio.Semaphore(conditions.concurrency) if conditions.concurrency else None
        self._expires_at = conditions.expires_at
        self._meter = meter
        self._clock = runtime.clock
        self._random = runtime.random
        self._on_result = on_result
        self._on_idle = on_idle
        self._tasks: dict[asyncio.Task[None], None] = {}
        """In the order in which they began, as all that is done to all of them."""
        self._in_call: set[asyncio.Task[None] | None] = set()
        self._ready_at: dict[int, float] = {}
        self._calls: dict[int, tuple[float, asyncio.Task[None]]] = {}
        """Position of an item in flight -> when its call started, and its task."""
        self._hanging: set[int] = set()
        self._given_up: set[int] = set()
        self._error: BaseException | None = None
        self._held = False
        self._lease_until = math.inf
        self._lease_extended = asyncio.Event()
        self.retries: Counter[str] = Counter()
        """Reason -> how often items were sent again since somebody last took note."""
        self.first_call_at = 0.0
        """When the first call began, in unix seconds; 0 before that."""
        self.timed_out: set[int] = set()
        """Positions of items whose provider let a whole timeout pass at least once."""

    @property
    def running(self) -> bool:
        return bool(self._tasks)

    @property
    def waiting(self) -> bool:
        """Whether some item wants to start a call."""
        return len(self._tasks) > len(self._in_call)

    def items_to_start(self) -> int:
        """How many items could start a call now, if the gate let them."""
        return len(self._tasks) - len(self._in_call) - len(self._ready_at)

    def next_start(self, now: float) -> float:
        """The earliest moment at which a waiting item may start a call, as far as time alone decides."""
        delayed = len(self._ready_at) == len(self._tasks) - len(self._in_call) and self._ready_at
        return max(now, self._upstream.gate.pacer.resumes_at, min(self._ready_at.values()) if delayed else now)

    def start(self, items: Iterable[WorkItem]) -> None:
        for item in items:
            self._start(self._run(item))

    def start_families(self, families: Iterable[Sequence[WorkItem]]) -> None:
        """Of each family first one item, and the others when that one is over: then its vendor knows how their prompts
        begin."""
        for first, *others in families:
            if not others:
                self._start(self._run(first))
                continue
            is_known = asyncio.Event()
            self._start(self._run_ahead(first, is_known))
            for item in others:
                self._start(self._run_after(item, is_known))

    def _start(self, run: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(run)
        self._tasks[task] = None
        task.add_done_callback(self._ended)

    def lease(self, until: float) -> None:
        """The shard is ours up to then (unix seconds). A worker that stood still for longer starts no call before it is
        told of a new lease: the shard may be another's, who makes the same calls."""
        self._lease_until = until
        self._lease_extended.set()

    def hold(self) -> None:
        """Start no further calls. Items in flight stay so."""
        self._held = True
        for task in [task for task in self._tasks if task not in self._in_call]:
            task.cancel()

    def give_up_calls(self, started_before: float) -> None:
        """End calls that hang, so that their items are sent again. Each item once: what takes as long a second time is
        just long."""
        for position, (started_at, task) in self._calls.items():
            if started_at < started_before and position not in self._given_up and position not in self._hanging:
                self._hanging.add(position)
                task.cancel()

    async def cancel(self) -> None:
        """Cut off everything and wait until it is."""
        self._held = True
        self._hanging.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def raise_error(self) -> None:
        """Raises ItemBroke if anything broke a task."""
        if isinstance(self._error, Exception):
            raise ItemBroke("an item broke its run") from self._error
        if self._error is not None:
            raise self._error

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error = error
        if self._error is not None or not self._tasks:
            self._on_idle()

    async def _run_ahead(self, item: WorkItem, is_known: asyncio.Event) -> None:
        try:
            await self._run(item)
        finally:
            is_known.set()

    async def _run_after(self, item: WorkItem, is_known: asyncio.Event) -> None:
        if self._clock() + HEAD_START_SECONDS < self._expires_at:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEAD_START_SECONDS):
                    await is_known.wait()
        await self._run(item)

    async def _run(self, item: WorkItem) -> None:
        failures, failed_at, slots = Failures(), -math.inf, self._slots
        while not self._held and self._clock() < self._expires_at:
            reply = await (self._call(item) if slots is None else self._call_in_a_slot(slots, item))
            if reply is None:
                continue
            if reply.failure is FailureReason.UNSUPPORTED:
                return self._on_result(item, _failed(item, reply))
            reason = self._upstream.watch.replied(reply, failed_before=failures.counted > 0)
            if reason is None:
                assert isinstance(reply, Answer)
                self._meter.usages_refused += reply.usage.refused
                return self._on_result(item, _succeeded(item, reply, self._upstream))
            if self._upstream.watch.is_the_lanes(reason):
                return None
            failures, failed_before_at = failures.plus(reason), failed_at
            failed_at = self._clock()
            wait = wait_before_retry(reason, failures, reply.retry_advice, self._upstream.retry, self._random())
            if wait is None:
                return await self._give_up(item, reply, reason, failed_before_at)
            if reason is FailureReason.TIMEOUT and isinstance(reply, NoAnswer):
                self.timed_out.add(item.position)
            if not await self._wait(item, wait):
                return None
            self._meter.retries += 1
            self.retries[str(reason)] += 1
        return None

    async def _give_up(
        self, item: WorkItem, reply: ProviderReply, reason: FailureReason, failed_before_at: float
    ) -> None:
        """The item's tries are used up, or it may have none. For a passing reason it fails only if the lane is well; if
        nobody else gets through either, it is as if it had never been tried."""
        upstream = self._upstream
        if reason.is_trouble and not await upstream.watch.is_well_since(failed_before_at, reason, upstream.witness):
            return
        self._on_result(item, _failed(item, reply))

    async def _call_in_a_slot(self, slots: asyncio.Semaphore, item: WorkItem) -> ProviderReply | None:
        async with slots:
            return await self._call(item)

    async def _call(self, item: WorkItem) -> ProviderReply | None:
        """The reply; None if the call was given up, which its item is not charged for, or could not start."""
        gate = self._upstream.gate
        call = await gate.enter(self._conditions.account_id, self._conditions.batch_id)
        started_at = self._clock()
        if started_at >= self._lease_until:
            gate.leave(call, None, 0.0)
            self._lease_extended.clear()
            await self._lease_extended.wait()
            return None
        task = asyncio.current_task()
        assert task is not None
        self._in_call.add(task)
        self.first_call_at = self.first_call_at or started_at
        reply: ProviderReply | None = None
        self._calls[item.position] = started_at, task
        try:
            reply = await self._upstream.call(item.body)
        except asyncio.CancelledError:
            if item.position not in self._hanging:
                raise
            self._hanging.discard(item.position)
            self._given_up.add(item.position)
            return None
        finally:
            seconds = self._clock() - started_at
            self._calls.pop(item.position, None)
            self._in_call.discard(task)
            gate.leave(call, reply, seconds)
        self._meter.called(reply.failure, seconds)
        return reply

    async def _wait(self, item: WorkItem, seconds: float) -> bool:
        """Whether there is any point in going on after `seconds`."""
        ready_at = self._clock() + seconds
        if self._held or ready_at >= self._expires_at:
            return False
        self._ready_at[item.position] = ready_at
        try:
            await asyncio.sleep(seconds)
        finally:
            del self._ready_at[item.position]
        return True


def _succeeded(item: WorkItem, reply: Answer, upstream: Upstream) -> Result:
    realtime = upstream.price.cost_picousd(reply.usage)
    return Result(
        item.index,
        item.custom_id,
        Outcome.SUCCEEDED,
        reply.status,
        reply.request_id,
        reply.body,
        usage=reply.usage,
        cost_picousd=discounted_picousd(realtime, upstream.price_percent),
        realtime_picousd=realtime,
    )


def _failed(item: WorkItem, reply: ProviderReply) -> Result:
    if isinstance(reply, NoAnswer):
        return failed(item.index, item.custom_id, str(reply.failure), reply.failure.message)
    return Result(item.index, item.custom_id, Outcome.FAILED, reply.status, reply.request_id, reply.body)
