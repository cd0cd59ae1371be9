"""Runs the items of one shard concurrently: each through the gate of its lane, and again after a failure worth it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from batchyard.core.calls import Answer, NoAnswer, ProviderReply
from batchyard.core.errors import BatchyardError
from batchyard.core.items import WorkItem
from batchyard.core.results import Outcome, Result, failed
from batchyard.core.retry import FailureReason, Failures, RetryPolicy, wait_before_retry
from batchyard.core.usage import Price
from batchyard.worker.gate import Gate
from batchyard.worker.meter import Meter


class ItemBroke(BatchyardError):
    """An item set off a fault in our own code; `__cause__` is the fault."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """The lane of a shard as its items see it. `call` sends a body to its provider and endpoint."""

    call: Callable[[bytes], Awaitable[ProviderReply]]
    gate: Gate
    price: Price
    retry: RetryPolicy


class ItemRunner:
    """`concurrency`: ceiling on calls in flight; None leaves it to the gate. No call starts at or after `expires_at`.
    `on_result` gets every result; `on_idle` is called when nothing runs any more or a task broke."""

    def __init__(
        self,
        upstream: Upstream,
        *,
        concurrency: int | None,
        expires_at: float,
        meter: Meter,
        clock: Callable[[], float],
        random: Callable[[], float],
        on_result: Callable[[WorkItem, Result], None],
        on_idle: Callable[[], None],
    ) -> None:
        self._upstream = upstream
        self._slots = asyncio.Semaphore(concurrency) if concurrency else None
        self._expires_at = expires_at
        self._meter = meter
        self._clock = clock
        self._random = random
        self._on_result = on_result
        self._on_idle = on_idle
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_call: set[asyncio.Task[None] | None] = set()
        self._ready_at: dict[int, float] = {}
        self._error: BaseException | None = None
        self._held = False
        self.timed_out: set[int] = set()
        """Positions whose provider let a whole timeout pass, at least once."""

    @property
    def running(self) -> bool:
        return bool(self._tasks)

    @property
    def waiting(self) -> bool:
        """Whether some item wants to start a call."""
        return len(self._tasks) > len(self._in_call)

    def next_start(self, now: float) -> float:
        """The earliest moment at which a waiting item may start a call, as far as time alone decides."""
        delayed = len(self._ready_at) == len(self._tasks) - len(self._in_call) and self._ready_at
        return max(now, self._upstream.gate.pacer.resumes_at, min(self._ready_at.values()) if delayed else now)

    def start(self, items: Iterable[WorkItem]) -> None:
        for item in items:
            task = asyncio.create_task(self._run(item))
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def hold(self) -> None:
        """Start no further calls. Items in flight stay so."""
        self._held = True
        for task in self._tasks - self._in_call:
            task.cancel()

    async def cancel(self) -> None:
        """Cut off everything and wait until it is."""
        self._held = True
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
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error = error
        if self._error is not None or not self._tasks:
            self._on_idle()

    async def _run(self, item: WorkItem) -> None:
        failures = Failures()
        while not self._held and self._clock() < self._expires_at:
            outcome = await self._call_in_turn(item)
            reason = outcome.failure
            if reason is None:
                assert isinstance(outcome, Answer)
                self._meter.usages_refused += outcome.usage.refused
                return self._on_result(item, _succeeded(item, outcome, self._upstream.price))
            failures = failures.plus(reason)
            wait = wait_before_retry(reason, failures, outcome.retry_advice, self._upstream.retry, self._random())
            if wait is None:
                return self._on_result(item, _failed(item, outcome))
            if reason is FailureReason.TIMEOUT and isinstance(outcome, NoAnswer):
                self.timed_out.add(item.position)
            if not await self._wait(item, wait):
                return None
            self._meter.retries += 1
        return None

    async def _call_in_turn(self, item: WorkItem) -> ProviderReply:
        if self._slots is None:
            return await self._call(item)
        async with self._slots:
            return await self._call(item)

    async def _call(self, item: WorkItem) -> ProviderReply:
        gate = self._upstream.gate
        call = await gate.enter()
        task = asyncio.current_task()
        self._in_call.add(task)
        started_at = self._clock()
        outcome: ProviderReply | None = None
        try:
            outcome = await self._upstream.call(item.body)
        finally:
            seconds = self._clock() - started_at
            self._in_call.discard(task)
            gate.leave(call, outcome, seconds)
        self._meter.called(outcome.failure, seconds)
        return outcome

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


def _succeeded(item: WorkItem, outcome: Answer, price: Price) -> Result:
    return Result(
        item.index,
        item.custom_id,
        Outcome.SUCCEEDED,
        outcome.status,
        outcome.request_id,
        outcome.body,
        usage=outcome.usage,
        cost_picousd=price.cost_picousd(outcome.usage),
    )


def _failed(item: WorkItem, outcome: ProviderReply) -> Result:
    if isinstance(outcome, NoAnswer):
        return failed(item.index, item.custom_id, str(outcome.failure), outcome.failure.message)
    return Result(item.index, item.custom_id, Outcome.FAILED, outcome.status, outcome.request_id, outcome.body)
