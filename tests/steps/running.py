"""A batch in progress with shards in a manifest, and doubles that record what would go to SQS and Step Functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.job_starter import JobStarter
from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.workflow import Execution, Life, execution_name
from batchyard.core.batches import Batch, BatchRef, Ending, Status
from batchyard.core.jobs import JobRef
from batchyard.core.keys import manifest_key
from batchyard.core.lanes import Lane
from batchyard.core.messages import ShardMessage
from batchyard.core.sharding import LaneShards, Plan, Shard, manifest_record

ACCOUNT = "acct_a"
BATCH_ID = "batch_01m7vzgc0060rk4csm6mv3ee1s"
BATCH = BatchRef(ACCOUNT, BATCH_ID)
NOW = 1_800_000_000
ITEMS_PER_SHARD = 10


@dataclass
class SentMessages:
    """Stands for `Queues`. `none_waiting`: all messages are in workers' hands."""

    messages: list[ShardMessage] = field(default_factory=list)
    none_waiting: bool = False

    def send(self, messages: Sequence[ShardMessage], delay_seconds: int = 0) -> None:
        self.messages += messages

    def has_none_waiting(self, provider: str) -> bool:
        return self.none_waiting

    @property
    def numbers(self) -> list[int]:
        return [message.shard.number for message in self.messages]


@dataclass
class SentJobs:
    """Stands for `JobStarter`."""

    started: list[JobRef] = field(default_factory=list)

    def start(self, refs: Sequence[JobRef]) -> None:
        self.started += refs


def sent_jobs() -> JobStarter:
    """Typed as what it stands for."""
    return cast("JobStarter", SentJobs())


@dataclass
class RecordedWorkflow:
    """Stands for `Workflow`. `ended_at`: when all executions ended that have."""

    woken: list[tuple[str, Ending]] = field(default_factory=list)
    started: list[tuple[str, int, Ending | None]] = field(default_factory=list)
    lives: dict[tuple[str, int], Life] = field(default_factory=dict)
    ended_at: int = NOW
    described: list[tuple[str, int]] = field(default_factory=list)

    def wake(self, task_token: str, ending: Ending) -> None:
        self.woken.append((task_token, ending))

    def start(self, ref: BatchRef, execution: int = 0, ending: Ending | None = None) -> None:
        self.started.append((ref.batch_id, execution, ending))
        self.lives.setdefault((ref.batch_id, execution), Life.RUNNING)

    def running(self) -> frozenset[str]:
        return frozenset(execution_name(*which) for which, life in self.lives.items() if life is Life.RUNNING)

    def execution(self, batch_id: str, number: int = 0) -> Execution:
        self.described.append((batch_id, number))
        life = self.lives.get((batch_id, number), Life.ABSENT)
        return Execution(life, self.ended_at if life is Life.ENDED else 0)


def plan(lanes: dict[str, int], stride: int = 128, *, one_chain: bool = False) -> Plan:
    """`lanes`: model -> number of shards."""
    rows, first = [], 0
    for model, shards in lanes.items():
        rows.append(LaneShards(Lane("openai", model), first, shards, shards * ITEMS_PER_SHARD))
        first += shards
    return Plan("run1", first * ITEMS_PER_SHARD, first, tuple(rows), stride, one_chain, None)


def create_batch(batches: Batches, batch_id: str = BATCH_ID, **changes: Any) -> Batch:
    batch = replace(make_batch(batch_id), **changes)
    batches.create(batch)
    return batch


def make_batch(batch_id: str, created_at: int = NOW) -> Batch:
    return Batch(
        id=batch_id,
        account_id=ACCOUNT,
        surface="openai",
        endpoint="/v1/chat/completions",
        input_file_id="file-1",
        completion_window="24h",
        status=Status.VALIDATING,
        created_at=created_at,
        expires_at=created_at + 86_400,
    )


def start_batch(batches: Batches, objects: Objects, plan: Plan, batch: Batch | None = None) -> Batch:
    """A batch in progress, with its manifest in the bucket; a new one, or `batch`."""
    batch = batch or create_batch(batches)
    lane_of = {
        n: i for i, lane in enumerate(plan.lanes) for n in range(lane.first_shard, lane.first_shard + lane.shards)
    }
    records = [manifest_record(Shard(n, lane_of[n], n * 100, 100, ITEMS_PER_SHARD, n * 10)) for n in range(plan.shards)]
    objects.put(manifest_key(ACCOUNT, batch.id, plan.run), b"".join(records))
    return batches.set_plan(batch, plan, None, NOW + 1)
