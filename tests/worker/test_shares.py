"""Many workers on one lane: together they use what its provider takes and no more, and everybody gets a share."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from batchyard.adapters.aws.lanes import Lanes
from batchyard.core.calls import Answer, ProviderReply
from batchyard.core.items import Item, work_line
from batchyard.core.keys import work_key
from batchyard.core.lanes import LaneId
from batchyard.core.messages import ShardMessage
from batchyard.core.retry import FailureReason, RetryAdvice, RetryPolicy
from batchyard.core.sharding import Shard, shard_items
from batchyard.core.shards import ShardRow
from batchyard.core.usage import Price, Usage
from batchyard.worker.gate import Gates
from batchyard.worker.item_runner import Upstream
from batchyard.worker.lane_watch import LaneWatch
from batchyard.worker.meter import Meter
from batchyard.worker.runtime import Runtime
from batchyard.worker.shard_run import ShardStores
from batchyard.worker.work import Record, Worker
from simulation.memory_objects import memory_objects
from simulation.memory_table import memory_shards
from simulation.virtual_time import EPOCH, VirtualTimeLoop, inline
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
        self.gb_seconds = 0.0
        self._messages: dict[tuple[str, int], ShardMessage] = {}
        self._left: Counter[str] = Counter()
        self._running: set[asyncio.Task[None]] = set()
        self._order = itertools.count()
        self._owners = itertools.count()
        self._random = random.Random(5)
        self._processes = [self._process() for _ in range(workers)]
        self._idle = list(self._processes)

    def add(self, batch_id: str, items: int, account_id: str = "acct_a") -> None:
        """A validated batch: its first shards are sent."""
        sizes: list[int] = []
        while sum(sizes) < items:
            sizes.append(min(shard_items(len(sizes), 256), items - sum(sizes)))
        self._left[batch_id] = len(sizes)
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

    async def _invoke(self, process: Any, messages: list[ShardMessage]) -> None:
        begun = self.loop.clock()
        worker, _ = process
        records = [Record(str(n), message.to_json(), str(n), 1) for n, message in enumerate(messages)]
        assert await worker.work(records, stop_at=begun + 880, meter=Meter()) == []
        await asyncio.sleep(0.02)
        self.gb_seconds += self.loop.clock() - begun
        self._idle.append(process)

    def _settle(self, message: ShardMessage, row: ShardRow) -> None:
        if message.follower is not None:
            self.send([self._messages[message.batch_id, message.follower]])
        self._left[message.batch_id] -= 1
        if not self._left[message.batch_id]:
            del self._left[message.batch_id]
            self.ended_at[message.batch_id] = self.loop.clock() - EPOCH

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
            self._settle,
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
    """However many workers come: most of what the provider takes, few refusals, and not the price of all of them."""
    yard = yards(rate, workers)
    items = rate * 100
    yard.add("big", items)
    yard.run(1000)
    took = yard.ended_at["big"]
    report = (items / took / rate, yard.provider.refused / items, yard.gb_seconds / took)
    assert report[0] >= 0.7, report
    assert report[1] <= 0.2, report
    assert report[2] <= min(workers, 8) + 0.1, report


@pytest.mark.parametrize("account_id", ["acct_a", "acct_b"])
@pytest.mark.parametrize("workers", [2, 5])
def test_a_small_batch_is_not_held_up(yards: Callable[..., Yard], workers: int, account_id: str) -> None:
    """Fifty items beside twenty thousand, of another account or of the same: as if they were nearly alone."""
    yard = yards(200, workers)
    yard.add("big", 10_000)
    yard.run(30)
    yard.add("small", 50, account_id)
    yard.run(60)
    assert yard.provider.first_call_at["small"] < 30 + 10
    assert yard.ended_at["small"] < 30 + 20


def test_accounts_share_equally(yards: Callable[..., Yard]) -> None:
    """Ten accounts that all want everything: the one with five batches gets hardly more than each of the others."""
    yard = yards(200, 20)
    for number in range(10):
        for batch in range(5 if number == 0 else 1):
            yard.add(f"batch{number}x{batch}", 3_000, f"acct_{number}")
    yard.run(40)
    before = Counter(yard.provider.good)
    yard.run(60)
    by_account: Counter[str] = Counter()
    for batch_id, count in (yard.provider.good - before).items():
        by_account[batch_id.partition("x")[0]] += count
    shares = {account: count / by_account.total() for account, count in by_account.items()}
    assert all(0.06 <= share <= 0.17 for share in shares.values()), shares
