"""A provider's queue: messages that become due, those of quiet batches first, as SQS fair queues have it."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Sequence

from batchyard.core.messages import ShardMessage

_RECORDS_PER_INVOCATION = 10


class FairQueue:
    """Stands for `Queues` with one queue, and for the event source that takes from it. `sent`: messages so far."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._order = itertools.count()
        self._messages: list[tuple[float, int, ShardMessage]] = []
        self._hidden: list[tuple[float, ShardMessage]] = []
        self.sent = 0

    def send(self, messages: Sequence[ShardMessage], delay_seconds: int = 0) -> None:
        for message in messages:
            heapq.heappush(self._messages, (self._clock() + delay_seconds, next(self._order), message))
        self.sent += len(messages)

    def hide(self, messages: Sequence[ShardMessage], seconds: float) -> None:
        """Their receiver died: they come back when their visibility ends. Nobody knows of them until then."""
        self._hidden += [(self._clock() + seconds, message) for message in messages]

    def has_none_waiting(self, provider: str) -> bool:
        """As `Queues` has it."""
        return not self._messages

    def has_visible(self, provider: str) -> bool:
        """As `Queues` has it."""
        return any(due_at <= self._clock() for due_at, _, _ in self._messages)

    def postpone(self, provider: str, receipt_handle: str, seconds: int) -> None:
        raise AssertionError("a record failed, though nothing here breaks but the provider")

    @property
    def next_at(self) -> float:
        """When the first message is due; infinite if there is none."""
        first = [due_at for due_at, _, _ in self._messages[:1]]
        return min(first + [visible_at for visible_at, _ in self._hidden], default=float("inf"))

    def receive(self) -> list[ShardMessage]:
        """Messages that are due, as many as one invocation takes."""
        now = self._clock()
        for visible_at, message in self._hidden:
            if visible_at <= now:
                heapq.heappush(self._messages, (visible_at, next(self._order), message))
        self._hidden = [entry for entry in self._hidden if entry[0] > now]
        if self.next_at > now:
            return []
        due = [entry for entry in self._messages if entry[0] <= now]
        of_batch = Counter(entry[2].batch_id for entry in due)
        chosen = sorted(due, key=lambda entry: (of_batch[entry[2].batch_id], entry[:2]))[:_RECORDS_PER_INVOCATION]
        taken = {entry[1] for entry in chosen}
        self._messages = [entry for entry in self._messages if entry[1] not in taken]
        heapq.heapify(self._messages)
        return [entry[2] for entry in chosen]
