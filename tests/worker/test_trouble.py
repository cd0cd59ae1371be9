"""A lane in trouble costs time, never an item: outages of every kind, at any moment, with the clock sped up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from batchyard.adapters.aws.lanes import LaneView
from batchyard.core.calls import Answer, NoAnswer
from batchyard.core.health import LaneHealth, LaneState
from batchyard.core.lanes import LaneId
from batchyard.core.messages import ShardMessage
from batchyard.core.retry import FailureReason
from batchyard.core.shards import ShardState
from simulation.memory_objects import memory_objects
from simulation.memory_table import memory_shards
from simulation.virtual_time import EPOCH
from tests.worker.workshop import BATCH_ID, Outcome, ScriptedProvider, Workshop, after, status, succeed

Start = Callable[[Callable[[int, int], Awaitable[Outcome]]], Workshop]
LANE = LaneId("openai", "m")


@pytest.fixture
def start() -> Iterator[Start]:
    """Makes a workshop around a provider's behaviour."""
    made = []

    def make(behave: Callable[[int, int], Awaitable[Outcome]]) -> Workshop:
        made.append(Workshop(memory_shards(), memory_objects(), ScriptedProvider(behave)))
        return made[-1]

    yield make
    for workshop in made:
        workshop.close()


async def hangs() -> Outcome:
    await asyncio.sleep(600)
    return NoAnswer(FailureReason.TIMEOUT)


def says(reply: Outcome) -> Callable[[], Awaitable[Outcome]]:
    async def behave() -> Outcome:
        await asyncio.sleep(0.05)
        return reply

    return behave


def in_turns(first: Outcome, second: Outcome) -> Callable[[], Awaitable[Outcome]]:
    replies = [first, second]

    async def behave() -> Outcome:
        await asyncio.sleep(0.05)
        replies.reverse()
        return replies[0]

    return behave


OUTAGES: dict[str, Callable[[], Awaitable[Outcome]]] = {
    "500": says(status(500)),
    "502": says(status(502)),
    "503": says(status(503)),
    "529": says(status(529)),
    "connections": says(NoAnswer(FailureReason.CONNECTION)),
    "no JSON": says(NoAnswer(FailureReason.INVALID_RESPONSE)),
    "a mix": in_turns(status(503), NoAnswer(FailureReason.CONNECTION)),
    "hangs": hangs,
    "key refused": says(Answer(401, b"{}", failure=FailureReason.KEY_REFUSED)),
    "no money": says(Answer(429, b"{}", failure=FailureReason.OUT_OF_MONEY)),
}


def play(shop: Workshop, messages: list[ShardMessage], until: float = 80_000.0) -> float:
    """Plays SQS with one worker: due messages go to it, ten at a time, until all their shards are settled. The seconds
    that it took."""
    due: list[tuple[float, int, ShardMessage]] = [(0.0, number, m) for number, m in enumerate(messages)]
    while due:
        due.sort(key=lambda entry: entry[:2])
        now = shop.clock() - EPOCH
        assert now < until, "it never ends"
        if due[0][0] > now:
            shop.loop.advance(due[0][0] - now)
            continue
        batch, due = due[:10], due[10:]
        ready = [entry for entry in batch if entry[0] <= now]
        due += [entry for entry in batch if entry[0] > now]
        already = len(shop.queues.sent)
        assert shop.work(*(entry[2] for entry in ready)) == []
        now = shop.clock() - EPOCH
        due += [(now + delay, m.shard.number, m) for m, delay in shop.queues.sent[already:]]
    rows = [shop.shards.get(BATCH_ID, message.shard.number) for message in messages]
    assert all(row is not None and row.state is ShardState.SETTLED for row in rows)
    return shop.clock() - EPOCH


EVERY_KIND = [(kind, 60, "middle") for kind in OUTAGES]
EVERY_TIME = [(kind, s, at) for kind in ("503", "hangs") for s in (60, 3600) for at in ("start", "middle", "end")]


@pytest.mark.parametrize(("kind", "seconds", "begins"), sorted({*EVERY_KIND, *EVERY_TIME}))
def test_an_outage_costs_no_item(start: Start, kind: str, seconds: int, begins: str) -> None:
    """Whatever the provider fails with, for however long, at the start, in the middle or at the end: every item
    succeeds, few calls are wasted, and the batch is done soon after the provider is back."""
    shards, items = (1, 32) if begins == "end" else (4, 64)
    begin = {"start": 0.0, "middle": 12.0, "end": 4.0}[begins]

    async def behave(index: int, attempt: int) -> Outcome:
        if begin <= shop.clock() - EPOCH < begin + seconds:
            return await OUTAGES[kind]()
        await asyncio.sleep(2.0)
        return succeed(index)

    shop = start(behave)
    shop.max_in_flight = 32
    shop.new_process()
    took = play(shop, [shop.message(items, number=number) for number in range(shards)])
    outcomes = [shop.outcomes(number) for number in range(shards)]
    assert outcomes == [{"succeeded": items}] * shards
    wasted = sum(shop.provider.received.values()) - shards * items
    assert wasted <= 2 * 32, "what was in flight when it began, and hardly more"
    assert took < begin + seconds + 120
    assert shop.lanes.health(LANE).state is LaneState.CLOSED


@pytest.mark.parametrize("seconds", [25.0, 90.0, 400.0])
def test_slow_calls_are_never_given_up(start: Start, seconds: float) -> None:
    """A lane of which nothing is known yet, whose calls take minutes while witnesses get through at once: each item is
    called once, and the lane is asked a few times only."""

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(0.5 if index < 0 else seconds + index % 7 * seconds / 10)
        return succeed(index)

    shop = start(behave)
    shop.work(shop.message(100), seconds=10_000)
    assert shop.outcomes() == {"succeeded": 100}
    assert set(shop.provider.received.values()) == {1}
    assert shop.witnesses <= 2 * 5
    assert shop.lanes.health(LANE).state is LaneState.CLOSED


def test_a_lane_whose_witnesses_are_slow_too_is_not_in_trouble(start: Start) -> None:
    """Whatever is sent takes two minutes: each item is called once."""
    shop = start(after(120.0))
    shop.work(shop.message(100), seconds=10_000)
    assert shop.outcomes() == {"succeeded": 100}
    assert set(shop.provider.received.values()) == {1}
    assert shop.witnesses <= 6
    assert shop.lanes.health(LANE).state is LaneState.CLOSED


def test_a_lane_that_cannot_send_scouts_asks_seldom(start: Start) -> None:
    """All its items hang from the start, and it ends before anybody looks: nobody knows that they are not just long.
    They end by their own timeout, and the lane is asked a few times meanwhile."""

    async def behave(index: int, attempt: int) -> Outcome:
        if shop.clock() - EPOCH < 5:
            return await hangs()
        await asyncio.sleep(0.5)
        return succeed(index)

    shop = start(behave)
    play(shop, [shop.message(20)])
    assert shop.outcomes() == {"succeeded": 20}
    assert shop.witnesses <= 2 * 5 + 8


def test_half_of_all_calls_failing_fails_no_item(start: Start) -> None:
    """A coin decides about every call for ten minutes: tries would be used up by chance, were they counted."""
    coins = iter(bytes.fromhex("5a3c96e1d2b4871f0ff0a55ac33c69961ee1d22d4bb48778" * 4000))

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(0.5)
        if shop.clock() - EPOCH < 600 and next(coins) & 1:
            return status(503)
        return succeed(index)

    shop = start(behave)
    shop.max_in_flight = 32
    shop.new_process()
    play(shop, [shop.message(64, number=number) for number in range(4)])
    assert [shop.outcomes(number) for number in range(4)] == [{"succeeded": 64}] * 4


def test_items_that_always_fail_fail_although_nobody_else_is_there(start: Start) -> None:
    """A witness gets through: it is the items' fault, however many there are, and they fail by their own tries."""

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(0.2)
        return succeed(index) if index < 0 else status(500)

    shop = start(behave)
    took = play(shop, [shop.message(40)])
    assert shop.outcomes() == {"failed": 40}
    assert set(shop.provider.received.values()) == {5}
    assert took < 120


def test_a_row_that_cannot_be_reached_costs_no_answer(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """All workers of a lane write one row, so that it may be throttled: for as long as nothing can be said there, from
    the start of a run to its end, its calls go on, and what they bring is kept. No item is called twice."""
    shop = start(after(9.0))
    shop.gates.of(LANE).pacer.begin_with(4)
    message = shop.message(16)
    report = shop.lanes.report

    def say_no_more(*args: Any, **options: Any) -> LaneView:
        raise ConnectionError("throttled")

    def join(*args: Any) -> LaneView:
        monkeypatch.setattr(shop.lanes, "report", say_no_more)
        return report(*args)

    monkeypatch.setattr(shop.lanes, "report", join)
    monkeypatch.setattr(shop.lanes, "look", say_no_more)
    shop.watch_of(message)._read_at = shop.clock()
    assert shop.work(message) == []
    assert shop.outcomes() == {"succeeded": 16}
    assert set(shop.provider.received.values()) == {1}


def test_what_could_not_be_told_of_a_lane_is_told_later(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row cannot be written when the lane is found to be down: it is once it can be, and until then this worker
    keeps to what it knows."""
    shop = start(after(1.0, lambda index: status(503)))
    message = shop.message(40)
    row_is_away_until = shop.clock() + 20
    opened = shop.lanes.open

    def open_later(*args: Any) -> LaneHealth:
        if shop.clock() < row_is_away_until:
            raise ConnectionError("throttled")
        return opened(*args)

    monkeypatch.setattr(shop.lanes, "open", open_later)
    assert shop.work(message) == []
    assert shop.lanes.health(LANE).state is LaneState.CLOSED and shop.watch_of(message).is_in_trouble
    calls = shop.provider.received.total()
    shop.loop.advance(21)
    assert shop.work(message) == []
    assert shop.lanes.health(LANE).state is LaneState.OPEN
    assert shop.provider.received.total() == calls


def test_one_item_alone_waits_out_an_outage(start: Start) -> None:
    """A batch of one item has nobody to compare itself with but a witness."""

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(0.2)
        return status(503) if shop.clock() - EPOCH < 3600 else succeed(index)

    shop = start(behave)
    took = play(shop, [shop.message(1)])
    assert shop.outcomes() == {"succeeded": 1}
    assert 3600 <= took < 3660
    assert shop.witnesses < 3600 / 10


def test_a_lane_in_trouble_at_the_deadline_fails_nothing(start: Start) -> None:
    """What never got through is left for `batch_expired`, and its message ends with the batch."""
    shop = start(after(0.2, lambda index: status(503)))
    message = shop.message(20, expires_at=int(EPOCH) + 300)
    with contextlib.suppress(AssertionError):
        play(shop, [message], until=400)
    assert shop.outcomes() == {}
    assert shop.clock() - EPOCH < 400


def test_nobody_waits_inside_a_worker(start: Start) -> None:
    """While the lane is open an invocation is over at once; the wait is the message's."""
    shop = start(after(0.2, lambda index: status(503)))
    messages = [shop.message(20, number=number) for number in range(3)]
    shop.work(*messages)
    assert shop.lanes.health(LANE).state is LaneState.OPEN
    begun, calls = shop.clock(), sum(shop.provider.received.values())
    shop.work(*messages)
    assert shop.clock() - begun < 1
    assert sum(shop.provider.received.values()) == calls
    assert all(1 <= delay <= 20 for _, delay in shop.queues.sent)


def test_one_probe_at_a_time(start: Start) -> None:
    """Two workers come when the probe is due: one of them sends one witness, the other one nothing."""
    shop = start(after(0.2, lambda index: status(503)))
    shop.work(shop.message(20))
    witnesses = shop.witnesses
    shop.loop.advance(10)
    shop.work(*(shop.message(5, number=number) for number in (1, 2)))
    shop.new_process()
    shop.work(shop.message(5, number=3))
    assert shop.witnesses == witnesses + 1


def test_a_rotated_key_is_read_again_at_once(start: Start) -> None:
    """The key is refused, the lane blocks, the cached key is forgotten, and the next probe finds the new one."""

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(0.2)
        if shop.forgotten_keys == 0:
            return Answer(401, b"{}", failure=FailureReason.KEY_REFUSED)
        return succeed(index)

    shop = start(behave)
    took = play(shop, [shop.message(20)])
    assert shop.outcomes() == {"succeeded": 20}
    assert took < 20


def test_a_callers_own_key_is_the_callers_error(start: Start) -> None:
    """Nobody here can mend a key that came with the batch: its items fail, and no lane blocks."""
    shop = start(after(0.2, lambda index: Answer(401, b'{"error":{}}', failure=FailureReason.KEY_REFUSED)))
    shop.work(shop.message(5, caller_pays=True))
    assert shop.outcomes() == {"failed": 5}
    assert set(shop.provider.received.values()) == {1}
    assert shop.lanes.health(LaneId("openai", "m", "acct_a")).state is LaneState.CLOSED


TOO_DEAR = Answer(402, b'{"error":{"message":"fewer max_tokens"}}', failure=FailureReason.UNAFFORDABLE)


def test_an_item_that_costs_more_than_is_left_fails_alone(start: Start) -> None:
    """Others get through meanwhile: it fails by its own tries, with the provider's words, and nobody waits for it."""

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(0.5 + 0.5 * max(index, 0))
        return TOO_DEAR if index == 3 else succeed(index)

    shop = start(behave)
    shop.work(shop.message(80))
    assert shop.outcomes() == {"succeeded": 79, "failed": 1}
    assert shop.provider.received[3] == 5
    assert shop.lines()[3]["response"]["status_code"] == 402


def test_items_that_all_cost_more_than_is_left_wait_for_money(start: Start) -> None:
    """A witness still gets through for next to nothing: the lane is blocked all the same, and no item fails."""

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(0.2)
        return TOO_DEAR if index >= 0 and shop.clock() - EPOCH < 900 else succeed(index)

    shop = start(behave)
    message = shop.message(40)
    shop.work(message)
    health = shop.lanes.health(LANE)
    assert (health.state, health.reason) == (LaneState.BLOCKED, "out_of_money")
    play(shop, [message])
    assert shop.outcomes() == {"succeeded": 40}


def test_a_callers_own_money_is_the_callers_error(start: Start) -> None:
    """Nobody here can pay for a key that came with the batch: its items fail at once, and no lane waits."""
    shop = start(after(0.2, lambda index: TOO_DEAR))
    shop.work(shop.message(5, caller_pays=True))
    assert shop.outcomes() == {"failed": 5}
    assert set(shop.provider.received.values()) == {1}
    assert shop.lanes.health(LaneId("openai", "m", "acct_a")).state is LaneState.CLOSED


def test_a_settled_shard_settles_though_its_lane_is_in_trouble(start: Start) -> None:
    """Its owner may have died before that was through: the batch must not wait for a provider it no longer needs."""

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(0.2)
        return succeed(index) if 0 <= index < 5 else status(503)

    shop = start(behave)
    message = shop.message(5)
    shop.work(message)
    shop.work(shop.message(20, number=1))
    assert shop.lanes.health(LANE).state is LaneState.OPEN
    settled = len(shop.settled)
    shop.work(message)
    assert len(shop.settled) == settled + 1


def test_a_lane_that_another_worker_opened_is_open(start: Start) -> None:
    """A worker in the middle of its run learns of it within seconds, and stops."""
    shop = start(after(2.0))
    message = shop.message(60, concurrency=1)

    async def open_it_later() -> None:
        await asyncio.sleep(10)
        health = replace(shop.lanes.health(LANE), state=LaneState.OPEN, probe_at=int(shop.clock()) + 15)
        shop.lanes.open(LANE, health, int(shop.clock()))

    task: Any = shop.loop.create_task(open_it_later())
    shop.work(message)
    assert task.done()
    assert shop.clock() - EPOCH < 20
    assert shop.queues.sent and shop.outcomes()["succeeded"] < 10
