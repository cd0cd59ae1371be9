"""Who is blamed when a shard does not get through: the item that ends its workers, and nobody and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from batchyard.worker.item_runner import Upstream
from batchyard.worker.work import RECEIVES_AT_MOST
from tests.memory import memory_objects
from tests.memory_table import memory_shards
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
    monkeypatch.setattr(shop.objects, "put", fails_first(shop.objects.put, 5))
    assert shop.run_to_the_end(message) == 6
    assert shop.outcomes() == {"succeeded": 8}
    assert set(shop.provider.received.values()) == {6}


def test_a_missing_key_slows_nothing_down_once_it_is_there(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deliveries that found no API key of the provider are no crashes: items need not run one at a time for them."""
    shop = start(after(1.0))
    found = fails_first(lambda: None, 5)
    upstream = shop._upstream

    async def upstream_once_there_is_a_key(message: Any) -> Upstream:
        found()
        return await upstream(message)

    monkeypatch.setattr(shop, "_upstream", upstream_once_there_is_a_key)
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


@pytest.mark.parametrize(("receives", "copies"), [(RECEIVES_AT_MOST - 1, 0), (RECEIVES_AT_MOST, 1)])
@pytest.mark.parametrize("fault", [ConnectionError, Killed])
def test_a_message_that_sqs_is_about_to_give_up_leaves_a_copy(
    start: Start, receives: int, copies: int, fault: type[BaseException]
) -> None:
    """The dead-letter queue raises the operator's alarm; the shard, and those that follow it, are still tried. The copy
    comes when this invocation is over, whatever becomes of it."""

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(1)
        raise fault

    shop = start(behave)
    message = shop.message(3)
    with contextlib.suppress(Killed):
        assert shop.work(message, receives=receives) == ["0"]
    assert shop.queues.sent == [(message, 900)] * copies
