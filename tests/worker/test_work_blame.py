"""Who is blamed when a shard does not get through: the item that ends its workers, and nobody and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from unittest.mock import Mock

import pytest

from batchyard.worker.item_runner import Upstream
from batchyard.worker.shard_run import CRASH_CODE
from batchyard.worker.work import RECEIVES_AT_MOST
from simulation.memory_objects import memory_objects
from simulation.memory_table import memory_shards
from tests.worker.workshop import Killed, Outcome, ScriptedProvider, Workshop, after, succeed

Start = Callable[[Callable[[int, int], Awaitable[Outcome]]], Workshop]


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


def fails_first(function: Callable[..., Any], times: int) -> Callable[..., Any]:
    """`function`, whose first calls fail."""
    left = times

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        if left:
            left -= 1
            raise ConnectionError("AWS is away")
        return function(*args, **kwargs)

    return call


def test_an_outage_blames_no_item(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 stores no part for some minutes: no item is to blame, and afterwards all of them run at once as before."""
    shop = start(after(6.0))
    message = shop.message(8)
    put, parts = shop.objects.put, set()

    def put_after_five_owners(key: str, content: bytes) -> Any:
        parts.add(key)
        if len(parts) <= 5:
            raise ConnectionError("AWS is away")
        return put(key, content)

    monkeypatch.setattr(shop.objects, "put", put_after_five_owners)
    assert shop.run_to_the_end(message) == 6
    assert shop.outcomes() == {"succeeded": 8}
    assert set(shop.provider.received.values()) == {6}


def test_a_missing_key_slows_nothing_down_once_it_is_there(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deliveries that found no API key of the provider are no crashes: items need not run one at a time for them."""
    shop = start(after(1.0))
    found = fails_first(lambda: None, 5)
    upstream = shop.of

    async def upstream_once_there_is_a_key(message: Any) -> Upstream:
        found()
        return await upstream(message)

    monkeypatch.setattr(shop, "of", upstream_once_there_is_a_key)
    shop.run_to_the_end(shop.message(8))
    assert shop.outcomes() == {"succeeded": 8}
    assert shop.provider.most_in_flight == 8


def test_a_crash_next_door_blames_nobody(start: Start) -> None:
    """Two shards in one process, a poison item in one of them: the other shard loses nothing but time."""

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(2 if index < 6 else 1)
        if index == 9:
            raise Killed
        return succeed(index)

    shop = start(behave)
    shop.run_together(shop.message(6), shop.message(6, number=1))
    assert shop.outcomes(0) == {"succeeded": 6}
    assert shop.outcomes(1) == {"succeeded": 5, "failed": 1}
    assert shop.lines(1)[9]["error"]["code"] == "item_crashed_worker"


def test_two_suspicious_shards_of_a_process_run_one_after_the_other(start: Start) -> None:
    """Each has an item that ends its worker, so that both come to be run one item at a time: never side by side, or
    the end of one would be laid to the other, too. Each ends with its own item as the only one that failed."""
    in_flight: Counter[int] = Counter()
    together = 0

    async def behave(index: int, attempt: int) -> Outcome:
        nonlocal together
        in_flight[index // 6] += 1
        together += in_flight[0] == in_flight[1] == 1 and shop.deaths >= 3
        try:
            await asyncio.sleep(1.0)
            if index in (3, 9):
                raise Killed
            return succeed(index)
        finally:
            in_flight[index // 6] -= 1

    shop = start(behave)
    shop.run_together(shop.message(6), shop.message(6, number=1))
    assert together == 0
    assert shop.outcomes(0) == shop.outcomes(1) == {"succeeded": 5, "failed": 1}
    assert [shop.lines(number)[index]["error"]["code"] for number, index in ((0, 3), (1, 9))] == [CRASH_CODE] * 2


def test_kills_of_other_causes_blame_nobody(start: Start) -> None:
    """Worker after worker dies half a call or one and a half after it began, whatever it runs: no item is blamed for
    being the last word of three of them, and each answer of a suspect counts at once."""
    dies_at = 0.0

    async def behave(index: int, attempt: int) -> Outcome:
        left = dies_at - shop.clock()
        await asyncio.sleep(min(left, 1.0))
        if left < 1.0:
            raise Killed
        return succeed(index)

    shop = start(behave)
    message = shop.message(6)
    for number in range(40):
        dies_at = shop.clock() + (1.5 if number % 3 == 2 else 0.5)
        with contextlib.suppress(Killed):
            shop.work(message)
            break
        shop._bury()
        shop.loop.advance(90)
    assert shop.outcomes() == {"succeeded": 6}


def test_owners_that_died_before_they_ran_anything_slow_nothing_down(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five of them had claimed the shard, and no more: the sixth runs all items at once, as if it were the first."""
    shop = start(after(1.0))
    dies_early(shop, monkeypatch, times=5)
    shop.run_to_the_end(shop.message(8))
    assert shop.deaths == 5
    assert shop.outcomes() == {"succeeded": 8}
    assert shop.provider.most_in_flight == 8


@pytest.mark.parametrize("early_deaths", [0, 1, 3])
def test_poison_is_found_however_many_owners_died_before_it_ran(
    start: Start, monkeypatch: pytest.MonkeyPatch, early_deaths: int
) -> None:
    """It ends as its own failure, and costs as many workers as ever: three to suspect the shard, four to blame the
    item, the first of which need not have run any."""

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(1.0)
        if index == 3:
            raise Killed
        return succeed(index)

    shop = start(behave)
    dies_early(shop, monkeypatch, times=early_deaths)
    shop.run_to_the_end(shop.message(8))
    assert shop.outcomes() == {"succeeded": 7, "failed": 1}
    assert shop.lines()[3]["error"]["code"] == "item_crashed_worker"
    assert shop.deaths == max(7, 6 + early_deaths)


def dies_early(shop: Workshop, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """The first processes are killed between their claim and their first call."""
    left, upstream = times, shop.of

    async def of(message: Any) -> Upstream:
        nonlocal left
        if left:
            left -= 1
            raise Killed
        return await upstream(message)

    monkeypatch.setattr(shop, "of", of)


@pytest.mark.parametrize("receives", [1, RECEIVES_AT_MOST - 1, RECEIVES_AT_MOST])
def test_a_failed_message_leaves_no_copy(start: Start, receives: int) -> None:
    """The dead-letter queue tells the operator, and Sweep moves it back: with a copy beside it, there would be twice
    as many after every ten receives."""

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(1)
        raise ConnectionError

    shop = start(behave)
    assert shop.work(shop.message(3), receives=receives) == ["0"]
    assert shop.queues.sent == []


@pytest.mark.parametrize(("receives", "failed"), [(1, ["0"]), (RECEIVES_AT_MOST - 1, ["0"]), (RECEIVES_AT_MOST, [])])
def test_a_message_that_cannot_be_read_is_dropped_at_last(start: Start, receives: int, failed: list[str]) -> None:
    """On its last receive: nobody knows what batch it is of, so moving it back would never end."""
    shop = start(after(1.0))
    unreadable = Mock(spec_set=["to_json"], to_json=lambda: "{}")
    assert shop.work(unreadable, receives=receives) == failed
    assert (shop.queues.sent, shop.queues.postponed) == ([], [])


def test_a_run_that_could_not_report_is_forgotten(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is away as a shard joins its lane: it runs later, and its worker is not counted in between."""
    shop = start(after(1.0))
    message = shop.message(4)
    monkeypatch.setattr(shop.lanes, "report", fails_first(shop.lanes.report, 2))
    assert shop.work(message) == ["0"]
    assert not shop.watch_of(message).share._running
    shop.loop.advance(120)
    shop.run_to_the_end(message)
    assert shop.outcomes() == {"succeeded": 4}
    assert not shop.watch_of(message).share._running
