"""The events of Dispatch, Fence, Sweep and the native executor, each through its handler: rows, queue and executions
are moto's."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from batchyard.adapters.aws import clients
from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.jobs import Jobs
from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.shards import Shards
from batchyard.adapters.aws.table import Key, Table
from batchyard.core.batches import Batch, BatchRef, Status
from batchyard.core.keys import manifest_key
from batchyard.core.lanes import Lane, Mode
from batchyard.core.messages import ShardMessage
from batchyard.core.sharding import LaneShards, Plan, Shard, manifest_record
from batchyard.core.shards import ShardState
from batchyard.handlers import dispatch, fence, jobs, sweep
from tests.api.api import Cloud
from tests.api.gateway import Context, event

ACCOUNT, BATCH_ID = event("dispatch")["account_id"], event("dispatch")["batch_id"]
PLAN = Plan("run1", 20, 2, (LaneShards(Lane("openai", "gpt-4o-mini"), 0, 2, 20),), 128, False, None)
NOW, FAR = 1_790_000_000, 4_000_000_000

pytestmark = pytest.mark.usefixtures("cloud")
"""The handlers' environment names the table and the bucket."""


@pytest.fixture
def batch(batches: Batches, objects: Objects) -> Batch:
    """The batch that the events name, in progress with two shards."""
    made = Batch(BATCH_ID, ACCOUNT, "openai", "/v1/embeddings", "file-1", "24h", Status.VALIDATING, NOW, FAR)
    batches.create(made)
    records = [manifest_record(Shard(number, 0, number * 100, 100, 10, number * 10)) for number in range(2)]
    objects.put(manifest_key(ACCOUNT, BATCH_ID, PLAN.run), b"".join(records))
    return batches.set_plan(made, PLAN, None, NOW + 1)


def test_dispatch_sends_the_shards_and_keeps_the_token(
    batch: Batch, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both shards are in their provider's queue, and whoever settles the last one finds the token in the row."""
    sqs = clients.client("sqs")
    url = sqs.create_queue(QueueName="provider-openai")["QueueUrl"]
    monkeypatch.setenv("QUEUE_URLS", json.dumps({"openai": url}))
    dispatch.handler(event("dispatch"), Context())
    bodies = [message["Body"] for message in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]]
    assert sorted(ShardMessage.from_json(body).shard.number for body in bodies) == [0, 1]
    stored = batches.get(BatchRef(ACCOUNT, BATCH_ID))
    assert stored is not None
    assert stored.task_token == event("dispatch")["task_token"]


def test_fence_seals_what_nobody_works_on(batch: Batch, batches: Batches, shards: Shards) -> None:
    """A cancelled batch whose shards lie idle is drained in the first round, which says when it was."""
    batches.enter(batch, Status.CANCELLING, NOW + 2)
    reply = fence.handler(event("fence"), Context())
    assert (reply["drained"], reply["live"]) == (True, 0)
    assert reply["since"] > NOW
    assert [row.state for row in shards.rows(BATCH_ID)] == [ShardState.SEALED] * 2


def test_jobs_leaves_alone_what_was_cancelled_before_it_was_submitted(
    batches: Batches, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The native executor's function finds no vendor to ask: the job is done, and Fence seals its shards."""
    monkeypatch.setenv("QUEUE_URLS", "{}")
    lane = LaneShards(Lane("openai", "gpt-4o-mini", Mode.NATIVE), 0, 2, 20, FAR)
    made = Batch(BATCH_ID, ACCOUNT, "openai", "/v1/embeddings", "file-1", "24h", Status.VALIDATING, NOW, FAR)
    batches.create(made)
    made = batches.set_plan(made, replace(PLAN, lanes=(lane,)), None, NOW + 1)
    batches.enter(made, Status.CANCELLING, NOW + 2)
    jobs.handler(event("jobs"), Context())
    (row,) = Jobs(table).rows(BATCH_ID)
    assert (row.is_done, row.attempt) == (True, 0)
    assert fence.handler(event("fence"), Context())["drained"]


def test_a_blocked_job_counts_as_a_blocked_lane(
    batches: Batches, table: Table, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no secret for its provider: the metric is the one that the worker emits of its lanes, so that the same
    alarm fires, and says nothing once the job is over."""
    monkeypatch.setenv("QUEUE_URLS", "{}")
    lane = LaneShards(Lane("openai", "gpt-4o-mini", Mode.NATIVE), 0, 2, 20, FAR)
    made = Batch(BATCH_ID, ACCOUNT, "openai", "/v1/embeddings", "file-1", "24h", Status.VALIDATING, NOW, FAR)
    batches.create(made)
    made = batches.set_plan(made, replace(PLAN, lanes=(lane,)), None, NOW + 1)

    def emitted() -> list[dict[str, Any]]:
        capsys.readouterr()
        jobs.handler(event("jobs"), Context())
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
        return [each for each in lines if "_aws" in each]

    (metric,) = emitted()
    assert (metric["LanesBlocked"], metric["service"]) == ([1.0], "work")
    assert metric["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service"]]
    (row,) = Jobs(table).rows(BATCH_ID)
    assert (row.blocked, row.is_done) == ("secret_missing", False)
    batches.enter(made, Status.CANCELLING, NOW + 2)
    table.update(Key(f"batch#{BATCH_ID}", "job#000000"), set={"due_at": 0})
    assert emitted() == []


def test_what_bedrock_says_of_a_job_leads_to_it(
    batches: Batches, table: Table, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event's job is attended to, here one that is to be given up; an event of somebody else's job does nothing."""
    monkeypatch.setenv("QUEUE_URLS", "{}")
    lane = LaneShards(Lane("openai", "gpt-4o-mini", Mode.NATIVE), 0, 2, 20, FAR)
    made = Batch(BATCH_ID, ACCOUNT, "openai", "/v1/embeddings", "file-1", "24h", Status.VALIDATING, NOW, FAR)
    batches.create(made)
    made = batches.set_plan(made, replace(PLAN, lanes=(lane,)), None, NOW + 1)
    batches.enter(made, Status.CANCELLING, NOW + 2)
    jobs.handler(event("bedrock_job"), Context())
    assert list(Jobs(table).rows(BATCH_ID)) == []
    token = event("bedrock_job")["detail"]["batchJobName"].removeprefix("batchyard-")
    objects.put(f"jobs/{token}/event.json", json.dumps(event("jobs")).encode())
    jobs.handler(event("bedrock_job"), Context())
    assert [row.is_done for row in Jobs(table).rows(BATCH_ID)] == [True]


def test_sweep_says_how_long_the_oldest_batch_has_left(
    batch: Batch,
    batches: Batches,
    cloud: Cloud,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The figure of the alarm that fires before a batch expires, by function only; none when no batch is open."""
    monkeypatch.setattr("time.time", lambda: NOW + 600.0)

    def emitted() -> list[dict[str, Any]]:
        capsys.readouterr()
        sweep.handler(event("sweep"), Context())
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
        return [each for each in lines if "OldestBatchSecondsLeft" in each]

    (metric,) = emitted()
    assert metric["OldestBatchSecondsLeft"] == [batch.expires_at - (NOW + 600)]
    assert metric["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["service"]]
    batches.open.forget(batch.id)
    assert emitted() == []


def test_sweep_starts_a_batch_that_nobody_started(batch: Batch, cloud: Cloud) -> None:
    """The schedule's event: the batch has no execution, and then it has one under its id."""
    assert cloud.started == []
    assert sweep.handler(event("sweep"), Context()) == {
        "expired": 0,
        "purged": 0,
        "deliveries": 0,
        "dead_letters": {},
        "revived": [BATCH_ID],
        "sent_again": 0,
    }
    assert cloud.started == [BATCH_ID]
