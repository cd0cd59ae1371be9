"""What is changed in moto's SQS."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.sqs.models import Queue
from moto.sqs.responses import SQSResponse


def count_messages_only_when_asked() -> None:
    """Speed only (moto 5.2.5): every send reads one attribute of its queue, and moto counts all messages of the queue
    three times to answer: with 1,000 waiting, a send took 116 ms on a busy machine instead of 10. In AWS a send does
    not depend on the depth of the queue:
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html"""
    counted = Queue.attributes.fget
    Queue.attributes = property(lambda queue: _Attributes(queue, counted))


class _Attributes(Mapping[str, Any]):
    """A queue's attributes; a standard queue has no ContentBasedDeduplication, which is what a send asks for."""

    def __init__(self, queue: Queue, counted: Callable[[Queue], dict[str, Any]]) -> None:
        self._queue = queue
        self._counted = counted

    def __getitem__(self, name: str) -> Any:
        if name == "ContentBasedDeduplication" and not self._queue.fifo_queue:
            raise KeyError(name)
        return self._counted(self._queue)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._counted(self._queue))

    def __len__(self) -> int:
        return len(self._counted(self._queue))


def move_dead_letters() -> None:
    """moto 5.2.5 has no StartMessageMoveTask. Here a task is over when it is started: every message that is visible in
    the dead-letter queue is sent, as a new message that was never received, to the queue that it came from.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-configure-dead-letter-queue-redrive.html
    A DestinationArn may name another queue; MaxNumberOfMessagesPerSecond is accepted, and everything moves at once."""
    SQSResponse.start_message_move_task = _start_message_move_task


def _start_message_move_task(response: SQSResponse) -> ActionResult:
    backend = response.sqs_backend
    source_arn, destination_arn = response._get_param("SourceArn"), response._get_param("DestinationArn")
    by_arn = {queue.queue_arn: queue for queue in backend.queues.values()}
    feeders = [queue for queue in by_arn.values() if _dead_letters_of(queue) == source_arn]
    source = by_arn.get(source_arn)
    destination = by_arn.get(destination_arn) if destination_arn else next(iter(feeders), None)
    if source is None or destination is None:
        raise _ResourceNotFound
    if not feeders:
        raise _NotADeadLetterQueue
    for message in [message for message in source._messages if message.visible and not message.delayed]:
        source._messages.remove(message)
        source.pending_messages.discard(message)
        moved = backend.send_message(destination.name, message.body, message.message_attributes)
        moved.group_id = message.group_id
    return ActionResult({"TaskHandle": base64.b64encode(orjson.dumps({"sourceArn": source_arn})).decode()})


def _dead_letters_of(queue: Queue) -> str | None:
    return (queue.redrive_policy or {}).get("deadLetterTargetArn")


class _ResourceNotFound(ServiceException):
    code = "ResourceNotFoundException"
    message = "The resource that you specified for the SourceArn parameter doesn't exist."


class _NotADeadLetterQueue(ServiceException):
    code = "AWS.SimpleQueueService.UnsupportedOperation"
    message = "Source queue must be configured as a Dead Letter Queue."
