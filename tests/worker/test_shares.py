"""Many workers on one lane: together they use what its provider takes and no more, and everybody gets a share."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from batchyard.adapters.aws.lanes import Lanes
from batchyard.core.calls import Answer, ProviderReply
from batchyard.core.items import Item, work_line
from batchyard.core.keys import work_key
from batchyard.core.lanes import Lane, LaneId, Mode
from batchyard.core.messages import ShardMessage
from batchyard.core.retry import FailureReason, RetryAdvice, RetryPolicy
from batchyard.core.sharding import LaneShards, Plan, Shard, shard_items
from batchyard.core.shards import ShardRow
from batchyard.core.usage import Price, Usage
from batchyard.steps.draw import numbers_to_draw
from batchyard.worker.gate import Gates
from batchyard.worker.item_runner import Upstream
from batchyard.worker.lane_watch import LaneWatch
from batchyard.worker.meter import Meter
from batchyard.worker.runtime import Runtime
from batchyard.worker.shard_run import ShardStores
from batchyard.worker.work import Record, Steps, Worker
from tests.memory import memory_objects
from tests.memory_table import memory_shards
from tests.virtual_time import EPOCH, VirtualTimeLoop, inline
from tests.worker.workshop import LIMITS

TOO_MANY = Answer(429, b"{}", failure=FailureReason.THROTTLED, retry_advice=RetryAdvice(retry_after_seconds=1.0))
WINDOW = 128


@dataclass
class Bucket:
    """A provider that takes `rate` calls a second, saved up for one second at most; each takes `seconds`."""

    clock: Callable[[], float]
    rate: float
    seconds: float
    tokens: float = math.inf
    filled_at: float = EPOCH
    good: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    first_call_at: dict[str, float] = field(default_factory=dict)

    async def call(self, body: bytes) -> ProviderReply:
        now = self.clock()
        self.tokens = min(self.rate, self.tokens + (now - self.filled_at) * self.rate)
        self.filled_at = now
        batch_id = orjson.loads(body).get("b", "witness")
        self.first_call_at.setdefault(batch_id, now - EPOCH)
        if self.tokens < 1:
            self.refused += 1
            await asyncio.sleep(0.01)
            return TOO_MANY
        self.tokens -= 1
        await asyncio.sleep(self.seconds)
        self.good[batch_id] += 1
        return Answer(200, b"{}", "req", Usage(1, 0, 1, 0))


class Yard:
    """One lane, `workers` functions that take its messages as an SQS event source does, ten at a time; the batches
    that are added, each with a window of shards in flight."""

    def __init__(self, rate: float, workers: int, seconds: float) -> None:
        self.loop = VirtualTimeLoop()
        self.shards, self.objects = memory_shards(), memory_objects()
        self.lanes = Lanes(self.shards._table)
        self.provider = Bucket(self.loop.clock, rate, seconds)
        self.due: list[tuple[float, int, ShardMessage]] = []
        self.ended_at: dict[str, float] = {}
        self._gb_seconds = 0.0
        self._begun: dict[int, float] = {}
        self._messages: dict[tuple[str, int], ShardMessage] = {}
        self._plans: dict[str, Plan] = {}
        self._settled: dict[str, set[int]] = {}
        self._left: set[str] = set()
        self._running: set[asyncio.Task[None]] = set()
        self._order = itertools.count()
        self._owners = itertools.count()
        self._random = random.Random(5)
        self._processes = [self._process() for _ in range(workers)]
        self._idle = list(self._processes)

    def add(self, batch_id: str, items: int, account_id: str = "acct_a", weight: int = 1) -> None:
        """A validated batch: its first shards are sent."""
        sizes: list[int] = []
        while sum(sizes) < items:
            sizes.append(min(shard_items(len(sizes), 256), items - sum(sizes)))
        lane = LaneShards(Lane("openai", "m", Mode.REALTIME), 0, len(sizes), items)
        self._plans[batch_id] = Plan("run", items, len(sizes), (lane,), WINDOW, False, None)
        self._settled[batch_id] = set()
        self._left.add(batch_id)
        first = 0
        for number, size in enumerate(sizes):
            lines = b"".join(
                work_line(Item(i, f"i{i}", "m", b'{"b":"%b"}' % batch_id.encode())) for i in range(first, first + size)
            )
            self.objects.put(work_key(account_id, batch_id, f"run{number}"), lines)
            first += size
            follower = number + WINDOW if number + WINDOW < len(sizes) else None
            message = ShardMessage(
                account_id=account_id,
                batch_id=batch_id,
                run=f"run{number}",
                endpoint="/v1/chat/completions",
                provider="openai",
                model="m",
                shard=Shard(number, 0, 0, len(lines), size, first - size),
                shards=len(sizes),
                progress_rows=1,
                follower=follower,
                concurrency=None,
                expires_at=int(EPOCH) + 86_400,
                weight=weight,
            )
            self._messages[batch_id, number] = message
            if number < WINDOW:
                self.send([message])

    def send(self, messages: list[ShardMessage], delay_seconds: int = 0) -> None:
        for message in messages:
            heapq.heappush(self.due, (self.loop.clock() + delay_seconds, next(self._order), message))

    def postpone(self, provider: str, receipt_handle: str, seconds: int) -> None:
        raise AssertionError("nothing fails here")

    def run(self, seconds: float) -> None:
        """Until every batch has ended, but `seconds` at most."""
        self.loop.run_until_complete(self._run(self.loop.clock() + seconds))

    async def _run(self, until: float) -> None:
        while self._left and self.loop.clock() < until:
            while self._idle and (ready := self._receive()):
                task = self.loop.create_task(self._invoke(self._idle.pop(0), ready))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            await asyncio.sleep(0.1)

    def close(self) -> None:
        if not self._running:
            self.loop.close()
            return
        for task in self._running:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*self._running, return_exceptions=True))
        self.loop.close()

    def _receive(self, at_most: int = 10) -> list[ShardMessage]:
        """Messages that are due, those of quiet batches first, as a fair queue has it."""
        now = self.loop.clock()
        ready = [entry for entry in self.due if entry[0] <= now]
        busy = Counter(entry[2].batch_id for entry in ready)
        chosen = sorted(ready, key=lambda entry: (busy[entry[2].batch_id], entry[:2]))[:at_most]
        for entry in chosen:
            self.due.remove(entry)
        heapq.heapify(self.due)
        return [entry[2] for entry in chosen]

    @property
    def gb_seconds(self) -> float:
        """Of all invocations until now."""
        return self._gb_seconds + sum(self.loop.clock() - begun for begun in self._begun.values())

    async def _invoke(self, process: Any, messages: list[ShardMessage]) -> None:
        number = next(self._order)
        begun = self._begun[number] = self.loop.clock()
        worker, _ = process
        records = [Record(str(n), message.to_json(), str(n), 1) for n, message in enumerate(messages)]
        assert await worker.work(records, stop_at=begun + 880, meter=Meter()) == []
        await asyncio.sleep(0.02)
        self._gb_seconds += self.loop.clock() - self._begun.pop(number)
        self._idle.append(process)

    def _settle(self, message: ShardMessage, row: ShardRow, again: bool) -> None:
        if again:
            return
        if message.follower is not None:
            self.send([self._messages[message.batch_id, message.follower]])
        self._settled[message.batch_id].add(message.shard.number)
        if len(self._settled[message.batch_id]) == message.shards:
            self._left.remove(message.batch_id)
            self.ended_at[message.batch_id] = self.loop.clock() - EPOCH

    def _draw(self, message: ShardMessage, tried: Set[int]) -> list[ShardMessage]:
        batch_id, number = message.batch_id, message.shard.number
        plan = self._plans[batch_id]
        settled = self._settled[batch_id]
        return [self._messages[batch_id, n] for n in numbers_to_draw(plan, number, settled | tried, settled)]

    def _process(self) -> Any:
        gates = Gates(768, self.loop.clock)
        watches: dict[LaneId, LaneWatch] = {}
        runtime = Runtime(
            self.loop.clock,
            self._random.random,
            lambda: f"owner_{next(self._owners)}",
            logging.getLogger("worker"),
            inline,
        )

        def watch_of(message: ShardMessage) -> LaneWatch:
            lane = LaneId(message.provider, message.model)
            if lane not in watches:
                watches[lane] = LaneWatch(lane, gates.of(lane), self.lanes, runtime, forget_key=lambda: None)
            return watches[lane]

        async def of(message: ShardMessage) -> Upstream:
            watch, call = watch_of(message), self.provider.call
            return Upstream(call, gates.of(watch.lane), watch, lambda: call(b"{}"), Price(1, 1, 1), RetryPolicy())

        worker = Worker(
            ShardStores(self.shards, self.objects),
            self,  # type: ignore[arg-type]
            SimpleNamespace(watch_of=watch_of, of=of),  # type: ignore[arg-type]
            Steps(self._settle, self._draw),
            LIMITS,
            runtime,
        )
        return worker, watches


@pytest.fixture
def yards() -> Iterator[Callable[..., Yard]]:
    made: list[Yard] = []

    def make(rate: float, workers: int, seconds: float = 1.0) -> Yard:
        made.append(Yard(rate, workers, seconds))
        return made[-1]

    yield make
    for yard in made:
        yard.close()


@pytest.mark.parametrize("workers", [1, 5, 20])
@pytest.mark.parametrize("rate", [20, 200])
def test_a_limited_lane_is_used_and_not_overrun(yards: Callable[..., Yard], rate: int, workers: int) -> None:
    """However many workers come to a lane of which nothing is known: most of what the provider takes, few refusals, and
    hardly more than the price of one worker."""
    yard = yards(rate, workers)
    items = rate * 100
    yard.add("big", items)
    yard.run(1000)
    took = yard.ended_at["big"]
    report = (items / took / rate, yard.provider.refused / items, yard.gb_seconds / (items / rate))
    assert report[0] >= 0.92, report
    assert report[1] <= 0.08, report
    assert report[2] <= 1.6, report


def test_a_fast_lane_is_used_by_several_workers(yards: Callable[..., Yard]) -> None:
    """Two thousand calls a second are more than one worker has in flight."""
    yard = yards(2_000, 20)
    yard.add("big", 2_000 * 20)
    yard.run(1000)
    report = (20 / yard.ended_at["big"], yard.provider.refused / 40_000)
    assert report[0] >= 0.75, report
    assert report[1] <= 0.2, report


@pytest.mark.parametrize("account_id", ["acct_a", "acct_b"])
@pytest.mark.parametrize("workers", [2, 5])
def test_a_small_batch_is_not_held_up(yards: Callable[..., Yard], workers: int, account_id: str) -> None:
    """Fifty items beside tens of thousands, of another account or of the same: as if they were nearly alone, and the
    large batch does not stand still."""
    yard = yards(200, workers)
    yard.add("big", 20_000)
    yard.run(30)
    yard.add("small", 50, account_id)
    before = yard.provider.good["big"]
    yard.run(20)
    assert yard.provider.first_call_at["small"] < 30 + 5
    assert yard.ended_at["small"] < 30 + 12
    assert yard.provider.good["big"] - before > 20 * 200 / 2


def test_accounts_share_equally(yards: Callable[..., Yard]) -> None:
    """Ten accounts that all want everything: the one with five batches gets no more than each of the others."""
    yard = yards(200, 20)
    for number in range(10):
        for batch in range(5 if number == 0 else 1):
            yard.add(f"batch{number}x{batch}", 3_000, f"acct_{number}")
    assert _shares(yard) == pytest.approx(dict.fromkeys(range(10), 0.1), abs=0.02)


def test_an_account_of_weight_three_gets_three_times_as_much(yards: Callable[..., Yard]) -> None:
    """Beside another one, whatever the number of workers."""
    yard = yards(200, 5)
    yard.add("batch0x", 20_000, "acct_0", weight=3)
    yard.add("batch1x", 20_000, "acct_1")
    assert _shares(yard) == pytest.approx({0: 0.75, 1: 0.25}, abs=0.05)


def _shares(yard: Yard) -> dict[int, float]:
    """What each account gets of the calls, once all of them have begun."""
    yard.run(40)
    before = Counter(yard.provider.good)
    yard.run(60)
    by_account: Counter[int] = Counter()
    for batch_id, count in (yard.provider.good - before).items():
        by_account[int(batch_id.removeprefix("batch").partition("x")[0])] += count
    return {account: count / by_account.total() for account, count in by_account.items()}
