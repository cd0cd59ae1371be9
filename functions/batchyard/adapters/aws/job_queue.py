"""The SQS queue of provider jobs: a message has somebody look at a job, now or after a while."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from batchyard.adapters.aws.queues import QueueRefused
from batchyard.core.jobs import JobRef

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

_ENTRIES_PER_CALL = 10
LONGEST_DELAY_SECONDS = 900
"""SQS takes no longer one."""


class JobQueue:
    def __init__(self, client: SQSClient, url: str) -> None:
        self._client = client
        self._url = url

    def send(self, refs: Sequence[JobRef], delay_seconds: int = 0) -> None:
        """Have each job looked at after `delay_seconds`, or SQS's longest delay. Raises QueueRefused."""
        delay = min(delay_seconds, LONGEST_DELAY_SECONDS)
        for start in range(0, len(refs), _ENTRIES_PER_CALL):
            group = refs[start : start + _ENTRIES_PER_CALL]
            entries: list[SendMessageBatchRequestEntryTypeDef] = [
                {
                    "Id": str(number),
                    "MessageBody": ref.to_json(),
                    "DelaySeconds": delay,
                    "MessageGroupId": ref.batch.batch_id,
                }
                for number, ref in enumerate(group)
            ]
            reply = self._client.send_message_batch(QueueUrl=self._url, Entries=entries)
            if reply.get("Failed"):
                raise QueueRefused(f"{len(reply['Failed'])} of {len(group)} messages were refused")
