"""A worker with real rows and objects (moto), a scripted provider and a clock of its own."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import orjson

from batchyard.adapters.aws.lanes import Lanes
from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.rosters import Rosters
from batchyard.adapters.aws.shards import Shards
from batchyard.core.calls import Answer, NoAnswer
from batchyard.core.estimates import Room
from batchyard.core.items import Item, work_line
from batchyard.core.keys import work_key
from batchyard.core.lanes import LaneId, Mode
from batchyard.core.messages import ShardMessage
from batchyard.core.parts import decode_part
from batchyard.core.result_lines import result_line
from batchyard.core.results import StoredResult
from batchyard.core.retry import FailureReason, RetryAdvice, RetryPolicy, failure_of
from batchyard.core.sharding import Shard
from batchyard.core.shards import ShardRow, ShardState
from batchyard.core.usage import Price, Usage
from batchyard.worker.drawing import Draw
from batchyard.worker.gate import Gates
from batchyard.worker.item_runner import Upstream
from batchyard.worker.lane_watch import LaneWatch
from batchyard.worker.meter import Meter
from batchyard.worker.runtime import Runtime
from batchyard.worker.shard_run import ShardStores
from batchyard.worker.stopping import RunLimits
from batchyard.worker.work import Record, Steps, Worker
from simulation.virtual_time import EPOCH, VirtualTimeLoop, inline

BATCH_ID = "batch_01m7vzgc0060rk4csm6mv3ee1s"
PRICE = Price(input_microusd=2_000_000, cached_microusd=1_000_000, output_microusd=10_000_000)
LIMITS = RunLimits(
    flush_items=256,
    flush_seconds=5.0,
    flush_bytes=8_000_000,
    lease_seconds=60,
    drain_seconds=25.0,
    patience_seconds=30.0,
)
INVOCATION_SECONDS = 880.0

Outcome = Answer | NoAnswer


class Killed(BaseException):
    """The process dies, so nothing in it may clean up."""


def succeed(index: int) -> Answer:
    return Answer(200, b'{"n":%d}' % index, f"req_{index}", Usage(10, 4, 5, 2))


def status(code: int, advice: RetryAdvice | None = None) -> Answer:
    advice = advice or RetryAdvice()
    return Answer(code, b'{"error":{"message":"no"}}', "req_e", failure=failure_of(code, advice), retry_advice=advice)


class ScriptedProvider:
    """`behave(index, attempt)` is awaited for every call; attempts count from 1, across workers."""

    def __init__(self, behave: Callable[[int, int], Awaitable[Outcome]]) -> None:
        self.behave = behave
        self.received: Counter[int] = Counter()
        self.in_flight = self.most_in_flight = 0

    async def __call__(self, body: bytes) -> Outcome:
        index = orjson.loads(body)["n"]
        self.received[index] += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self.behave(index, self.received[index])
        finally:
            self.in_flight -= 1


def after(seconds: float, outcome: Callable[[int], Outcome] = succeed) -> Callable[[int, int], Awaitable[Outcome]]:
    """Every call takes `seconds` and ends in `outcome`."""

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(seconds)
        return outcome(index)

    return behave


class SentMessages:
    """Stands for the queues: what was sent again, and what was postponed."""

    def __init__(self) -> None:
        self.sent: list[tuple[ShardMessage, int]] = []
        self.postponed: list[int] = []
        self.visible = False

    def send(self, messages: Sequence[ShardMessage], delay_seconds: int = 0) -> None:
        self.sent += [(message, delay_seconds) for message in messages]

    def postpone(self, provider: str, receipt_handle: str, seconds: int) -> None:
        self.postponed.append(seconds)

    def has_visible(self, provider: str) -> bool:
        return self.visible


class Workshop:
    """`work` is one invocation of one worker process; `run_to_the_end` plays SQS until a shard is settled."""

    def __init__(
        self, shards: Shards, objects: Objects, provider: ScriptedProvider, *, limits: RunLimits = LIMITS
    ) -> None:
        self.loop = VirtualTimeLoop()
        self.shards = shards
        self.objects = objects
        self.provider = provider
        self.queues = SentMessages()
        self.settled: list[tuple[ShardMessage, ShardRow]] = []
        self.settled_again = 0
        self.room = Room.FREE
        self.draw: Draw = lambda message, tried: []
        self.limits = limits
        self.retry = RetryPolicy()
        self.deaths = 0
        self.max_in_flight = 512
        self._owners = itertools.count()
        self._random = random.Random(7)
        self.runtime = Runtime(
            self.clock,
            self._random.random,
            lambda: f"owner_{next(self._owners)}",
            logging.getLogger("worker"),
            inline,
        )
        self.lanes = Lanes(shards._table)
        self.forgotten_keys = 0
        self.witnesses = 0
        self.new_process()

    def new_process(self) -> None:
        """Forgets what a worker process remembers."""
        self.gates = Gates(self.max_in_flight, self.clock)
        self.watches: dict[LaneId, LaneWatch] = {}

    def clock(self) -> float:
        return self.loop.clock()

    def message(self, items: int, *, number: int = 0, **changes: Any) -> ShardMessage:
        """A shard of `items` items whose work file is in the bucket."""
        first = number * items
        lines = [work_line(Item(i, f"item-{i}", "m", b'{"n":%d}' % i)) for i in range(first, first + items)]
        data = b"".join(lines)
        self.objects.put(work_key("acct_a", BATCH_ID, f"run{number}"), data)
        message = ShardMessage(
            account_id="acct_a",
            batch_id=BATCH_ID,
            run=f"run{number}",
            endpoint="/v1/chat/completions",
            provider="openai",
            model="m",
            shard=Shard(number, 0, 0, len(data), items, first),
            shards=2,
            progress_rows=1,
            follower=None,
            concurrency=None,
            expires_at=int(EPOCH) + 86_400,
        )
        return replace(message, **changes)

    def work(self, *messages: ShardMessage, receives: int = 1, seconds: float = INVOCATION_SECONDS) -> list[str]:
        """One invocation. The failed record ids; records are named by their position."""
        self.meter = Meter()
        records = [
            Record(str(number), message.to_json(), f"handle-{number}", receives)
            for number, message in enumerate(messages)
        ]
        worker = Worker(
            ShardStores(self.shards, self.objects),
            self.queues,  # type: ignore[arg-type]
            self,
            Steps(
                self._settle,
                self.draw,
                Rosters(self.shards._table),
                lambda message: self.room,
            ),
            self.limits,
            self.runtime,
        )
        working = worker.work(records, stop_at=self.clock() + seconds, meter=self.meter)
        return self.loop.run_until_complete(working)

    def run_to_the_end(
        self, message: ShardMessage, *, deliveries: int = 40, seconds: float = INVOCATION_SECONDS
    ) -> int:
        """Deliver the shard's message as SQS would until it is settled. The number of deliveries it took."""
        receives = 0
        for delivery in range(1, deliveries + 1):
            receives += 1
            already = len(self.queues.sent)
            try:
                failed = self.work(message, receives=receives, seconds=seconds)
            except Killed:
                self.deaths += 1
                self._bury()
                self.loop.advance(960)
                continue
            row = self.shards.get(message.batch_id, message.shard.number)
            if row is not None and row.state is ShardState.SETTLED and not failed:
                return delivery
            if failed:
                self.loop.advance(self.queues.postponed[-1])
            else:
                assert len(self.queues.sent) == already + 1, "the shard is not settled and its message is gone"
                self.loop.advance(self.queues.sent[-1][1])
                receives = 0
        raise AssertionError(f"not settled after {deliveries} deliveries")

    def run_together(self, *messages: ShardMessage, deliveries: int = 40) -> None:
        """Deliver the messages to one worker, again and again, until all of their shards are settled."""
        for _ in range(deliveries):
            try:
                self.work(*messages)
            except Killed:
                self.deaths += 1
                self._bury()
            rows = [self.shards.get(message.batch_id, message.shard.number) for message in messages]
            if all(row is not None and row.state is ShardState.SETTLED for row in rows):
                return
            self.loop.advance(960)
        raise AssertionError(f"not settled after {deliveries} deliveries")

    def results(self, number: int = 0) -> dict[int, StoredResult]:
        """By index, from the parts that the shard's row names. Each index may come once only."""
        row = self.shards.get(BATCH_ID, number)
        assert row is not None
        results: dict[int, StoredResult] = {}
        for key in row.parts:
            for result in decode_part(self.objects.get(key)):
                assert result.index not in results, f"item {result.index} has two results"
                results[result.index] = result
        assert row.tally.items == len(results)
        return results

    def outcomes(self, number: int = 0) -> Counter[str]:
        return Counter(str(result.outcome) for result in self.results(number).values())

    def lines(self, number: int = 0) -> dict[int, dict[str, Any]]:
        return {index: orjson.loads(result_line(result)) for index, result in self.results(number).items()}

    def close(self) -> None:
        self._bury()
        self.loop.close()

    def watch_of(self, message: ShardMessage) -> LaneWatch:
        """Stands for `Upstreams.watch_of`."""
        lane = LaneId(message.provider, message.model, message.account_id if message.caller_pays else None)
        if lane not in self.watches:
            self.watches[lane] = LaneWatch(
                lane, self.gates.of(lane), self.lanes, self.runtime, forget_key=self._forget_key
            )
        return self.watches[lane]

    async def of(self, message: ShardMessage) -> Upstream:
        """Stands for `Upstreams.of`."""
        watch = self.watch_of(message)
        percent = 50 if message.mode is Mode.FLEX else 100
        return Upstream(self.provider, self.gates.of(watch.lane), watch, self._witness, PRICE, self.retry, percent)

    async def _witness(self) -> Outcome:
        """Behaves as the item -1, which is sent for the first time whenever it is sent."""
        self.witnesses += 1
        return await self.provider.behave(-1, 1)

    def _settle(self, message: ShardMessage, row: ShardRow, again: bool) -> None:
        self.settled.append((message, row))
        self.settled_again += again

    def _forget_key(self) -> None:
        self.forgotten_keys += 1

    def _bury(self) -> None:
        """What a dead process was still doing is gone with it."""
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks))
        self.new_process()


TIMED_OUT = NoAnswer(FailureReason.TIMEOUT)
