"""The dead-letter queues of the providers: what SQS gave up after its last receive, be it that a worker failed or that
Lambda, throttled, had none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_ALREADY_MOVING = {"AWS.SimpleQueueService.UnsupportedOperation", "UnsupportedOperation"}
"""One task per queue at a time.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html"""


class DeadLetters:
    """`urls`: of the dead-letter queues."""

    def __init__(self, client: SQSClient, urls: Sequence[str]) -> None:
        self._client = client
        self._urls = urls

    def move_back(self) -> dict[str, int]:
        """Have SQS move all messages to the queues that they came from. Dead-letter queue -> how many there were, for
        those that had any."""
        return {_name(url): waiting for url in self._urls if (waiting := self._move_back(url))}

    def _move_back(self, url: str) -> int:
        reply = self._client.get_queue_attributes(
            QueueUrl=url, AttributeNames=["QueueArn", "ApproximateNumberOfMessages"]
        )
        found = reply["Attributes"]
        waiting = int(found["ApproximateNumberOfMessages"])
        if waiting:
            try:
                self._client.start_message_move_task(SourceArn=found["QueueArn"])
            except ClientError as error:
                if error.response["Error"]["Code"] not in _ALREADY_MOVING:
                    raise
        return waiting


def _name(url: str) -> str:
    return url.rpartition("/")[2]
