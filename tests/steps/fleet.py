"""A batch on lanes that come and go: rows and objects in memory, workers that do a shard at once, and a clock that the
test moves. `served` says which item ran at which lane."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, cast

from batchyard.adapters.aws.lanes import LaneView
from batchyard.adapters.aws.stores import Stores
from batchyard.core.batches import Batch
from batchyard.core.failover import Move
from batchyard.core.health import LaneHealth, LaneState
from batchyard.core.keys import manifest_key
from batchyard.core.lane_pace import LanePace
from batchyard.core.lanes import Lane, LaneId
from batchyard.core.messages import ShardMessage, shard_message
from batchyard.core.results import Outcome, Result, tally
from batchyard.core.rules import NO_RULES, RoutingRules
from batchyard.core.sharding import LaneShards, Plan, Shard, manifest_record, read_manifest
from batchyard.core.shards import ClaimRefused, ShardFenced, ShardSettled, ShardState
from batchyard.steps.fail_over import fail_over
from batchyard.steps.recover import recover
from batchyard.steps.settle import settle
from simulation.memory_objects import memory_objects
from simulation.memory_table import MemoryTable
from tests.jobs.yard import Died, Fuse, Guarded
from tests.steps.running import ACCOUNT, NOW, RecordedWorkflow, make_batch

ITEMS_PER_SHARD = 10
BATCH_ID = "batch_01m7vzgc0060rk4csm6mv3ee1s"
LEASE_SECONDS = 60
STRIDE = 3


@dataclass
class Mail:
    """Stands for `Queues`: what is on its way, in any order."""

    waiting: list[ShardMessage] = field(default_factory=list)
    sent: list[ShardMessage] = field(default_factory=list)

    def send(self, messages: Sequence[ShardMessage], delay_seconds: int = 0) -> None:
        self.waiting += messages
        self.sent += messages

    def has_none_waiting(self, provider: str) -> bool:
        return not self.waiting


class Fleet:
    def __init__(
        self,
        entries: Sequence[LaneShards],
        rules: RoutingRules = NO_RULES,
        *,
        one_chain: bool = False,
        early_failover: bool = False,
    ) -> None:
        self.now = NOW
        table, objects = MemoryTable(), memory_objects()
        self.stores = Stores.of(cast("Any", table), objects)
        self.mail = Mail()
        self.fuse = Fuse()
        """Ends a sweep at one of its calls."""
        self._guarded = Stores.of(
            cast("Any", Guarded(table, self.fuse, "table")), cast("Any", Guarded(objects, self.fuse, "s3"))
        )
        self.workflow = RecordedWorkflow()
        self.down: dict[Lane, LaneHealth] = {}
        self.rates: dict[Lane, float] = {}
        self.served: Counter[tuple[int, Lane]] = Counter()
        """(shard, lane) -> how often a worker ran it there to its end."""
        self._owners = itertools.count()
        shards = sum(entry.shards for entry in entries)
        plan = Plan("run1", shards * ITEMS_PER_SHARD, shards, tuple(entries), STRIDE, one_chain, None)
        batch = replace(make_batch(BATCH_ID), rules=rules, early_failover=early_failover)
        self.stores.batches.create(batch)
        records = [Shard(n, 0, n * 100, 100, ITEMS_PER_SHARD, n * ITEMS_PER_SHARD) for n in range(shards)]
        self.stores.objects.put(manifest_key(ACCOUNT, batch.id, plan.run), b"".join(map(manifest_record, records)))
        batch = self.stores.batches.set_plan(batch, plan, None, NOW)
        self.stores.batches.set_task_token(batch, "token")
        self.send(plan.due(()))

    @property
    def batch(self) -> Batch:
        return self.stores.batches.current(make_batch(BATCH_ID).ref)

    @property
    def plan(self) -> Plan:
        plan = self.batch.plan
        assert plan is not None
        return plan

    @property
    def manifest(self) -> list[Shard]:
        return read_manifest(self.stores.objects.get(manifest_key(ACCOUNT, BATCH_ID, self.plan.run)))

    @property
    def settled(self) -> set[int]:
        return {row.number for row in self.stores.shards.rows(BATCH_ID) if row.state is ShardState.SETTLED}

    @property
    def is_over(self) -> bool:
        return len(self.settled) == self.plan.shards

    def send(self, numbers: Sequence[int]) -> None:
        self.mail.send([shard_message(self.batch, self.manifest[number]) for number in numbers])

    def break_lane(self, lane: Lane, state: LaneState = LaneState.OPEN) -> None:
        self.down[lane] = LaneHealth(state, "server_error", self.now, probes=2)

    def give_up(self, job: LaneShards) -> None:
        """What the native executor does with a job that comes to nothing."""
        plan = self.plan.moved(job.numbers, job.others[0], self.manifest)
        self.stores.batches.change_plan(self.batch, plan)
        self.send([number for number in plan.due(self.settled) if number in job.numbers])

    def sweep(self) -> list[Move]:
        """What Sweep does for the batch each minute."""
        self.now += 60
        batch, queues = self.batch, cast("Any", Guarded(self.mail, self.fuse, "sqs"))
        self.fuse.is_armed = True
        try:
            moves = fail_over(batch, now=self.now, pace=1.0, look=self._look, stores=self._guarded, queues=queues)
            recover(batch, now=self.now, stores=self._guarded, queues=queues)
        except Died:
            return []
        finally:
            self.fuse.is_armed = False
        return moves

    def deliver(self, random: Random, *, dies: bool = False) -> None:
        """Any message that is on its way reaches a worker, which `dies` as it runs the shard."""
        if self.mail.waiting:
            message = self.mail.waiting.pop(random.randrange(len(self.mail.waiting)))
            self._work(message, dies)

    def run(self, random: Random, *, sweeps: int = 60) -> None:
        """Until every shard is settled."""
        for _ in range(sweeps):
            for _ in range(4 * self.plan.shards):
                self.deliver(random)
                if self.is_over:
                    return
            self.sweep()
        raise AssertionError(f"not over: {self.plan.lanes}, {sorted(self.settled)}, {self.down}")

    def _work(self, message: ShardMessage, dies: bool) -> None:
        lane = Lane(message.provider, message.model, message.mode)
        number, owner = message.shard.number, f"worker-{next(self._owners)}"
        if lane in self.down:
            row = self.stores.shards.get(BATCH_ID, number)
            if row is not None and row.state is ShardState.SETTLED:
                self._settle(message, row, again=True)
            else:
                self.mail.waiting.append(message)
            return
        try:
            claim = self.stores.shards.claim(BATCH_ID, number, owner, self.now, self.now + LEASE_SECONDS)
        except ShardSettled as refused:
            self._settle(message, refused.row, again=True)
            return
        except ShardFenced:
            return
        except ClaimRefused:
            self.mail.waiting.append(message)
            return
        if dies:
            return
        self.served[number, lane] += 1
        shard = message.shard
        indexes = range(shard.first_index, shard.first_index + shard.items)
        row = self.stores.shards.flush(
            BATCH_ID,
            claim,
            part_key=f"part-{number}-{claim.version}",
            done=b"\xff\x03",
            tally=tally([Result(index, str(index), Outcome.SUCCEEDED, 200, None, b"{}") for index in indexes]),
            lease_until=self.now + LEASE_SECONDS,
            settled=True,
        )
        self._settle(message, row)

    def _settle(self, message: ShardMessage, row: Any, again: bool = False) -> None:
        settle(message, row, again, stores=self.stores, queues=self._queues, workflow=cast("Any", self.workflow))

    @property
    def _queues(self) -> Any:
        return self.mail

    def _look(self, lane: LaneId) -> LaneView:
        known = Lane(lane.provider, lane.model, lane.mode)
        return LaneView(self.down.get(known, LaneHealth()), LanePace(rate=self.rates.get(known)))
