"""Fail over: what a lane in trouble was to do is done by the next one, each item once."""

from __future__ import annotations

from random import Random

import pytest

from batchyard.core.batches import Ending, Status
from batchyard.core.errors import ConditionFailed
from batchyard.core.failover import Why
from batchyard.core.health import LaneState
from batchyard.core.lanes import Lane
from batchyard.core.rules import RoutingMode, RoutingRules
from batchyard.core.sharding import LaneShards
from tests.steps.fleet import BATCH_ID, Fleet

FIRST, SECOND, THIRD = Lane("first", "m"), Lane("second", "m-large"), Lane("third", "n")
AT_ONCE = RoutingRules(RoutingMode.SLA_AWARE)
SHARDS = 12


def fleet(rules: RoutingRules = AT_ONCE, **options: bool) -> Fleet:
    """A batch of twelve shards on the first lane, three in flight at once."""
    return Fleet([LaneShards(FIRST, 0, SHARDS, SHARDS * 10, 0, (SECOND, THIRD))], rules, **options)


def half_way(yard: Fleet, random: Random) -> int:
    """How many shards have settled when the first lane goes down."""
    while len(yard.settled) < SHARDS // 2:
        yard.deliver(random)
    yard.break_lane(FIRST)
    return len(yard.settled)


@pytest.mark.parametrize("one_chain", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_what_is_left_runs_at_the_next_lane(seed: int, one_chain: bool) -> None:
    """A lane that goes down half-way: the rest runs at the second one, though the first never comes back. Every shard
    runs once, and the batch's execution is woken."""
    yard, random = fleet(one_chain=one_chain), Random(seed)
    done = half_way(yard, random)
    (move,) = yard.sweep()
    assert (move.lane, move.why) == (SECOND, Why.TROUBLE)
    yard.run(random)
    assert sum(yard.served.values()) == len(yard.served) == SHARDS
    assert sum(lane == FIRST for _, lane in yard.served) == done
    assert {lane for _, lane in yard.served} == {FIRST, SECOND}
    assert yard.workflow.woken[-1] == ("token", Ending.COMPLETED)
    entry = yard.plan.lanes[-1]
    assert (entry.lane, entry.others) == (SECOND, (THIRD, FIRST))
    assert entry.left is not None and (entry.left.lane, entry.left.reason) == (FIRST, "trouble")


def test_a_batch_that_may_wait_does() -> None:
    """By default nothing moves as long as there is time; when it is short, what is left does."""
    yard, random = fleet(RoutingRules()), Random(1)
    half_way(yard, random)
    assert yard.sweep() == []
    yard.now = yard.batch.expires_at - 700
    assert yard.sweep() == []
    (move,) = yard.sweep()
    assert (move.lane, move.why) == (SECOND, Why.TROUBLE)
    yard.run(random)


def test_whoever_asks_for_early_failover_does_not_wait() -> None:
    """Though nothing else of the batch's rules is unusual."""
    yard, random = fleet(RoutingRules(), early_failover=True), Random(2)
    half_way(yard, random)
    (move,) = yard.sweep()
    assert (move.lane, move.why) == (SECOND, Why.TROUBLE)
    yard.run(random)


def test_it_may_come_back_when_the_next_lane_fails_too() -> None:
    """The lane that was left becomes the last one to go to."""
    yard, random = fleet(), Random(3)
    half_way(yard, random)
    yard.sweep()
    yard.break_lane(SECOND, LaneState.BLOCKED)
    yard.sweep()
    yard.break_lane(THIRD)
    assert yard.sweep() == []
    del yard.down[FIRST]
    assert [move.lane for move in yard.sweep()] == [FIRST]
    yard.run(random)
    assert sum(yard.served.values()) == len(yard.served) == SHARDS


def test_old_messages_breed_no_others() -> None:
    """A lane that is well again runs what still has a message there, at most what was in flight; nothing runs twice."""
    yard, random = fleet(), Random(5)
    half_way(yard, random)
    yard.sweep()
    del yard.down[FIRST]
    yard.run(random)
    while yard.mail.waiting:
        yard.deliver(random)
    assert sum(yard.served.values()) == len(yard.served) == SHARDS
    assert len(yard.mail.sent) <= SHARDS + 2 * 3


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_sweep_that_dies_is_made_good_by_the_next_one(when: str) -> None:
    """At each of its calls in turn, before that has its effect or after: everything runs once, and the first lane never
    comes back."""
    calls = []
    for nth in range(1, 20):
        yard, random = fleet(), Random(7)
        half_way(yard, random)
        yard.fuse.nth, yard.fuse.when = nth, when
        yard.sweep()
        yard.run(random)
        assert sum(yard.served.values()) == len(yard.served) == SHARDS
        assert yard.plan.lanes[-1].lane == SECOND
        if not yard.fuse.burnt:
            break
        calls.append(yard.fuse.names[nth - 1])
    assert {"sqs.send", "table.update", "s3.get"} <= set(calls)


def test_another_plan_wins() -> None:
    """If the batch's row changed since it was read nothing is moved; a batch that is no longer in progress stays."""
    yard, random = fleet(), Random(2)
    half_way(yard, random)
    stale = yard.batch
    yard.stores.batches.change_plan(stale, yard.plan)
    with pytest.raises(ConditionFailed):
        yard.stores.batches.change_plan(stale, yard.plan)
    assert len(yard.sweep()) == 1
    yard.break_lane(SECOND)
    yard.stores.batches.enter(yard.batch, Status.CANCELLING, yard.now)
    assert yard.sweep() == []
    assert yard.batch.id == BATCH_ID


def test_a_lane_that_is_too_slow_hands_on_its_last_shards() -> None:
    """Half of what is left, if it makes only half of it in time; that lane goes on with the rest."""
    yard, random = fleet(RoutingRules()), Random(4)
    yard.rates = {FIRST: 0.1, SECOND: 10.0}
    yard.now = yard.batch.expires_at - 660
    (move,) = yard.sweep()
    assert (move.numbers, move.lane, move.why) == (range(6, 12), SECOND, Why.TOO_LATE)
    yard.run(random)
    lanes = dict(yard.served.keys())
    assert [lanes[number] for number in range(SHARDS)] == [FIRST] * 6 + [SECOND] * 6
