"""The SQS queues of the providers: one message per shard. Its batch is its group, so that batches take turns (SQS fair
queues): what a batch has in flight decides whether a smaller one goes first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from batchyard.core.errors import BatchyardError
from batchyard.core.messages import ShardMessage

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

_ENTRIES_PER_CALL = 10


class QueueRefused(BatchyardError):
    """SQS took some messages of a call and refused others; sending them all again is safe."""


class Queues:
    """`urls`: provider name -> queue URL."""

    def __init__(self, client: SQSClient, urls: Mapping[str, str]) -> None:
        self._client = client
        self._urls = urls

    def send(self, messages: Sequence[ShardMessage], delay_seconds: int = 0) -> None:
        """Send each message to the queue of its provider. Raises QueueRefused."""
        by_provider: dict[str, list[ShardMessage]] = defaultdict(list)
        for message in messages:
            by_provider[message.provider].append(message)
        for provider, group in by_provider.items():
            for start in range(0, len(group), _ENTRIES_PER_CALL):
                self._send(self._urls[provider], group[start : start + _ENTRIES_PER_CALL], delay_seconds)

    def postpone(self, provider: str, receipt_handle: str, seconds: int) -> None:
        """Has SQS deliver a message again after `seconds`. For messages that are about to be reported as failed."""
        self._client.change_message_visibility(
            QueueUrl=self._urls[provider], ReceiptHandle=receipt_handle, VisibilityTimeout=seconds
        )

    def has_none_waiting(self, provider: str) -> bool:
        """Whether all messages there are in workers' hands, as far as SQS knows: neither visible nor delayed."""
        return self._count(provider, ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed"]) == 0

    def has_visible(self, provider: str) -> bool:
        """Whether somebody who receives now gets a message, as far as SQS knows."""
        return self._count(provider, ["ApproximateNumberOfMessages"]) > 0

    def _count(self, provider: str, attributes: Sequence[QueueAttributeNameType]) -> int:
        reply = self._client.get_queue_attributes(QueueUrl=self._urls[provider], AttributeNames=attributes)
        return sum(map(int, reply["Attributes"].values()))

    def _send(self, url: str, messages: Sequence[ShardMessage], delay_seconds: int) -> None:
        entries: list[SendMessageBatchRequestEntryTypeDef] = [
            {
                "Id": str(number),
                "MessageBody": message.to_json(),
                "DelaySeconds": delay_seconds,
                "MessageGroupId": message.batch_id,
            }
            for number, message in enumerate(messages)
        ]
        reply = self._client.send_message_batch(QueueUrl=url, Entries=entries)
        if reply.get("Failed"):
            raise QueueRefused(f"{len(reply['Failed'])} of {len(messages)} messages were refused")
