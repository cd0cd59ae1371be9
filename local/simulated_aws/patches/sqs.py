"""What is changed in moto's SQS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from moto.sqs.models import Queue


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
