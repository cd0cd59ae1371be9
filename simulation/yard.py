"""One lane: its queue, its workers, its provider, and the batches that want it.

Real are the worker, the steps Dispatch, Settle and Draw, the work file, and every row and condition. Simulated are the
clock, the provider, the queue (fair, with delays), and the stores, whose calls take no time. Workers do not die here.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections import Counter
from collections.abc import Callable, Set
from dataclasses import dataclass
from typing import Any, cast

from batchyard.adapters.aws.job_starter import JobStarter
from batchyard.adapters.aws.lanes import Lanes
from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.queues import Queues
from batchyard.adapters.aws.stores import Stores
from batchyard.adapters.aws.table import Table
from batchyard.adapters.aws.workflow import Workflow
from batchyard.content.workfile import WorkFile
from batchyard.core.batches import Batch, Ending, Status
from batchyard.core.estimates import Room
from batchyard.core.items import Item, work_line
from batchyard.core.keys import manifest_key, work_key
from batchyard.core.lanes import Lane, LaneId
from batchyard.core.messages import ShardMessage
from batchyard.core.retry import RetryPolicy
from batchyard.core.sharding import Plan, ShardSizes, manifest_record
from batchyard.core.shards import ShardRow
from batchyard.core.usage import Price, Tally
from batchyard.steps.dispatch import dispatch
from batchyard.steps.draw import draw
from batchyard.steps.settle import settle
from batchyard.steps.start import start
from batchyard.worker.gate import Gates
from batchyard.worker.item_runner import Upstream
from batchyard.worker.lane_watch import LaneWatch
from batchyard.worker.meter import Meter
from batchyard.worker.runtime import Runtime
from batchyard.worker.shard_run import ShardStores
from batchyard.worker.stopping import RunLimits
from batchyard.worker.work import Record, Steps, Worker
from simulation.counted import OBJECT_CALLS, TABLE_CALLS, Counted
from simulation.fair_queue import FairQueue
from simulation.limited_provider import LimitedProvider
from simulation.memory_objects import MemoryObjects
from simulation.memory_table import MemoryTable
from simulation.outages import Outage
from simulation.virtual_time import EPOCH, VirtualTimeLoop, inline

_LANE = Lane("openai", "m")
_ENDPOINT = "/v1/chat/completions"
_DAY_SECONDS = 86_400

# As in settings.ValidateSettings and settings.WorkSettings.
_SHARD_ITEMS = 256
_SHARD_BYTES = 4_000_000
_STRIDE = 128
_MAX_IN_FLIGHT = 768
_RUN_LIMITS = RunLimits(
    flush_items=256,
    flush_seconds=5.0,
    flush_bytes=4_000_000,
    lease_seconds=60,
    drain_seconds=25.0,
    patience_seconds=30.0,
)

_INVOCATION_SECONDS = 880.0
_AROUND_AN_INVOCATION_SECONDS = 0.02
_POLL_SECONDS = 0.1
_SEED = 5


@dataclass(frozen=True, slots=True)
class Traffic:
    """What goes over a lane, if that matters. `body`: (batch, index) -> an item's; `provider`: made for a clock;
    `price`: what workers take the lane to cost."""

    body: Callable[[str, int], bytes]
    provider: Callable[[Callable[[], float]], LimitedProvider]
    price: Price


class Yard:
    """A lane that takes `rate` calls a second, each of `seconds`, and up to `workers` worker processes. `tells`: the
    provider says in headers what it takes. `traffic`: other items at another provider, whose rate and seconds count."""

    def __init__(
        self,
        rate: float,
        workers: int,
        seconds: float = 1.0,
        outage: Outage | None = None,
        *,
        tells: bool = False,
        traffic: Traffic | None = None,
    ) -> None:
        self.loop = VirtualTimeLoop()
        self.provider = LimitedProvider(self.loop.clock, rate, seconds, outage, tells=tells)
        self.price = Price(1, 1, 1)
        self._body: Callable[[str, int], bytes] = lambda batch_id, index: b'{"b":"%b"}' % batch_id.encode()
        if traffic is not None:
            self.provider, self.price, self._body = traffic.provider(self.loop.clock), traffic.price, traffic.body
        self.queue = FairQueue(self.loop.clock)
        self.aws_calls: Counter[tuple[str, str]] = Counter()
        table = cast(Table, Counted(MemoryTable(), "dynamodb", TABLE_CALLS, self.aws_calls))
        objects = cast(Objects, Counted(MemoryObjects(), "s3", OBJECT_CALLS, self.aws_calls))
        self.stores = Stores.of(table, objects)
        self.lanes = Lanes(table)
        self.tally = Tally()
        """Of all settled shards."""
        self.ended_at: dict[str, float] = {}
        """By batch, in seconds since the start."""
        self.endings: dict[str, Ending] = {}
        self.invocations = 0
        self._worker_seconds = 0.0
        self._begun_at: dict[int, float] = {}
        self._open: set[str] = set()
        self._running: set[asyncio.Task[None]] = set()
        self._fault: BaseException | None = None
        self._owners = itertools.count()
        self._random = random.Random(_SEED)
        self._idle = [self._process() for _ in range(workers)]

    def add(
        self,
        batch_id: str,
        items: int,
        account_id: str = "acct_a",
        weight: int = 1,
        *,
        max_price_picousd: int | None = None,
        estimate_picousd: int = 0,
    ) -> None:
        """A batch that has just been validated: Dispatch sends its first shards."""
        now = int(self.loop.clock())
        batch = Batch(
            id=batch_id,
            account_id=account_id,
            surface="openai",
            endpoint=_ENDPOINT,
            input_file_id="file-1",
            completion_window="24h",
            status=Status.VALIDATING,
            created_at=now,
            expires_at=now + _DAY_SECONDS,
            weight=weight,
            max_price_picousd=max_price_picousd,
        )
        self.stores.batches.create(batch)
        self.stores.batches.set_plan(batch, self._cut(batch, items), None, now, estimate_picousd=estimate_picousd)
        self._open.add(batch_id)
        dispatch(
            batch.ref,
            batch_id,
            stores=self.stores,
            queues=self._queues,
            job_starter=JobStarter(cast(Any, None), "jobs"),
            workflow=self._workflow,
        )

    def run(self, seconds: float) -> None:
        """Until every batch has ended, but `seconds` at most."""
        self.loop.run_until_complete(self._run(self.loop.clock() + seconds))

    @property
    def worker_seconds(self) -> float:
        """Of all invocations, those that still run included."""
        return self._worker_seconds + sum(self.loop.clock() - begun for begun in self._begun_at.values())

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return self.loop.clock() - EPOCH

    def close(self) -> None:
        for task in self._running:
            task.cancel()
        if self._running:
            self.loop.run_until_complete(asyncio.wait(self._running))
        self.loop.close()

    def wake(self, task_token: str, ending: Ending) -> None:
        """Stands for `Workflow.wake`: Dispatch left the batch's id as its task token."""
        assert ending in (Ending.COMPLETED, Ending.PRICE_REACHED), f"{task_token}: {ending}"
        self.endings.setdefault(task_token, ending)
        self._open.discard(task_token)
        self.ended_at.setdefault(task_token, self.now)

    @property
    def _queues(self) -> Queues:
        return cast(Queues, self.queue)

    @property
    def _workflow(self) -> Workflow:
        return cast(Workflow, self)

    def _cut(self, batch: Batch, items: int) -> Plan:
        """Work file and manifest, as Validate leaves them."""
        written: list[bytes] = []
        file = WorkFile(written.append, sizes=ShardSizes(_SHARD_ITEMS), bytes_at_most=_SHARD_BYTES, lanes_at_most=1)
        lane = file.lane(_LANE)
        for index in range(items):
            body = self._body(batch.id, index)
            file.add(lane, index, work_line(Item(index, f"item-{index}", _LANE.model, body)))
        lanes, shards = file.finish()
        run = "run1"
        self.stores.objects.put(work_key(batch.account_id, batch.id, run), b"".join(written))
        manifest = b"".join(manifest_record(shard) for shard in shards)
        self.stores.objects.put(manifest_key(batch.account_id, batch.id, run), manifest)
        return Plan(run, items, len(shards), tuple(lanes), _STRIDE, False, None)

    async def _run(self, until: float) -> None:
        while self._open and self.loop.clock() < until:
            while self._idle and (messages := self.queue.receive()):
                task = self.loop.create_task(self._invoke(self._idle.pop(0), messages))
                self._running.add(task)
                task.add_done_callback(self._ended)
            wait = _POLL_SECONDS
            if not self._running:
                wait = max(wait, min(self.queue.next_at, until) - self.loop.clock())
            await asyncio.sleep(wait)
            if self._fault is not None:
                raise self._fault

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            self._fault = self._fault or task.exception()

    async def _invoke(self, worker: Worker, messages: list[ShardMessage]) -> None:
        number, begun = next(self._owners), self.loop.clock()
        self._begun_at[number] = begun
        records = [Record(str(n), message.to_json(), str(n), 1) for n, message in enumerate(messages)]
        failed = await worker.work(records, stop_at=begun + _INVOCATION_SECONDS, meter=Meter())
        assert failed == []
        await asyncio.sleep(_AROUND_AN_INVOCATION_SECONDS)
        self.invocations += 1
        self._worker_seconds += self.loop.clock() - self._begun_at.pop(number)
        self._idle.append(worker)

    def _settle(self, message: ShardMessage, row: ShardRow, again: bool) -> None:
        settle(message, row, again, stores=self.stores, queues=self._queues, workflow=self._workflow)
        if not again:
            self.tally += row.tally

    def _draw(self, message: ShardMessage, tried: Set[int]) -> list[ShardMessage]:
        return draw(message, tried, stores=self.stores)

    def _start(self, message: ShardMessage) -> Room:
        return start(message, stores=self.stores, workflow=self._workflow)

    def _process(self) -> Worker:
        runtime = Runtime(
            self.loop.clock,
            self._random.random,
            lambda: f"owner_{next(self._owners)}",
            logging.getLogger("worker"),
            inline,
        )
        return Worker(
            ShardStores(self.stores.shards, self.stores.objects),
            self._queues,
            _OneLane(self, runtime),
            Steps(self._settle, self._draw, self.stores.rosters, self._start),
            _RUN_LIMITS,
            runtime,
        )


class _OneLane:
    """Stands for `Upstreams` of a process."""

    def __init__(self, yard: Yard, runtime: Runtime) -> None:
        self._provider, self._price = yard.provider, yard.price
        gates = Gates(_MAX_IN_FLIGHT, runtime.clock)
        lane = LaneId(_LANE.provider, _LANE.model)
        self._gate = gates.of(lane)
        self._watch = LaneWatch(lane, self._gate, yard.lanes, runtime, forget_key=lambda: None)

    def watch_of(self, message: ShardMessage) -> LaneWatch:
        return self._watch

    async def of(self, message: ShardMessage) -> Upstream:
        provider = self._provider
        return Upstream(provider.call, self._gate, self._watch, provider.witness, self._price, RetryPolicy())
