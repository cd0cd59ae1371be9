"""Each alarm fires when what it is about happens, and only then: by driving the system, never the metric.

Lanes and shards have a page of their own, test_alarms_of_lanes.py; FunctionsThrottled is in test_account_limit.py.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

from batchyard.steps.upload import JOIN_AT_ONCE_PARTS
from local.cloud import LocalCloud
from local.provider import SimulatedProvider
from tests.alarms import Watch
from tests.customer import Customer, chat_line, eventually, jsonl

MANY_PARTS = 150
"""Of an upload: more than are joined while its caller waits."""
ENVIRONMENT = {
    "COMPLETION_WINDOW_SECONDS": "3600",  # so that every open batch is near its deadline
    "sweep.MAX_EXECUTIONS": "1",
    "SWEEP_GRACE_SECONDS": "0",
}
CLOUD = {"schedules": False}


@pytest.fixture
def watch(cloud: LocalCloud, customer: Customer) -> Watch:
    """What happens from now on."""
    return Watch(cloud)


def fired(watch: Watch) -> set[str]:
    """Without DeadlineNear: a sweep may come while a batch is open."""
    return watch.firing() - {"DeadlineNear"}


def notices(watch: Watch, *names: str) -> None:
    """These fire and no others. A function's metrics come when it ends, a moment after what they are about."""
    eventually(lambda: fired(watch) >= set(names), f"{names} fire")
    assert fired(watch) == set(names)


def swept(cloud: LocalCloud) -> None:
    """One sweep that ended well."""
    cloud.invoke("sweep", {})


def test_a_healthy_deployment_is_quiet(cloud: LocalCloud, customer: Customer, watch: Watch) -> None:
    """A batch that completes and a sweep that runs: no alarm at all."""
    customer.run([chat_line(number) for number in range(8)])
    swept(cloud)
    assert watch.firing() == set()


def test_a_sweep_that_stopped_is_noticed(cloud: LocalCloud, watch: Watch) -> None:
    """Both ways: nobody invokes it, and it fails each time."""
    assert watch.firing() == {"SweepStopped"}
    cloud.limit("sweep", 0.001)
    cloud.fire("sweep")
    eventually(lambda: cloud.meter()["functions"].get("sweep", {}).get("errors", 0) > 0, "the sweep has failed")
    assert watch.firing() == {"SweepStopped"}
    cloud.limit("sweep", None)
    cloud.invoke("sweep", {})


def test_a_batch_near_its_deadline_is_noticed(cloud: LocalCloud, customer: Customer, watch: Watch) -> None:
    """While it is open, and no longer."""
    batch = customer.submit([chat_line(0, "hang")])
    swept(cloud)
    assert watch.firing() == {"DeadlineNear"}
    customer.openai.batches.cancel(batch.id)
    customer.wait(batch.id)
    over = Watch(cloud)
    swept(cloud)
    assert over.firing() == set()


def test_a_broken_step_is_noticed_twice(cloud: LocalCloud, customer: Customer, watch: Watch) -> None:
    """When its execution ends without its batch, and when the batch is given up."""
    cloud.limit("validate", 0.001)
    batch = customer.submit([chat_line(0)])
    machine = cloud.state_machines[0]
    states = cloud.client("stepfunctions")

    def failed() -> bool:
        return bool(states.list_executions(stateMachineArn=machine, statusFilter="FAILED")["executions"])

    eventually(failed, "the execution has failed")
    assert "ExecutionsFailed" in fired(watch)
    assert "BatchesGivenUp" not in fired(watch)

    def given_up() -> bool:
        cloud.invoke("sweep", {})
        return customer.status(batch.id) == "failed"

    eventually(given_up, "the batch is closed as failed")
    notices(watch, "ExecutionsFailed", "BatchesGivenUp")


def test_an_api_that_fails_is_noticed(cloud: LocalCloud, customer: Customer, watch: Watch) -> None:
    """Five answers of 5xx; four are quiet, and so is what a caller does wrong."""
    swept(cloud)
    wrong = urllib.request.Request(f"{cloud.api_url}/v1/nowhere", headers={"Authorization": "Bearer x"})
    for _ in range(6):
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            urllib.request.urlopen(wrong)
        refused.value.close()
    cloud.limit("account", 0.001)
    models = urllib.request.Request(
        f"{cloud.api_url}/v1/models", headers={"Authorization": f"Bearer {customer.api_key}"}
    )
    names = []
    for _ in range(5):
        with pytest.raises(urllib.error.HTTPError) as broken:
            urllib.request.urlopen(models)
        assert broken.value.code >= 500
        broken.value.close()
        names.append(fired(watch))
    assert names == [set()] * 4 + [{"ApiErrors"}]


def test_workers_that_die_are_noticed(
    cloud: LocalCloud, customer: Customer, provider: SimulatedProvider, watch: Watch
) -> None:
    """A worker is killed in the middle of its calls; its shard comes back, and the batch completes."""
    swept(cloud)
    provider.configure(latency_ms=2_000)
    batch = customer.submit([chat_line(number) for number in range(4)])
    eventually(lambda: provider.stats()["requests"] > 0, "a worker calls")
    assert cloud.kill("work") > 0
    customer.wait(batch.id)
    notices(watch, "WorkerErrors")


def test_a_dropped_file_that_is_given_up_is_noticed(cloud: LocalCloud, customer: Customer, watch: Watch) -> None:
    """The drop function fails five times, and the message is a dead letter."""
    swept(cloud)
    cloud.limit("drop", 0.001)
    key = f"drop/{customer.account_id}/requests.jsonl"
    cloud.client("s3").put_object(Bucket=cloud.drop_bucket, Key=key, Body=jsonl([chat_line(0)]))
    eventually(lambda: cloud.queue_depths()["batchyard-drop-dead-letters"] > 0, "it is given up")
    notices(watch, "DeadLetters")


def test_events_that_cannot_be_delivered_are_noticed(cloud: LocalCloud, customer: Customer, watch: Watch) -> None:
    """Somebody takes the policy of the drop queue away: what is dropped is a dead letter; with the dead letters' policy
    gone as well it is lost. Both put back: quiet, and a dropped file is a batch."""
    swept(cloud)
    sqs = cloud.client("sqs")
    urls = [sqs.get_queue_url(QueueName=name)["QueueUrl"] for name in ("batchyard-drop", "batchyard-drop-dead-letters")]
    policies = [sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"] for url in urls]

    def drop(name: str) -> None:
        key = f"drop/{customer.account_id}/{name}.jsonl"
        cloud.client("s3").put_object(Bucket=cloud.drop_bucket, Key=key, Body=jsonl([chat_line(0)]))

    sqs.set_queue_attributes(QueueUrl=urls[0], Attributes={"Policy": ""})
    drop("first")
    notices(watch, "FailedDeliveries", "DeadLetters")
    lost = Watch(cloud)
    sqs.set_queue_attributes(QueueUrl=urls[1], Attributes={"Policy": ""})
    drop("second")
    swept(cloud)
    notices(lost, "FailedDeliveries")
    for url, policy in zip(urls, policies, strict=True):
        sqs.set_queue_attributes(QueueUrl=url, Attributes=policy)
    mended = Watch(cloud)
    drop("third")
    swept(cloud)
    (batch,) = eventually(lambda: list(customer.openai.batches.list()) or None, "the third is a batch")
    customer.wait(batch.id)
    assert fired(mended) == set()


def test_an_upload_that_cannot_be_joined_is_noticed(cloud: LocalCloud, customer: Customer, watch: Watch) -> None:
    """Assemble fails three times; its event is kept, and names the upload."""
    swept(cloud)
    content = jsonl([chat_line(number) for number in range(4)])
    cuts = range(0, len(content), -(-len(content) // MANY_PARTS))
    upload = customer.openai.uploads.create(
        bytes=len(content), filename="requests.jsonl", mime_type="application/jsonl", purpose="batch"
    )
    pieces = [content[start : start + cuts.step] for start in cuts]
    parts = [customer.openai.uploads.parts.create(upload.id, data=piece).id for piece in pieces]
    assert len(parts) > JOIN_AT_ONCE_PARTS
    cloud.limit("assemble", 0.001)
    customer.openai.uploads.complete(upload.id, part_ids=parts)
    eventually(lambda: cloud.queue_depths()["batchyard-assemble-dead-letters"] > 0, "it is given up")
    notices(watch, "DeadLetters")
    sqs = cloud.client("sqs")
    url = sqs.get_queue_url(QueueName="batchyard-assemble-dead-letters")["QueueUrl"]
    (letter,) = sqs.receive_message(QueueUrl=url)["Messages"]
    assert upload.id in json.dumps(json.loads(letter["Body"])["requestPayload"])


def test_many_refused_files_are_noticed(cloud: LocalCloud, customer: Customer, watch: Watch) -> None:
    """Twenty batches whose input is no JSON."""
    swept(cloud)
    file = customer.upload(b"no json\n")
    batches = [
        customer.openai.batches.create(input_file_id=file, endpoint="/v1/chat/completions", completion_window="24h")
        for _ in range(20)
    ]
    for batch in batches:
        customer.wait(batch.id)
    notices(watch, "RefusedBatches")


def test_many_failed_items_are_noticed(cloud: LocalCloud, customer: Customer, watch: Watch) -> None:
    """A quarter of a hundred and twenty items is refused by a provider that is healthy otherwise."""
    swept(cloud)
    lines = [chat_line(number, None if number % 4 else "status:400") for number in range(120)]
    batch, checked = customer.run(lines)
    assert (batch.status, checked.succeeded) == ("completed", 90)
    notices(watch, "FailedItems")


def test_a_throttled_table_is_noticed(cloud: LocalCloud, customer: Customer, watch: Watch) -> None:
    """DynamoDB refuses three requests of each of five functions, which repeat them, and the batch completes. (It takes
    five in a row for a call to fail, and then other alarms may fire, too.)"""
    swept(cloud)
    code = "ProvisionedThroughputExceededException"
    for function in ("files", "batches", "dispatch", "work", "finalize"):
        cloud.fail(function, operation="UpdateItem", service="dynamodb", times=3, status=400, code=code)
    customer.run([chat_line(number) for number in range(16)])
    notices(watch, "TableThrottled")


def test_a_day_that_costs_too_much_is_noticed(cloud: LocalCloud, customer: Customer, watch: Watch) -> None:
    """Ten answers of 20,000 tokens at 600 dollars a million are 120 dollars: above the limit, which is 100. Half of
    them is quiet."""
    swept(cloud)
    lines = [chat_line(number, "reasoning:20000", model="o1-pro") for number in range(10)]
    customer.run(lines[:5])
    assert fired(watch) == set()
    customer.run(lines[5:])
    notices(watch, "SpendPerDay")
