"""A batch whose items go to a vendor's jobs: everything it takes, in memory, by a clock that stands still until the
next message is due. Any call can be the last one of its executor."""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

import orjson

from batchyard.adapters.aws.secrets import SecretMissing
from batchyard.adapters.aws.stores import Stores
from batchyard.adapters.aws.table import Table
from batchyard.adapters.providers.openai.translator import OpenAITranslator
from batchyard.adapters.providers.provider_jobs import VendorTrouble
from batchyard.adapters.providers.translator import Translator
from batchyard.core.batches import Batch, Ending, Status
from batchyard.core.failover import LaneNow
from batchyard.core.health import LaneHealth, LaneState
from batchyard.core.items import Item, read_work_lines, work_line
from batchyard.core.jobs import JobRef, JobRow
from batchyard.core.keys import manifest_key, part_key, work_key
from batchyard.core.lanes import Lane, LaneId, Mode
from batchyard.core.messages import ShardMessage
from batchyard.core.native_limits import NativeLimits
from batchyard.core.parts import decode_part, encode_part
from batchyard.core.results import Outcome, Result, tally
from batchyard.core.retry import FailureReason
from batchyard.core.sharding import LaneShards, Plan, Shard, manifest_record
from batchyard.core.shards import ClaimRefused, ShardFenced, ShardSettled, is_done, mark_done
from batchyard.core.usage import Price
from batchyard.jobs.executor import attend
from batchyard.jobs.held import JobLimits, Tools
from batchyard.jobs.vendors import Vendor
from batchyard.steps.fence import Drain, fence
from batchyard.steps.recover import recover, start_due_jobs
from batchyard.steps.settle import settle
from simulation.memory_objects import MemoryObjects
from simulation.memory_table import MemoryTable
from tests.memory_vendor import MemoryVendor
from tests.steps.running import ACCOUNT, BATCH, NOW, RecordedWorkflow, make_batch

ITEMS_PER_SHARD = 4
MODEL = "gpt-4o-mini"
REALTIME = Lane("openai", MODEL)
NATIVE = Lane("openai", MODEL, Mode.NATIVE)
PRICE = Price(1_000_000, 500_000, 2_000_000)
LIMITS = NativeLimits(50_000, 200_000_000, ("/v1/chat/completions",))
ESCALATE_AT = NOW + 1_500
_SWEEPS_EVERY = 60


class Died(BaseException):
    """The executor was killed. Nothing catches it, as nothing catches a kill."""


@dataclass
class Fuse:
    """Ends an executor at its nth call, before or after that has its effect; or that call `fails`."""

    nth: int = 0
    when: str = "before"
    seen: int = 0
    burnt: bool = False
    is_armed: bool = False
    names: list[str] = field(default_factory=list)

    def guard(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if not self.is_armed:
                return call(*args, **kwargs)
            self.seen += 1
            self.names.append(name)
            if self.seen == self.nth:
                self.burnt = True
                if self.when == "fails":
                    raise VendorTrouble(FailureReason.SERVER_ERROR, is_unknown=True)
                if self.when == "after":
                    result = call(*args, **kwargs)
                    if hasattr(result, "__next__"):
                        list(result)
                raise Died(name)
            return call(*args, **kwargs)

        return guarded


class Guarded:
    """Every method of `target` goes through the fuse."""

    def __init__(self, target: Any, fuse: Fuse, name: str) -> None:
        self._target, self._fuse, self._name = target, fuse, name

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        return self._fuse.guard(f"{self._name}.{name}", found) if callable(found) else found


class OneVendor:
    """Stands for `Vendors`."""

    def __init__(self, jobs: Any, translator: Translator, has_key: Callable[[], bool]) -> None:
        self._vendor = Vendor(jobs, translator, PRICE, LIMITS)
        self._has_key = has_key
        self.forgotten: list[str] = []

    def forget_key(self, provider: str) -> None:
        self.forgotten.append(provider)

    def of(self, batch: Batch, lane: Lane) -> Vendor:
        if not self._has_key():
            raise SecretMissing("openai")
        return self._vendor


class Mail:
    """Stands for the queues of workers and for Lambda's queue of events: (when due, number, message)."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._numbers = itertools.count()
        self.waiting: list[tuple[float, int, JobRef | ShardMessage]] = []

    def start(self, refs: Any) -> None:
        self.send(refs)

    def send(self, messages: Any, delay_seconds: float = 0) -> None:
        for message in messages:
            heapq.heappush(self.waiting, (self._clock() + delay_seconds, next(self._numbers), message))

    def has_none_waiting(self, provider: str) -> bool:
        return not any(isinstance(message, ShardMessage) for _, _, message in self.waiting)


class Yard:
    """`jobs`: how many shards each has. `nth`, `when`: of the fuse. `prices`: the batch's price limit, and what it may
    cost. `usual_seconds`: how long such jobs took so far; None if that is not known. `now`: when it begins. `vendor`:
    settings of the vendor. Whoever stands for another vendor replaces the first four methods."""

    def make_vendor(self, **settings: Any) -> Any:
        return MemoryVendor(lambda: self.now, **settings)

    @property
    def translator(self) -> Translator:
        return OpenAITranslator()

    def body(self, index: int) -> bytes:
        """Of the item with that index."""
        return orjson.dumps({"model": MODEL, "n": index})

    def index_of(self, paid: bytes) -> int:
        """Of the item that was paid for."""
        return int(orjson.loads(paid)["n"])

    def __init__(
        self,
        jobs: tuple[int, ...] = (3,),
        *,
        nth: int = 0,
        when: str = "before",
        prices: tuple[int | None, int] = (None, 0),
        others: tuple[Lane, ...] = (REALTIME,),
        escalate_at: int = ESCALATE_AT,
        usual_seconds: int | None = None,
        now: int = NOW,
        **vendor: Any,
    ) -> None:
        self.now = float(now)
        self.fuse = Fuse(nth, when)
        self.vendor = self.make_vendor(**vendor)
        self.workflow = RecordedWorkflow()
        self.mail = Mail(lambda: self.now)
        self.realtime_paid: Counter[bytes] = Counter()
        self.called_in: Counter[Mode] = Counter()
        """How many shards were run item by item, by mode."""
        self.broken: set[LaneId] = set()
        self.rates: dict[LaneId, float] = {}
        self._others = others
        self.is_fenced_since: float | None = None
        self.no_key = (math.inf, math.inf)
        """From when until when the deployment has no key for the provider."""
        self._owners = itertools.count()
        objects = MemoryObjects()
        table = MemoryTable()
        self.stores = Stores.of(cast(Table, table), cast(Any, objects))
        guarded = Stores.of(
            cast(Table, Guarded(table, self.fuse, "table")), cast(Any, Guarded(objects, self.fuse, "s3"))
        )
        mail = Guarded(self.mail, self.fuse, "sqs")
        self.vendors = OneVendor(Guarded(self.vendor, self.fuse, "vendor"), self.translator, self._has_key)
        self.tools = Tools(
            stores=guarded,
            queues=cast(Any, mail),
            vendors=cast(Any, self.vendors),
            settle=partial(settle, stores=guarded, queues=cast(Any, mail), workflow=cast(Any, self.workflow)),
            limits=JobLimits(300, "test"),
            clock=lambda: self.now,
            new_owner=lambda: f"executor-{next(self._owners)}",
            look=self._look,
        )
        if usual_seconds is not None:
            self.stores.native_lanes.ended(LaneId(NATIVE.provider, NATIVE.model), usual_seconds, now)
        self._escalate_at = escalate_at
        self.plan = self._create(jobs, *prices)
        self.refs = [JobRef(BATCH, entry.first_shard, entry.shards) for entry in self.plan.jobs]
        self.mail.start(self.refs)

    def _create(self, jobs: tuple[int, ...], max_price: int | None, estimate: int) -> Plan:
        entries, records, work, first = [], [], b"", 0
        for count in jobs:
            entries.append(LaneShards(NATIVE, first, count, count * ITEMS_PER_SHARD, self._escalate_at, self._others))
            for number in range(first, first + count):
                start = len(work)
                for index in range(number * ITEMS_PER_SHARD, (number + 1) * ITEMS_PER_SHARD):
                    work += work_line(Item(index, f"id-{index}", MODEL, self.body(index)))
                records.append(Shard(number, 0, start, len(work) - start, ITEMS_PER_SHARD, number * ITEMS_PER_SHARD))
            first += count
        plan = Plan("run1", first * ITEMS_PER_SHARD, first, tuple(entries), 2, False, None)
        now = int(self.now)
        batch = replace(make_batch(BATCH.batch_id, now), max_price_picousd=max_price)
        self.stores.batches.create(batch)
        self.stores.objects.put(work_key(ACCOUNT, batch.id, plan.run), work)
        self.stores.objects.put(manifest_key(ACCOUNT, batch.id, plan.run), b"".join(map(manifest_record, records)))
        batch = self.stores.batches.set_plan(batch, plan, None, now, estimate_picousd=estimate)
        self.stores.batches.set_task_token(batch, "token")
        return plan

    @property
    def batch(self) -> Batch:
        return self.stores.batches.current(BATCH)

    @property
    def job_rows(self) -> list[JobRow]:
        return list(self.stores.jobs.rows(BATCH.batch_id))

    def run(self, until: float | None = None) -> None:
        """Until the last shard has settled and every job is done, or the batch's deadline."""
        until = self.batch.expires_at if until is None else until
        next_sweep = self.now + _SWEEPS_EVERY
        while self.now < until and not self._is_over():
            due = self.mail.waiting[0][0] if self.mail.waiting else math.inf
            if due <= next_sweep:
                _, _, message = heapq.heappop(self.mail.waiting)
                self.now = max(self.now, due)
                self._deliver(message)
            else:
                self.now, next_sweep = next_sweep, next_sweep + _SWEEPS_EVERY
                self._sweep()

    def cancel(self) -> None:
        """As the API does, and then Fence in its rounds."""
        self.stores.batches.enter(self.batch, Status.CANCELLING, int(self.now))
        self.is_fenced_since = self.now

    def _look(self, lane: LaneId) -> LaneNow:
        return LaneNow(LaneHealth(LaneState.OPEN if lane in self.broken else LaneState.CLOSED), self.rates.get(lane))

    def _has_key(self) -> bool:
        return not self.no_key[0] <= self.now < self.no_key[1]

    def _is_over(self) -> bool:
        rows = list(self.stores.shards.rows(BATCH.batch_id))
        return (
            len(rows) == self.plan.shards
            and all(row.state != "open" for row in rows)
            and all(row.is_done for row in self.job_rows)
        )

    def _deliver(self, message: JobRef | ShardMessage) -> None:
        if isinstance(message, ShardMessage):
            self._work(message)
            return
        self.fuse.is_armed = True
        try:
            attend(message, self.tools)
        except (Died, VendorTrouble):
            return  # Sweep has it done again
        finally:
            self.fuse.is_armed = False

    def _sweep(self) -> None:
        now = int(self.now)
        if self.is_fenced_since is None:
            recover(self.batch, now=now, stores=self.stores, queues=cast(Any, self.mail))
        else:
            fence(
                BATCH,
                Ending.CANCELLED,
                since=int(self.is_fenced_since),
                now=now,
                drain=Drain(60, 600),
                stores=self.stores,
                job_starter=cast(Any, self.mail),
            )
        start_due_jobs(self.batch, now=now, stores=self.stores, job_starter=cast(Any, self.mail))

    def _work(self, message: ShardMessage) -> None:
        """What a worker does, all at once: the items that are left, paid in realtime."""
        assert message.mode is not Mode.NATIVE
        self.called_in[message.mode] += 1
        shard, shards = message.shard, self.stores.shards
        try:
            claim = shards.claim(
                message.batch_id, shard.number, f"worker-{next(self._owners)}", int(self.now), int(self.now) + 60
            )
        except ShardSettled as refused:
            self._settle(message, refused.row, again=True)
            return
        except ShardFenced:
            return
        except ClaimRefused as held:
            self.mail.send([message], max(1, held.row.lease_until + 1 - self.now))
            return
        key = work_key(ACCOUNT, message.batch_id, message.run)
        items = read_work_lines(self.stores.objects.get(key, shard.offset, shard.length))
        left = [item for item in items if not is_done(claim.done, item.position)]
        for item in left:
            self.realtime_paid[item.body] += 1
        results = [
            Result(item.index, item.custom_id, Outcome.SUCCEEDED, 200, None, b"{}", cost_picousd=7) for item in left
        ]
        part = part_key(ACCOUNT, message.batch_id, shard.number, claim.version, 0)
        self.stores.objects.put(part, encode_part(message.batch_id, results))
        row = shards.flush(
            message.batch_id,
            claim,
            part_key=part,
            done=mark_done(claim.done, [item.position for item in left], shard.items),
            tally=claim.tally + tally(results),
            lease_until=int(self.now) + 60,
            settled=True,
        )
        self._settle(message, row)

    def _settle(self, message: ShardMessage, row: Any, again: bool = False) -> None:
        settle(message, row, again, stores=self.stores, queues=cast(Any, self.mail), workflow=cast(Any, self.workflow))

    # What came of it.

    def results(self) -> dict[int, Outcome]:
        """Index -> outcome. Fails if an item has two results, or a row says something else than its parts."""
        found: dict[int, Outcome] = {}
        for row in self.stores.shards.rows(BATCH.batch_id):
            kept = [each for part in row.parts for each in decode_part(self.stores.objects.get(part))]
            assert len(kept) == row.tally.items == int.from_bytes(row.done, "big").bit_count(), row
            for each in kept:
                assert each.index not in found, f"item {each.index} has two results"
                found[each.index] = each.outcome
        return found

    def paid(self) -> Counter[int]:
        """Index -> how often it was paid for, wherever."""
        total = self.realtime_paid + self.vendor.paid
        return Counter({self.index_of(body): count for body, count in total.items()})
