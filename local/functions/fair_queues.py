"""The order in which an SQS queue with message groups hands out what is waiting (fair queues of standard queues).

A group is noisy while it has at least `noisy_messages` messages in flight and more than a tenth of all that are. What
waits in quiet groups comes first; among noisy groups, the one with the fewest in flight. Within that, the order is that
of arrival. A message without a group is a group of its own. Not played: that a group is noisy for the consumers' time
that it took, too.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

NOISY_MESSAGES = 30
NOISY_SHARE = 0.1

M = TypeVar("M", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many messages of each group are in flight."""

    in_flight: Mapping[str, int]
    noisy_messages: int = NOISY_MESSAGES

    def noise(self, group: str) -> int:
        """0 for a quiet group, otherwise the messages that it has in flight."""
        own = self.in_flight.get(group, 0)
        is_noisy = own >= self.noisy_messages and own > NOISY_SHARE * sum(self.in_flight.values())
        return own if is_noisy else 0


def next_fairly(waiting: Sequence[tuple[str, M]], backlog: Backlog, most: int) -> list[M]:
    """The `most` messages that are received next. `waiting`: (group, message) in the order of arrival. Each message
    that is received counts as in flight for the choice of the one after it."""
    in_flight = Counter(backlog.in_flight)
    left = list(waiting)
    chosen: list[M] = []
    while left and len(chosen) < most:
        now = Backlog(in_flight, backlog.noisy_messages)
        noise = {group: now.noise(group) for group in {group for group, _ in left}}
        best = min(range(len(left)), key=lambda place: noise[left[place][0]])
        group, message = left.pop(best)
        in_flight[group] += 1
        chosen.append(message)
    return chosen
