"""SQS delivers at least once: twice at the same time, again while a worker is at it, and again when all is over."""

from __future__ import annotations

from typing import Any

from batchyard.core.batches import Batch
from batchyard.core.keys import manifest_key
from batchyard.core.messages import shard_message
from batchyard.core.sharding import read_manifest
from local.cloud import LocalCloud
from local.provider import SimulatedProvider
from tests.customer import Customer, chat_line, eventually
from tests.fault.evidence import note, served
from tests.invariants import check_calls

# A lease that does not end by itself, so that a body which is sent twice is a fault.
ENVIRONMENT = {"SHARD_ITEMS": "8", "LEASE_SECONDS": "12"}
QUEUE = "batchyard-provider-openai"


def test_every_message_is_delivered_twice_at_once(
    cloud: LocalCloud, customer: Customer, provider: SimulatedProvider
) -> None:
    """To two processes at the same time: one claims each shard, the other is refused, no body is sent twice."""
    provider.configure(latency_ms=100)
    cloud.deliver(duplicate=True)
    cloud.reset_meter()
    lines = [chat_line(number) for number in range(64)]
    batch, checked = customer.run(lines)
    assert (batch.status, checked.succeeded) == ("completed", len(lines))
    received = [count.received for count in served(provider, lines)]
    check_calls(received)
    assert sum(received) == len(lines)
    refused = _calls(cloud, "UpdateItem")["errors"]
    note("duplicates", {"items": len(lines), "shards": 8, "refused": refused})
    assert refused >= 8, "the duplicates met no resistance, so there were none"


def test_a_message_comes_back_under_a_live_worker(
    cloud: LocalCloud, customer: Customer, provider: SimulatedProvider
) -> None:
    """Visibility ends every second, the calls take longer than the lease: the worker keeps its lease, nobody else
    gets the shard, no body is sent twice."""
    provider.configure(latency_ms=14_000)
    cloud.deliver(visibility_seconds=1)
    cloud.reset_meter()
    lines = [chat_line(number) for number in range(24)]
    batch, checked = customer.run(lines)
    assert (batch.status, checked.succeeded) == ("completed", len(lines))
    received = [count.received for count in served(provider, lines)]
    check_calls(received)
    assert sum(received) == len(lines)
    invocations = cloud.meter()["functions"]["work"]["invocations"]
    note("visibility", {"items": len(lines), "invocations": invocations})
    assert invocations > 1, "no message came back"


def test_messages_come_again_when_all_is_over(
    cloud: LocalCloud, customer: Customer, provider: SimulatedProvider
) -> None:
    """Every shard's message once more, twice each, to a batch that is completed: nothing moves, nothing is sent."""
    lines = [chat_line(number) for number in range(20)]
    batch, checked = customer.run(lines)
    row, shards = customer.rows(batch.id)
    _send_again(cloud, row, times=2)
    eventually(lambda: cloud.queue_depths()[QUEUE] == 0, "the queue is empty")
    assert customer.check(batch, lines) == checked
    assert customer.rows(batch.id) == (row, shards)
    received = [count.received for count in served(provider, lines)]
    check_calls(received)
    assert sum(received) == len(lines)


def _send_again(cloud: LocalCloud, row: dict[str, Any], times: int) -> None:
    batch = Batch.from_row(row)
    assert batch.plan is not None
    key = manifest_key(batch.account_id, batch.id, batch.plan.run)
    manifest = cloud.client("s3").get_object(Bucket=cloud.data_bucket, Key=key)["Body"].read()
    sqs = cloud.client("sqs")
    url = sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
    for shard in read_manifest(manifest) * times:
        sqs.send_message(QueueUrl=url, MessageBody=shard_message(batch, shard).to_json())


def _calls(cloud: LocalCloud, operation: str) -> dict[str, Any]:
    """The worker's, as the meter counts them."""
    (found,) = [c for c in cloud.meter()["calls"] if (c["function"], c["operation"]) == ("work", operation)]
    return found
