"""Whose shards a worker draws next, when more batches have something to run than workers can carry.

Each provider has a roster: the batches that have shards to run there, by lane, and when each was last taken up. A
worker that stays reads it every some seconds. What nobody carries it takes up: first that of accounts which have the
fewest seats in it, then what was taken up longest ago, or never. If all its seats are taken, one is given up: by the
account that has the most, by its batch that has the most, by the one that has had it longest. The last seat of a batch
is its own for a turn of some seconds, a shorter one if somebody was never taken up.

The roster is a hint. What is not on it still has its messages, and what is on it in vain is struck off when somebody
draws from it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from zlib import crc32

from batchyard.core.messages import ShardMessage

_TURN_SECONDS = 15.0
_TURN_BEFORE_NEWCOMERS_SECONDS = 5.0
"""As long as results are held before they are flushed."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A batch on a roster, for one lane. `message`: of a shard of it there. `listed_at`, `taken_up_at`: unix seconds;
    0: it never was."""

    message: ShardMessage
    listed_at: int
    taken_up_at: int


@dataclass(frozen=True, slots=True)
class Seated:
    """A batch that runs in a worker, for one lane. `message`: of a shard of it there; `since`: unix second."""

    message: ShardMessage
    seats: int
    since: float


def seats_by_account(seated: Iterable[Seated]) -> Mapping[str, float]:
    """Account -> the seats that its batches have, divided by its weight."""
    held: defaultdict[str, float] = defaultdict(float)
    for each in seated:
        held[each.message.account_id] += each.seats * _of_one(each.message)
    return held


def in_turn(waiting: Iterable[Listed], seated: Iterable[Seated]) -> list[Listed]:
    """The order in which a worker takes them up."""
    held = seats_by_account(seated)
    return sorted(
        waiting,
        key=lambda listed: (held[listed.message.account_id], listed.taken_up_at, listed.listed_at),
    )


def who_makes_room(listed: Listed, seated: Sequence[Seated], now: float) -> Seated | None:
    """Who gives up a seat of a full worker to `listed`; None: it has to wait."""
    held = seats_by_account(seated)
    account_id, its_seats = listed.message.account_id, held[listed.message.account_id]
    turn_seconds = _TURN_SECONDS if listed.taken_up_at else _TURN_BEFORE_NEWCOMERS_SECONDS
    able = []
    for each in seated:
        may_leave = each.seats > 1 or now >= each.since + turn_seconds
        seats = held[each.message.account_id]
        has_more = its_seats == 0 or seats - _of_one(each.message) >= its_seats + _of_one(listed.message)
        if may_leave and (has_more or each.message.account_id == account_id):
            able.append((seats, each.seats, -each.since, each))
    return max(able, key=lambda entry: entry[:3])[3] if able else None


def is_to_be_taken_up_by(name: str, names: Iterable[str], batch_id: str) -> bool:
    """Whether of the workers `names` it is `name` that takes up that batch."""
    return name == max(names, key=lambda each: (crc32(f"{each} {batch_id}".encode()), each), default=name)


def _of_one(message: ShardMessage) -> float:
    """What one seat counts."""
    return 1 / message.weight
