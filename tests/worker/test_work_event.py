"""events/work.json through the worker's handler: moto's AWS, the simulated provider, real time and real threads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest

from batchyard.adapters.aws import clients
from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.lanes import Lanes
from batchyard.adapters.aws.progress import Progress
from batchyard.adapters.aws.shards import Shards
from batchyard.core.batches import Batch, Status
from batchyard.core.health import LaneState
from batchyard.core.items import Item, work_line
from batchyard.core.keys import work_key
from batchyard.core.lanes import Lane, LaneId
from batchyard.core.messages import ShardMessage
from batchyard.core.parts import decode_part
from batchyard.core.result_lines import result_line
from batchyard.core.results import StoredResult
from batchyard.core.sharding import LaneShards, Plan
from batchyard.core.shards import ShardState
from batchyard.handlers import work
from local.provider import SimulatedProvider
from tests.api.api import Cloud
from tests.api.gateway import Context, event

MESSAGES = [ShardMessage.from_json(record["body"]) for record in event("work")["Records"]]
ITEMS = sum(message.shard.items for message in MESSAGES)
FIRST = MESSAGES[0]
SECRET = "batchyard/providers/openai"


class LambdaContext(Context):
    """A Lambda context with time left."""

    def __init__(self, seconds: float = 900) -> None:
        self._seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(self._seconds * 1000)


@pytest.fixture(scope="module")
def running() -> Iterator[SimulatedProvider]:
    with SimulatedProvider(seed=3) as provider:
        yield provider


@pytest.fixture
def provider(running: SimulatedProvider) -> SimulatedProvider:
    running.reset()
    running.configure(keys={"default": "sk-from-the-secret"})
    return running


@pytest.fixture
def queue(cloud: Cloud, provider: SimulatedProvider, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The queue's URL. The batch and its work file are in place, the handler's process is a fresh one."""
    url = clients.client("sqs").create_queue(QueueName="batchyard-provider-openai")["QueueUrl"]
    clients.client("secretsmanager").create_secret(Name=SECRET, SecretString="sk-from-the-secret\n")
    monkeypatch.setenv("QUEUE_URLS", json.dumps({"openai": url}))
    monkeypatch.setenv("PROVIDER_URLS", json.dumps({"openai": provider.url}))
    lines = [
        work_line(Item(i, f"request-{i}", FIRST.model, b'{"model":"%s","input":"text %d"}' % (FIRST.model.encode(), i)))
        for i in range(ITEMS)
    ]
    cloud.objects.put(work_key(FIRST.account_id, FIRST.batch_id, FIRST.run), b"".join(lines))
    plan = Plan(FIRST.run, ITEMS, 2, (LaneShards(Lane("openai", FIRST.model), 0, 2, ITEMS),), 128, False, None)
    batch = Batch(
        FIRST.batch_id, FIRST.account_id, "openai", FIRST.endpoint, "file-1", "24h", Status.VALIDATING, 1, 4_000_000_000
    )
    batches = Batches(cloud.table)
    batches.create(batch)
    batches.set_plan(batch, plan, FIRST.model, 2)
    work._process.cache_clear()
    yield url
    if work._process.cache_info().currsize:
        work._process().close()
        work._process.cache_clear()


def results(cloud: Cloud, number: int) -> list[StoredResult]:
    row = Shards(cloud.table).get(FIRST.batch_id, number)
    assert row is not None and row.state is ShardState.SETTLED
    return [result for key in row.parts for result in decode_part(cloud.objects.get(key))]


def records(messages: list[ShardMessage]) -> dict[str, Any]:
    """events/work.json with these messages in its records."""
    pairs = zip(event("work")["Records"], messages, strict=True)
    return {"Records": [record | {"body": message.to_json()} for record, message in pairs]}


def test_the_event_settles_its_shards(
    cloud: Cloud,
    queue: str,
    provider: SimulatedProvider,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every item has its result and its price, the batch's figures are complete, and the metrics say so."""
    assert work.handler(event("work"), LambdaContext()) == {"batchItemFailures": []}
    stored = [result for number in (0, 1) for result in results(cloud, number)]
    assert sorted(result.index for result in stored) == list(range(ITEMS))
    lines = [orjson.loads(result_line(result)) for result in stored]
    assert {line["response"]["status_code"] for line in lines} == {200}
    assert all(line["response"]["body"]["data"][0]["embedding"] for line in lines)
    tally = Progress(cloud.table).total(FIRST.batch_id)
    assert tally.succeeded == ITEMS
    assert tally.cost_picousd == tally.input_tokens * 20_000 > 0
    assert provider.stats()["requests"] == ITEMS
    printed = [orjson.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    (emitted,) = [line for line in printed if "_aws" in line]
    assert (emitted["ItemsSucceeded"], emitted["ProviderCalls"], emitted["provider"]) == ([ITEMS], [ITEMS], "openai")
    assert len(emitted["ProviderLatency"]) == ITEMS


def test_the_process_serves_one_invocation_after_the_other(
    cloud: Cloud,
    queue: str,
    provider: SimulatedProvider,
) -> None:
    """Loop and connections live on; the same event again repeats no call."""
    for _ in range(3):
        assert work.handler(event("work"), LambdaContext()) == {"batchItemFailures": []}
    assert provider.stats()["requests"] == ITEMS


def test_a_broken_record_fails_alone(cloud: Cloud, queue: str, caplog: pytest.LogCaptureFixture) -> None:
    """A body that is no shard message comes back as the one failure; the log has the reason."""
    broken = event("work")
    broken["Records"][0]["body"] = "{}"
    assert work.handler(broken, LambdaContext()) == {
        "batchItemFailures": [{"itemIdentifier": broken["Records"][0]["messageId"]}]
    }
    assert len(results(cloud, 1)) == MESSAGES[1].shard.items
    (logged,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "of no shard, failed" in logged.getMessage() and logged.exc_info is not None


def test_no_key_blocks_the_lane_and_names_the_secret(
    cloud: Cloud,
    queue: str,
    provider: SimulatedProvider,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A deployment without the provider's key calls nobody, says what to do, and keeps the shards for later."""
    clients.client("secretsmanager").delete_secret(SecretId=SECRET, ForceDeleteWithoutRecovery=True)
    assert work.handler(records(MESSAGES), LambdaContext()) == {"batchItemFailures": []}
    assert provider.stats()["requests"] == 0
    assert f"there is no secret {SECRET}" in caplog.text
    health = Lanes(cloud.table).health(LaneId("openai", FIRST.model))
    assert (health.state, health.reason) == (LaneState.BLOCKED, "secret_missing")
    rows = [Shards(cloud.table).get(FIRST.batch_id, number) for number in (0, 1)]
    assert all(row is None or row.lease_until == 0 for row in rows)


def test_a_lane_that_others_have_mended_is_not_reported(
    cloud: Cloud,
    queue: str,
    provider: SimulatedProvider,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process that has seen a lane blocked, and gets only other work since, says nothing of it: the alarm would go on
    for as long as the process lives."""
    monkeypatch.setattr(work, "_KNOWN_FOR_SECONDS", 0.0)

    def reported(messages: list[ShardMessage]) -> list[Any]:
        capsys.readouterr()
        assert work.handler(records(messages), LambdaContext()) == {"batchItemFailures": []}
        printed = [orjson.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
        return [line["LanesBlocked"] for line in printed if "LanesBlocked" in line]

    clients.client("secretsmanager").delete_secret(SecretId=SECRET, ForceDeleteWithoutRecovery=True)
    assert reported(MESSAGES) == [[1]]
    clients.client("secretsmanager").create_secret(Name=SECRET, SecretString="sk-from-the-secret")
    assert reported([replace(message, model="text-embedding-3-large") for message in MESSAGES]) == []


def test_the_end_of_the_invocation_sends_the_message_again(
    cloud: Cloud,
    queue: str,
    provider: SimulatedProvider,
) -> None:
    """Real time, real threads: what hangs is cut off, and the shard is on the queue again, free to be claimed."""
    provider.configure(faults={"hang": 1.0})
    assert work.handler(records(MESSAGES), LambdaContext(seconds=1)) == {"batchItemFailures": []}
    bodies = [m["Body"] for m in receive(queue)]
    assert sorted(bodies) == sorted(message.to_json() for message in MESSAGES)
    row = Shards(cloud.table).get(FIRST.batch_id, 0)
    assert row is not None and row.lease_until == 0
    provider.configure(faults={})
    assert work.handler(event("work"), LambdaContext()) == {"batchItemFailures": []}
    assert len(results(cloud, 0)) == FIRST.shard.items


def test_faults_of_every_kind_end_in_one_result_each(
    cloud: Cloud,
    queue: str,
    provider: SimulatedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """200 items against a provider that drops, delays, refuses and garbles: each index once, no call after success."""
    monkeypatch.setenv("READ_TIMEOUT_SECONDS", "0.5")
    monkeypatch.setenv("CONNECT_TIMEOUT_SECONDS", "2")
    monkeypatch.setenv("RETRY_BASE_SECONDS", "0.05")
    monkeypatch.setenv("MAX_ATTEMPTS", "8")
    work.load.cache_clear()
    kinds = ["status:500", "status:429", "status:409", "disconnect", "reset", "disconnect_mid_body"]
    kinds += ["malformed:html", "malformed:truncated", "hang", "stall"]
    items = [
        {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": f"{i}"}]}
        | {"metadata": {"simulate": f"{kinds[i % len(kinds)]}x{i % 3};retry_after:0.02"}}
        for i in range(200)
    ]
    data = b"".join(work_line(Item(i, f"r{i}", "gpt-4o-mini", orjson.dumps(body))) for i, body in enumerate(items))
    cloud.objects.put(work_key(FIRST.account_id, FIRST.batch_id, "faulty"), data)
    shard = replace(FIRST.shard, items=200, length=len(data), offset=0)
    message = replace(FIRST, run="faulty", shard=shard, endpoint="/v1/chat/completions", model="gpt-4o-mini")
    assert work.handler({"Records": records([message, MESSAGES[1]])["Records"][:1]}, LambdaContext()) == {
        "batchItemFailures": []
    }
    stored = results(cloud, 0)
    assert sorted(result.index for result in stored) == list(range(200))
    assert {str(result.outcome) for result in stored} == {"succeeded"}
    stats = provider.stats()
    assert (stats["succeeded"], stats["answered_twice"], stats["in_flight"]) == (200, 0, 0)
    assert stats["requests"] > 350


def receive(queue: str) -> list[dict[str, Any]]:
    sqs = clients.client("sqs")
    messages: list[dict[str, Any]] = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
    return messages
