"""What the queues of the providers are sent."""

from __future__ import annotations

import pytest

from batchyard.adapters.aws import clients
from batchyard.adapters.aws.queues import Queues
from batchyard.core.messages import ShardMessage
from batchyard.core.sharding import Shard


def message(batch_id: str, number: int) -> ShardMessage:
    shard = Shard(number, 0, number * 100, 100, 10, number * 10)
    return ShardMessage("acct_1", batch_id, "run", "/v1/chat/completions", "openai", "m", shard, 12, 1, None, None, 9)


@pytest.mark.parametrize("delay_seconds", [0, 1])
def test_every_message_says_which_batch_it_is_of(aws: None, delay_seconds: int) -> None:
    """SQS lets batches take turns by their group: on all entries of all calls, sent late or not."""
    sqs = clients.client("sqs")
    url = sqs.create_queue(QueueName="openai")["QueueUrl"]
    sent = [message(f"batch_{number % 2}", number) for number in range(12)]
    Queues(sqs, {"openai": url}).send(sent, delay_seconds)
    found: dict[int, str] = {}
    while len(found) < len(sent):
        received = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=2, MessageSystemAttributeNames=["MessageGroupId"]
        )
        for each in received["Messages"]:
            found[ShardMessage.from_json(each["Body"]).shard.number] = each["Attributes"]["MessageGroupId"]
    assert found == {number: f"batch_{number % 2}" for number in range(12)}


def test_whether_messages_wait(aws: None) -> None:
    """Visible or delayed ones do; those that somebody received do not. Only visible ones can be received now."""
    sqs = clients.client("sqs")
    url = sqs.create_queue(QueueName="openai")["QueueUrl"]
    queues = Queues(sqs, {"openai": url})
    assert queues.has_none_waiting("openai")
    queues.send([message("batch_1", 0)])
    assert not queues.has_none_waiting("openai")
    assert queues.has_visible("openai")
    sqs.receive_message(QueueUrl=url, WaitTimeSeconds=2)
    assert queues.has_none_waiting("openai")
    queues.send([message("batch_1", 1)], 600)
    assert not queues.has_none_waiting("openai")
    assert not queues.has_visible("openai")
