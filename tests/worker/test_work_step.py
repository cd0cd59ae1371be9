"""The work step against real rows and objects: one item, one result, whatever happens to provider and worker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from batchyard.adapters.providers.translator import Untranslatable, refusal
from batchyard.core.batches import Ending
from batchyard.core.calls import Answer, NoAnswer
from batchyard.core.estimates import Room
from batchyard.core.lanes import Lane, Mode
from batchyard.core.parts import lane_of
from batchyard.core.retry import FailureReason, RetryAdvice, read_retry_advice
from batchyard.core.shards import LeaseHeld, ShardFenced, ShardState
from batchyard.core.usage import REFUSED_USAGE, Usage
from batchyard.worker.gate import Gates
from simulation.memory_objects import memory_objects
from simulation.memory_table import memory_shards
from simulation.virtual_time import EPOCH
from tests.worker.workshop import (
    BATCH_ID,
    LIMITS,
    PRICE,
    TIMED_OUT,
    Killed,
    Outcome,
    ScriptedProvider,
    Workshop,
    after,
    status,
    succeed,
)

Start = Callable[..., Workshop]


@pytest.fixture
def start() -> Iterator[Start]:
    """Makes a workshop around a provider's behaviour."""
    made = []

    def make(behave: Callable[[int, int], Awaitable[Outcome]], **settings: Any) -> Workshop:
        made.append(Workshop(memory_shards(), memory_objects(), ScriptedProvider(behave), **settings))
        return made[-1]

    yield make
    for workshop in made:
        workshop.close()


def row_of(shop: Workshop, number: int = 0) -> Any:
    row = shop.shards.get(BATCH_ID, number)
    assert row is not None
    return row


def test_a_shard_runs_at_once_and_settles(start: Start) -> None:
    """All items in flight together, one part, one settlement, with usage and cost of every item."""
    shop = start(after(3.0))
    message = shop.message(40)
    assert shop.work(message) == []
    assert shop.outcomes() == {"succeeded": 40}
    row = row_of(shop)
    assert (row.state, len(row.parts)) == (ShardState.SETTLED, 1)
    assert row.tally.usage == Usage(400, 160, 200, 80)
    assert row.tally.cost_picousd == 40 * (6 * 2_000_000 + 4 * 1_000_000 + 5 * 10_000_000)
    assert [(message, row)] == shop.settled
    assert shop.provider.most_in_flight == 40 and shop.clock() - EPOCH < 4
    line = shop.lines()[7]
    assert line["custom_id"] == "item-7" and line["error"] is None
    assert line["response"] == {"status_code": 200, "request_id": "req_7", "body": {"n": 7}}


def test_an_item_in_flex_costs_its_share_of_realtime(start: Start) -> None:
    """And what realtime would have cost stands beside it."""
    shop = start(after(3.0))
    shop.work(shop.message(4, mode=Mode.FLEX))
    tally = row_of(shop).tally
    assert tally.realtime_picousd == 2 * tally.cost_picousd == 4 * PRICE.cost_picousd(succeed(0).usage)


def test_what_a_vendor_cannot_do_fails_at_once_and_says_nothing_about_the_lane(start: Start) -> None:
    """One try each, with the error that names the parameter; the lane neither looks better nor worse for it."""
    refused = refusal(Untranslatable("'seed' cannot be expressed.", "seed"), "/v1/chat/completions")

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(0)
        return refused

    shop = start(behave)
    message = shop.message(20)
    assert shop.work(message) == []
    assert shop.outcomes() == {"failed": 20}
    line = shop.lines()[3]
    assert line["error"] is None and line["response"]["status_code"] == 400
    assert line["response"]["body"]["error"]["param"] == "seed"
    assert shop.meter.retries == 0 and shop.meter.failures == {FailureReason.UNSUPPORTED: 20}
    assert not shop.watch_of(message).has_been_well_since(0)


def test_several_shards_share_the_loop(start: Start) -> None:
    """The shards of one invocation run side by side, not one after the other."""
    shop = start(after(2.0))
    messages = [shop.message(10, number=number) for number in range(3)]
    assert shop.work(*messages) == []
    assert [shop.outcomes(number) for number in range(3)] == [{"succeeded": 10}] * 3
    assert shop.clock() - EPOCH == pytest.approx(2.0, abs=0.1)


def test_a_hint_bounds_the_shards_calls(start: Start) -> None:
    """`concurrency` is a ceiling on calls in flight within the shard."""
    shop = start(after(1.0))
    shop.work(shop.message(20, concurrency=3))
    assert shop.outcomes() == {"succeeded": 20}
    assert shop.provider.most_in_flight == 3


def test_a_storm_of_429s_loses_nothing_and_costs_no_retry(start: Start) -> None:
    """A provider that takes 20 calls a second gets all items done, however often it says no."""
    tokens = {"left": 20.0, "at": EPOCH}
    refused = 0

    async def behave(index: int, attempt: int) -> Outcome:
        nonlocal refused
        await asyncio.sleep(0.05)
        now = shop.clock()
        tokens["left"] = min(20.0, tokens["left"] + 20 * (now - tokens["at"]))
        tokens["at"] = now
        if tokens["left"] < 1:
            refused += 1
            return status(429, RetryAdvice(retry_after_seconds=1.0))
        tokens["left"] -= 1
        return succeed(index)

    shop = start(behave)
    shop.retry = replace(shop.retry, max_attempts=1)
    assert shop.work(shop.message(256)) == []
    assert shop.outcomes() == {"succeeded": 256}
    assert shop.clock() - EPOCH < 60
    assert 0 < refused < 256
    assert shop.queues.sent == []


def test_a_429_without_advice_ends_too(start: Start) -> None:
    """Without a Retry-After, backoff alone gets through."""

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(0.1)
        return status(429) if attempt <= 6 else succeed(index)

    shop = start(behave)
    shop.run_to_the_end(shop.message(16))
    assert shop.outcomes() == {"succeeded": 16}


@pytest.mark.parametrize("code", [500, 408, 409, 529])
def test_retries_run_out_with_the_providers_last_answer(start: Start, code: int) -> None:
    """Five calls, then the answer goes to the error file as OpenAI writes it: response set, error null."""
    shop = start(after(0.1, lambda index: status(code) if index in (0, 1, 2) else succeed(index)))
    shop.work(shop.message(5))
    assert shop.outcomes() == {"failed": 3, "succeeded": 2}
    assert set(shop.provider.received.values()) == {5, 1}
    line = shop.lines()[0]
    assert line["error"] is None
    assert line["response"]["status_code"] == code
    assert line["response"]["body"] == {"error": {"message": "no"}}


def test_a_rejected_item_is_sent_once(start: Start) -> None:
    """A 400 is final and hurts no other item."""

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(0.1)
        return status(400) if index == 3 else succeed(index)

    shop = start(behave)
    shop.work(shop.message(8))
    assert shop.outcomes() == {"succeeded": 7, "failed": 1}
    assert set(shop.provider.received.values()) == {1}


def test_token_counts_that_cannot_be_true_cost_nothing(start: Start) -> None:
    """The item succeeds, its bill is 0, and the meter says how many there were."""

    def answer(index: int) -> Answer:
        return replace(succeed(index), usage=REFUSED_USAGE) if index == 1 else succeed(index)

    shop = start(after(0.1, answer))
    shop.run_to_the_end(shop.message(3))
    assert shop.outcomes() == {"succeeded": 3}
    assert shop.meter.usages_refused == 1
    row = shop.shards.get(BATCH_ID, 0)
    assert row is not None and row.tally.cost_picousd == 2 * PRICE.cost_picousd(succeed(0).usage)


@pytest.mark.parametrize(
    ("reason", "calls"),
    [
        (FailureReason.TIMEOUT, 5),
        (FailureReason.CONNECTION, 5),
        (FailureReason.INVALID_RESPONSE, 5),
        (FailureReason.TOO_LARGE, 1),
    ],
)
def test_no_answer_becomes_an_error_code(start: Start, reason: FailureReason, calls: int) -> None:
    """Without an answer the line has response null and says why."""
    shop = start(after(0.1, lambda index: NoAnswer(reason) if index >= 0 else succeed(index)))
    shop.work(shop.message(2))
    assert shop.lines()[1]["response"] is None
    assert shop.lines()[1]["error"] == {"code": str(reason), "message": reason.message}
    assert set(shop.provider.received.values()) == {calls}


def test_results_are_flushed_while_others_still_run(start: Start) -> None:
    """A part every few seconds: a crash can repeat no more than that."""

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(index)
        return succeed(index)

    shop = start(behave)
    shop.work(shop.message(30))
    row = row_of(shop)
    assert row.state is ShardState.SETTLED
    assert 5 <= len(row.parts) <= 7
    assert shop.outcomes() == {"succeeded": 30}


def test_the_last_few_items_wait_for_each_other(start: Start) -> None:
    """A shard whose last calls end a few seconds after the rest makes one part; not if they take much longer."""
    for number, last_call_seconds, parts in ((0, 9.0, 1), (1, 30.0, 2)):

        async def behave(index: int, attempt: int, last_call_seconds: float = last_call_seconds) -> Outcome:
            is_slow = index % 24 > 20 and index >= 0  # a witness, item -1, takes what most calls take
            await asyncio.sleep(last_call_seconds if is_slow else 1.0)
            return succeed(index)

        shop = start(behave)
        shop.work(shop.message(24, number=number))
        assert len(row_of(shop, number).parts) == parts
        assert shop.outcomes(number) == {"succeeded": 24}


def test_large_answers_are_flushed_by_size(start: Start) -> None:
    """Memory stays bounded: what waits for a part is limited in bytes too."""
    shop = start(
        after(1.0, lambda index: Answer(200, b'{"x":"%s"}' % (b"y" * 500))), limits=replace(LIMITS, flush_bytes=1000)
    )
    shop.work(shop.message(20, concurrency=1))
    assert len(row_of(shop).parts) >= 9


def test_answers_that_wait_for_their_flush_hold_back_new_calls(start: Start) -> None:
    """Bytes in flight and bytes held stay within bounds together, and every item gets its turn."""
    most = 0

    async def behave(index: int, attempt: int) -> Outcome:
        nonlocal most
        await asyncio.sleep(1)
        most = max(most, shop.gates.memory.held_bytes + shop.provider.in_flight * 100_000)
        return Answer(200, b'{"x":"%s"}' % (b"y" * 100_000))

    shop = start(behave, limits=replace(LIMITS, flush_bytes=1_000_000))
    shop.gates = Gates(512, shop.clock, memory_bytes=2_000_000)
    shop.work(shop.message(100))
    assert shop.outcomes() == {"succeeded": 100}
    assert most <= 64 * 100_000 + 2_000_000, "the first calls are let in before any size is known"
    assert shop.gates.memory.held_bytes == 0
    most = 0
    shop.work(shop.message(100, number=1))
    assert shop.outcomes(1) == {"succeeded": 100}
    assert most <= 2_100_000


def test_long_calls_keep_the_lease(start: Start) -> None:
    """Heartbeats: at no moment of a five minute call can anybody else claim the shard."""
    refused = []

    async def behave(index: int, attempt: int) -> Outcome:
        for _ in range(30):
            await asyncio.sleep(10)
            now = int(shop.clock())
            with pytest.raises(LeaseHeld):
                shop.shards.claim(BATCH_ID, 0, "thief", now, now + 60)
            refused.append(now)
        return succeed(index)

    shop = start(behave)
    shop.work(shop.message(1))
    assert len(refused) == 30
    assert shop.outcomes() == {"succeeded": 1}


def test_a_short_lease_is_kept_in_time(start: Start) -> None:
    """A lease that is shorter than the worker's tick hears of its owner every third of its time."""
    shop = start(after(4.0), limits=replace(LIMITS, lease_seconds=1))
    told = []
    heartbeat = shop.shards.heartbeat

    def timed(*args: Any, **kwargs: Any) -> Any:
        told.append(shop.clock())
        return heartbeat(*args, **kwargs)

    shop.shards.heartbeat = timed  # type: ignore[method-assign]
    shop.work(shop.message(1))
    assert len(told) >= 11
    assert max(later - sooner for sooner, later in pairwise(told)) < 0.4


def test_a_lease_lost_before_the_first_call_costs_none(start: Start) -> None:
    """A worker that takes longer to get ready than its lease lasts finds out before it calls anybody."""
    shop = start(after(1.0))
    get = shop.objects.get

    def slow(*args: Any, **kwargs: Any) -> bytes:
        shop.loop.advance(70.0)
        now = int(shop.clock())
        shop.shards.claim(BATCH_ID, 0, "the next one", now, now + 60)
        return get(*args, **kwargs)

    shop.objects.get = slow  # type: ignore[method-assign]
    shop.work(shop.message(4))
    assert sum(shop.provider.received.values()) == 0
    assert row_of(shop).owner == "the next one"


@pytest.mark.parametrize("is_overtaken", [True, False])
def test_who_stood_still_starts_no_call_without_a_lease(start: Start, is_overtaken: bool) -> None:
    """A process that was frozen for longer than its lease learns whose the shard is before it calls anybody again: what
    another runs is not paid for twice, and what nobody took goes on."""
    freezes = [True]

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(1)
        if index == 2 and freezes:
            freezes.clear()
            shop.loop.advance(70.0)
            now = int(shop.clock())
            if is_overtaken:
                shop.shards.claim(BATCH_ID, 0, "the next one", now, now + 60)
        return succeed(index)

    shop = start(behave)
    assert shop.work(shop.message(20, concurrency=4)) == []
    if is_overtaken:
        assert sum(shop.provider.received.values()) == 4
        assert row_of(shop).owner == "the next one"
    else:
        assert shop.outcomes() == {"succeeded": 20}
        assert set(shop.provider.received.values()) == {1}


def test_out_of_time_hands_back_what_is_left(start: Start) -> None:
    """What is done stays, a hanging call is cut off, the message goes out again, and the next worker may start."""

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(10_000 if index == 5 and attempt == 1 else 2)
        return succeed(index)

    shop = start(behave)
    message = shop.message(10)
    assert shop.work(message, seconds=100) == []
    assert shop.clock() - EPOCH == pytest.approx(100, abs=2)
    assert shop.outcomes() == {"succeeded": 9}
    row = row_of(shop)
    assert (row.state, row.lease_until, row.attempts) == (ShardState.OPEN, 0, 0)
    assert shop.queues.sent == [(message, 0)] and shop.settled == []
    assert shop.work(message) == []
    assert shop.outcomes() == {"succeeded": 10}
    assert sum(shop.provider.received.values()) == 11


def test_no_call_starts_that_cannot_end(start: Start) -> None:
    """Near the end of an invocation nothing is started that would be cut off: no call is paid for twice."""
    shop = start(after(30.0))
    message = shop.message(50, concurrency=5)
    assert shop.run_to_the_end(message, seconds=100) >= 3
    assert shop.outcomes() == {"succeeded": 50}
    assert set(shop.provider.received.values()) == {1}


@pytest.mark.parametrize(("call_seconds", "seconds"), [(1.7, 30.0), (1.9, 33.9), (2.3, 31.5), (3.7, 33.3)])
def test_no_call_starts_just_before_the_next_look(start: Start, call_seconds: float, seconds: float) -> None:
    """A run looks once a second whether to stop. A call that ends after the last moment at which another one may start,
    and before the next look, is followed by none: that would be cut off and paid for twice."""
    shop = start(after(call_seconds))
    message = shop.message(120, concurrency=5)
    assert shop.run_to_the_end(message, seconds=seconds) > 1
    assert shop.outcomes() == {"succeeded": 120}
    assert set(shop.provider.received.values()) == {1}


def test_an_item_that_only_ever_times_out_fails_in_the_end(start: Start) -> None:
    """A full timeout, then the end of the invocation: it would go on like this until the deadline."""
    shop = start(after(60.0, lambda index: TIMED_OUT if index == 1 else succeed(index)))
    message = shop.message(4)
    shop.run_to_the_end(message, seconds=100)
    assert shop.outcomes() == {"succeeded": 3, "failed": 1}
    assert shop.lines()[1]["error"]["code"] == "request_timeout"


def test_a_long_pause_frees_the_worker(start: Start) -> None:
    """Retry-After of five minutes: the shard goes back to the queue for that long, as no failed attempt."""

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(1)
        return status(429, RetryAdvice(retry_after_seconds=300.0)) if index == 2 and attempt == 1 else succeed(index)

    shop = start(behave)
    message = shop.message(6, concurrency=2)
    assert shop.work(message) == []
    ((again, delay),) = shop.queues.sent
    assert again == message and 295 <= delay <= 301
    assert shop.clock() - EPOCH < 10
    assert (row_of(shop).lease_until, row_of(shop).attempts) == (0, 0)
    shop.loop.advance(delay)
    shop.work(message)
    assert shop.outcomes() == {"succeeded": 6}


def test_a_days_pause_waits_no_longer_than_sqs_can(start: Start) -> None:
    """DelaySeconds is at most 900."""
    shop = start(after(1.0, lambda index: status(429, RetryAdvice(retry_after_seconds=80_000.0))))
    shop.work(shop.message(2))
    assert shop.queues.sent[0][1] == 900


@pytest.mark.parametrize("code", [429, 500])
def test_a_pause_until_the_deadline_does_not_take_it(start: Start, code: int) -> None:
    """An hour of answers with a Retry-After of a day, as headers say it: the shard comes back until they have ended."""

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(1)
        is_well = shop.clock() >= EPOCH + 3600
        return succeed(index) if is_well else status(code, read_retry_advice({"retry-after": "86400"}, EPOCH))

    shop = start(behave)
    shop.run_to_the_end(shop.message(40), deliveries=400)
    assert shop.outcomes() == {"succeeded": 40}
    assert shop.clock() < EPOCH + 3600 + 2 * 900


def test_a_short_pause_is_waited_for(start: Start) -> None:
    """Seconds are not worth a message."""

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(1)
        return status(429, RetryAdvice(retry_after_seconds=20.0)) if attempt == 1 else succeed(index)

    shop = start(behave)
    shop.work(shop.message(4))
    assert shop.outcomes() == {"succeeded": 4}
    assert shop.queues.sent == []


def test_another_model_is_not_held_back(start: Start) -> None:
    """One lane's pause is no other lane's business."""

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(1)
        return status(429, RetryAdvice(retry_after_seconds=25.0)) if index < 10 and attempt == 1 else succeed(index)

    shop = start(behave)
    slow, fast = shop.message(10), shop.message(10, number=1, model="other")
    shop.work(slow, fast)
    assert row_of(shop, 1).lease_until < EPOCH + 63, "the fast lane settled at once"
    assert shop.outcomes(0) == shop.outcomes(1) == {"succeeded": 10}


def test_a_fence_lets_calls_in_flight_end(start: Start) -> None:
    """Cancelled mid-way: no new calls, in-flight ones are kept, the shard is given up, the message is done."""
    shop = start(after(12.0))
    message = shop.message(20, concurrency=4)

    async def cancel_soon() -> None:
        await asyncio.sleep(14)
        shop.shards.fence(BATCH_ID, 0, Ending.CANCELLED)

    task = shop.loop.create_task(cancel_soon())
    assert shop.work(message) == []
    assert task.done()
    assert shop.queues.sent == [] and shop.settled == []
    done = shop.outcomes()["succeeded"]
    assert done == sum(shop.provider.received.values()) and 8 <= done <= 12
    assert row_of(shop).lease_until == 0
    with pytest.raises(ShardFenced):
        shop.shards.claim(BATCH_ID, 0, "other", int(shop.clock()), int(shop.clock()) + 60)
    assert shop.work(message) == [], "the message of a fenced shard is done with"


def test_a_fence_cuts_off_what_takes_too_long(start: Start) -> None:
    """In-flight calls get the drain time, no more."""
    shop = start(after(500.0))
    message = shop.message(3)

    async def cancel_soon() -> None:
        await asyncio.sleep(2)
        shop.shards.fence(BATCH_ID, 0, Ending.CANCELLED)

    task = shop.loop.create_task(cancel_soon())
    shop.work(message)
    assert task.done()
    assert shop.clock() - EPOCH < 2 + 20 + LIMITS.drain_seconds + 2


def test_nothing_outlives_the_deadline(start: Start) -> None:
    """At expires_at calls are cut off, finished items are kept, and no message goes on living."""

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(2 if index < 3 else 500)
        return succeed(index)

    shop = start(behave)
    message = shop.message(5, expires_at=int(EPOCH) + 50)
    assert shop.work(message) == []
    assert shop.clock() - EPOCH == pytest.approx(50, abs=1)
    assert shop.outcomes() == {"succeeded": 3}
    assert row_of(shop).state is ShardState.OPEN
    assert shop.queues.sent == []
    calls = sum(shop.provider.received.values())
    assert shop.work(message) == []
    assert sum(shop.provider.received.values()) == calls


def test_retries_stop_at_the_deadline(start: Start) -> None:
    """An item that may only be tried again after the deadline is left to expire, not failed."""
    shop = start(after(1.0, lambda index: status(503, RetryAdvice(retry_after_seconds=25.0))))
    shop.work(shop.message(2, expires_at=int(EPOCH) + 20))
    assert shop.outcomes() == {}
    assert shop.queues.sent == []
    assert shop.clock() - EPOCH < 3, "nobody waits for what can no longer happen"


def test_a_lost_lease_drops_everything(start: Start) -> None:
    """An owner that was overtaken writes nothing more, and its calls are cut off."""
    shop = start(after(3.0))
    message = shop.message(10, concurrency=1)

    async def overtake() -> None:
        await asyncio.sleep(10)
        shop.shards.release(BATCH_ID, row_of(shop))
        now = int(shop.clock())
        shop.shards.claim(BATCH_ID, 0, "overtaker", now, now + 60)

    task = shop.loop.create_task(overtake())
    assert shop.work(message) == []
    assert task.done()
    assert shop.queues.sent == [] and shop.settled == []
    assert shop.provider.in_flight == 0
    row = row_of(shop)
    assert row.owner == "overtaker" and shop.outcomes()["succeeded"] == row.tally.items
    shop.loop.advance(100)
    shop.work(message)
    assert shop.outcomes() == {"succeeded": 10}


def test_a_duplicate_of_a_settled_shard_settles_again(start: Start) -> None:
    """Whoever settled it may have died before the follower was sent, so a duplicate repeats that, and says that it is
    one: no follower is sent for a shard that has reported (tests/steps/test_settle.py)."""
    shop = start(after(1.0))
    message = shop.message(5, follower=1)
    shop.work(message)
    assert ([m.follower for m, _ in shop.settled], shop.settled_again) == ([1], 0)
    shop.work(message)
    assert ([m.follower for m, _ in shop.settled], shop.settled_again) == ([1, 1], 1)
    assert sum(shop.provider.received.values()) == 5


def test_a_duplicate_of_a_running_shard_waits_for_its_lease(start: Start) -> None:
    """Delivered twice to one worker: one run, and the other message comes back when the lease is over."""
    shop = start(after(1.0))
    message = shop.message(5)
    assert shop.work(message, message) == []
    assert sum(shop.provider.received.values()) == 5
    ((again, delay),) = shop.queues.sent
    assert again == message and 60 <= delay <= 62
    assert len(shop.settled) == 1


def test_a_crash_between_part_and_row_counts_nothing_twice(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that no row names is as if never written; its items run again, no others do."""
    shop = start(after(1.0))
    message = shop.message(16, concurrency=2)
    flush = shop.shards.flush
    flushes = 0

    def dies_the_second_time(*args: Any, **kwargs: Any) -> Any:
        nonlocal flushes
        flushes += 1
        if flushes == 2:
            raise Killed
        return flush(*args, **kwargs)

    monkeypatch.setattr(shop.shards, "flush", dies_the_second_time)
    shop.run_to_the_end(message)
    assert shop.deaths == 1
    assert shop.outcomes() == {"succeeded": 16}
    assert sum(shop.provider.received.values()) <= 16 + 12
    assert shop.provider.received[0] == 1, "what was flushed before the crash does not run again"


@pytest.mark.parametrize("effect", ["nothing was done", "it was done"])
def test_any_one_call_to_aws_may_fail(start: Start, monkeypatch: pytest.MonkeyPatch, effect: str) -> None:
    """Call number 1, 2, 3, … fails, before or after it took effect: every item still has one result."""
    shop = start(after(3.0))
    calls = failing = 0

    def breakable(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls != failing:
                return function(*args, **kwargs)
            if effect == "it was done":
                function(*args, **kwargs)
            raise ConnectionError("AWS is away")

        return call

    for owner, name in [
        (shop.shards, "claim"),
        (shop.shards, "flush"),
        (shop.shards, "heartbeat"),
        (shop.shards, "release"),
        (shop.objects, "get"),
        (shop.objects, "put"),
        (shop.queues, "send"),
    ]:
        monkeypatch.setattr(owner, name, breakable(getattr(owner, name)))
    for number in range(1, 30):
        calls, failing = 0, 0
        message = shop.message(12, number=number, concurrency=2)
        calls, failing = 0, number
        shop.run_to_the_end(message, seconds=16)
        reached = calls >= failing
        failing = 0
        assert shop.outcomes(number) == {"succeeded": 12}
        if not reached:
            return
    raise AssertionError("the shard never got through without a fault")


def test_a_claim_whose_answer_got_lost_is_still_ours(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore repeats the write, finds the lease held, and it is held by us."""
    shop = start(after(1.0))
    claim = shop.shards.claim

    def twice(*args: Any, **kwargs: Any) -> Any:
        claim(*args, **kwargs)
        return claim(*args, **kwargs)

    monkeypatch.setattr(shop.shards, "claim", twice)
    assert shop.work(shop.message(5)) == []
    assert shop.outcomes() == {"succeeded": 5}


def test_one_bad_shard_fails_only_its_record(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected error is logged and comes back from SQS after the lease; the shard beside it is done."""
    shop = start(after(1.0))
    good, bad = shop.message(5), shop.message(5, number=1, run="nowhere")
    assert shop.work(bad, good) == ["0"]
    assert shop.outcomes(0) == {"succeeded": 5}
    assert shop.queues.postponed == [60]
    assert "shard 1, failed" in caplog.text
    shop.loop.advance(61)
    assert shop.work(bad, receives=4) == ["0"]
    assert shop.queues.postponed == [60, 480]


def test_an_item_that_breaks_our_own_code_is_found_too(start: Start) -> None:
    """A bug that one item sets off fails the shard a few times, then that item only."""

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(1)
        if index == 4:
            raise ZeroDivisionError
        return succeed(index)

    shop = start(behave)
    deliveries = shop.run_to_the_end(shop.message(8))
    assert shop.outcomes() == {"succeeded": 7, "failed": 1}
    assert shop.lines()[4]["error"]["code"] == "item_crashed_worker"
    assert deliveries <= 8


@pytest.mark.parametrize("seconds", [0.5, 8.0])
def test_a_poison_item_fails_and_the_rest_goes_on(start: Start, seconds: float) -> None:
    """An item that kills its worker, with flushes before it (slow calls) or without (fast ones), is found by running
    one at a time, well before SQS gives the message up after ten receives."""

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(seconds * (0.9 if index == 6 else 1))
        if index == 6:
            raise Killed
        return succeed(index)

    shop = start(behave)
    deliveries = shop.run_to_the_end(shop.message(10))
    assert shop.outcomes() == {"succeeded": 9, "failed": 1}
    line = shop.lines()[6]
    assert line["response"] is None and line["error"]["code"] == "item_crashed_worker"
    assert shop.deaths <= 7 and deliveries <= 8
    assert shop.provider.received[6] == shop.deaths


def test_two_poison_items_in_one_shard(start: Start) -> None:
    """Each takes its own blame, though together they outlast the receives that SQS gives a message."""

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(1)
        if index in (2, 5):
            raise Killed
        return succeed(index)

    shop = start(behave)
    assert shop.run_to_the_end(shop.message(8)) <= 12
    assert shop.outcomes() == {"succeeded": 6, "failed": 2}


def test_careful_mode_blames_nobody_for_a_pause(start: Start) -> None:
    """Handing back is no crash: an announced item that was only throttled is not failed for it."""
    crashes = 0

    async def behave(index: int, attempt: int) -> Outcome:
        nonlocal crashes
        await asyncio.sleep(1)
        if crashes < 2:
            crashes += 1
            raise Killed
        throttled = index == 0 and attempt <= crashes + 3
        return status(429, RetryAdvice(retry_after_seconds=100.0)) if throttled else succeed(index)

    shop = start(behave)
    shop.run_to_the_end(shop.message(3))
    assert shop.outcomes() == {"succeeded": 3}


def test_the_meter_counts_what_was_flushed(start: Start) -> None:
    """Metrics add up: calls, retries by reason, items by outcome."""

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(1)
        if index == 0 and attempt == 1:
            return status(429, RetryAdvice(retry_after_seconds=1.0))
        return status(400) if index == 1 else succeed(index)

    shop = start(behave)
    shop.work(shop.message(4))
    assert (shop.meter.calls, shop.meter.retries) == (5, 1)
    assert shop.meter.failures == {FailureReason.THROTTLED: 1, FailureReason.REJECTED: 1}
    assert (shop.meter.tally.succeeded, shop.meter.tally.failed) == (3, 1)
    assert shop.meter.shards == {"settled": 1} and shop.meter.provider == "openai"


def test_a_shard_says_why_its_items_were_sent_again(start: Start) -> None:
    """Its row has the retries of all its flushes by reason, and when it settled; nothing of either if there is none.
    And when its first call began, and its parts who answered."""
    codes = {(0, 1): 429, (0, 2): 500, (1, 1): 429, (2, 1): 409}

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(1)
        code = codes.get((index, attempt))
        return status(code, RetryAdvice(retry_after_seconds=7.0)) if code else succeed(index)

    shop = start(behave)
    shop.work(shop.message(8))
    row = row_of(shop)
    assert row.tally.succeeded == 8 and len(row.parts) > 1
    assert row.tally.retries == {"throttled": 2, "server_error": 1, "conflict": 1}
    assert EPOCH < row.settled_at <= shop.clock()
    assert row.first_call_at == int(EPOCH)
    assert {lane_of(shop.objects.get(key)) for key in row.parts} == {Lane("openai", "m")}
    quiet = start(after(1.0))
    quiet.work(quiet.message(2))
    assert row_of(quiet).tally.retries == {}


@pytest.mark.parametrize(("room", "sent_again"), [(Room.FULL, [30]), (Room.SPENT, [])])
def test_a_shard_that_does_not_fit_into_its_price_limit_is_handed_back(
    start: Start, room: Room, sent_again: list[int]
) -> None:
    """Nothing is called. While others run it comes again later; if none does, the batch is over its limit."""
    shop = start(after(1.0))
    shop.room = room
    message = shop.message(4, max_price_picousd=5, estimate_picousd=6)
    assert shop.work(message) == []
    assert not shop.provider.received
    assert [seconds for _, seconds in shop.queues.sent] == sent_again
    row = row_of(shop)
    assert (row.state, row.lease_until, row.attempts) == (ShardState.OPEN, 0, 0)
    shop.room = Room.FREE
    assert shop.work(message) == []
    assert shop.outcomes() == {"succeeded": 4}


def test_without_a_price_limit_nobody_asks(start: Start) -> None:
    """A shard of any other batch costs no write more."""
    shop = start(after(1.0))
    shop.room = Room.SPENT
    assert shop.work(shop.message(4)) == []
    assert shop.outcomes() == {"succeeded": 4}


def test_a_fault_while_asking_gives_the_shard_back(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no crash of the shard's, and its message comes back."""
    shop = start(after(1.0))
    monkeypatch.setattr(Workshop, "room", property(lambda self: 1 / 0), raising=False)
    message = shop.message(4, max_price_picousd=5)
    assert len(shop.work(message)) == 1
    assert (row_of(shop).lease_until, row_of(shop).attempts) == (0, 0)
