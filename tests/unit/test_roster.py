"""Which batch a worker takes up next, and who makes room for it."""

from __future__ import annotations

from batchyard.core.messages import ShardMessage
from batchyard.core.roster import Listed, Seated, in_turn, is_to_be_taken_up_by, who_makes_room
from batchyard.core.sharding import Shard

NOW = 1_000


def message(batch_id: str, account_id: str, weight: int = 1) -> ShardMessage:
    shard = Shard(0, 0, 0, 9, 1, 0)
    return ShardMessage(
        account_id, batch_id, "run", "/v1/embeddings", "openai", "m", shard, 1, 1, None, None, 9_999, weight=weight
    )


def listed(batch_id: str, account_id: str, taken_up_at: int = 0, weight: int = 1) -> Listed:
    return Listed(message(batch_id, account_id, weight), NOW - 60, taken_up_at)


def seated(batch_id: str, account_id: str, seats: int = 1, seconds: float = 60, weight: int = 1) -> Seated:
    return Seated(message(batch_id, account_id, weight), seats, NOW - seconds)


def test_accounts_with_fewer_seats_go_first_then_who_waited_longest() -> None:
    """One that was never taken up before one that was, within the same account."""
    waiting = [listed("b1", "a", 900), listed("b2", "a"), listed("b3", "b", 950), listed("b4", "b", 910)]
    order = [each.message.batch_id for each in in_turn(waiting, [seated("b0", "a")])]
    assert order == ["b4", "b3", "b2", "b1"]


def test_who_has_more_than_one_seat_makes_room_at_once() -> None:
    """The account that has most of them."""
    there = [seated("b1", "a", 2, 1), seated("b2", "b", 5, 1), seated("b3", "c", 1, 99)]
    leaver = who_makes_room(listed("b9", "d"), there, NOW)
    assert leaver is not None
    assert leaver.message.batch_id == "b2"


def test_a_batchs_last_seat_is_its_own_for_a_turn() -> None:
    """A short one if the other has never run, a longer one if it has."""
    there = [seated("b1", "a", seconds=4), seated("b2", "b", seconds=3)]
    assert who_makes_room(listed("b9", "d"), there, NOW) is None
    assert who_makes_room(listed("b9", "d"), there, NOW + 2) == there[0]
    assert who_makes_room(listed("b9", "d", taken_up_at=NOW - 30), there, NOW + 2) is None
    assert who_makes_room(listed("b9", "d", taken_up_at=NOW - 30), there, NOW + 12) == there[0]


def test_an_account_with_its_share_waits_for_its_own_batches() -> None:
    """It takes no seat from one that has as few, but its own batches take turns."""
    there = [seated("b1", "a"), seated("b2", "b")]
    assert who_makes_room(listed("b9", "a"), there, NOW) == there[0]
    assert who_makes_room(listed("b9", "a"), [seated("b1", "a", seconds=1), there[1]], NOW) is None


def test_an_account_of_weight_three_has_three_seats_for_one() -> None:
    """It is asked for none of them by one of weight 1 that has one."""
    heavy = seated("b1", "a", 3, weight=3)
    assert who_makes_room(listed("b9", "b"), [heavy, seated("b2", "b")], NOW) == seated("b2", "b")
    assert who_makes_room(listed("b9", "c"), [heavy, seated("b2", "b", 2)], NOW) == seated("b2", "b", 2)


def test_exactly_one_worker_takes_a_batch_up() -> None:
    """Whatever the order in which they are named; and they share the batches out."""
    names = ["one", "two", "three"]
    chosen = []
    for number in range(60):
        who = [name for name in names if is_to_be_taken_up_by(name, reversed(names), f"batch_{number}")]
        assert len(who) == 1
        chosen += who
    assert set(chosen) == set(names)
