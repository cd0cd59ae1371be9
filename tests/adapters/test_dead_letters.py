"""Dead letters go back to the queue that they came from; moto learns how from the local cloud."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.sqs.responses import SQSResponse

from batchyard.adapters.aws.clients import client
from batchyard.adapters.aws.dead_letters import DeadLetters
from local.simulated_aws.patches import sqs as patches


@pytest.fixture(autouse=True)
def patched(aws: None, aws_clients: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SQSResponse, "start_message_move_task", patches._start_message_move_task, raising=False)


def create(name: str) -> tuple[str, str]:
    """(the URL of a queue, that of its dead-letter queue)"""
    letters = client("sqs").create_queue(QueueName=f"{name}-dead-letters")["QueueUrl"]
    redrive = json.dumps({"deadLetterTargetArn": arn(letters), "maxReceiveCount": 1})
    return client("sqs").create_queue(QueueName=name, Attributes={"RedrivePolicy": redrive})["QueueUrl"], letters


def arn(url: str) -> str:
    return client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def received(url: str) -> list[Any]:
    names: Any = ["ApproximateReceiveCount"]
    found = client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=names)
    return [(each["Body"], each["Attributes"]["ApproximateReceiveCount"]) for each in found.get("Messages", [])]


def test_they_go_back_as_new_messages() -> None:
    """Each to its own queue, with all its receives before it; an empty dead-letter queue starts no task."""
    queues = {name: create(name) for name in ("one", "two", "empty")}
    for name, (_, letters) in queues.items():
        for number in range(3 if name != "empty" else 0):
            client("sqs").send_message(QueueUrl=letters, MessageBody=f"{name} {number}")
    letters = DeadLetters(client("sqs"), [letters for _, letters in queues.values()])
    assert letters.move_back() == {"one-dead-letters": 3, "two-dead-letters": 3}
    assert letters.move_back() == {}
    for name, (url, _) in queues.items():
        assert received(url) == [(f"{name} {number}", "1") for number in range(3 if name != "empty" else 0)]


def test_a_task_that_runs_already_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQS takes one at a time and refuses the second; anything else that it refuses is raised."""
    _, letters = create("busy")
    client("sqs").send_message(QueueUrl=letters, MessageBody="x")
    code = "AWS.SimpleQueueService.UnsupportedOperation"

    def refuse(self: Any, **arguments: Any) -> Any:
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, "StartMessageMoveTask")

    monkeypatch.setattr(type(client("sqs")), "start_message_move_task", refuse)
    assert DeadLetters(client("sqs"), [letters]).move_back() == {"busy-dead-letters": 1}
    code = "AccessDenied"
    with pytest.raises(ClientError):
        DeadLetters(client("sqs"), [letters]).move_back()


def test_only_dead_letters_are_moved() -> None:
    """As SQS has it, a queue that feeds no other one is refused, and one that does not exist."""
    url, _ = create("plain")
    with pytest.raises(client("sqs").exceptions.UnsupportedOperation):
        client("sqs").start_message_move_task(SourceArn=arn(url), DestinationArn=arn(url))
    with pytest.raises(client("sqs").exceptions.ResourceNotFoundException):
        client("sqs").start_message_move_task(SourceArn=arn(url) + "-none")
