"""Shards that are drawn without their messages: none again and again in vain, and none on what is over or broken."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Set
from dataclasses import replace
from typing import Protocol

import pytest

from batchyard.adapters.aws.lanes import Counts
from batchyard.adapters.aws.rosters import Rosters
from batchyard.core.health import LaneHealth, LaneState
from batchyard.core.keys import work_key
from batchyard.core.lane_pace import RateChange, WorkerReport, slot_of
from batchyard.core.lanes import LaneId
from batchyard.core.messages import ShardMessage
from batchyard.core.retry import RetryAdvice
from batchyard.core.shards import ShardState
from batchyard.worker.drawing import Drawing, DrawTools
from batchyard.worker.item_runner import Upstream
from batchyard.worker.seats import Seats
from simulation.memory_objects import memory_objects
from simulation.memory_table import memory_shards
from simulation.virtual_time import EPOCH
from tests.worker.workshop import (
    BATCH_ID,
    INVOCATION_SECONDS,
    Outcome,
    ScriptedProvider,
    Workshop,
    after,
    status,
    succeed,
)

LANE = LaneId("openai", "m")
OTHER_BATCH_ID = BATCH_ID[:-1] + "t"
_ASKS_AT_MOST = 500


class Start(Protocol):
    def __call__(self, behave: Callable[[int, int], Awaitable[Outcome]], *, rate: float | None = 100.0) -> Workshop: ...


@pytest.fixture
def start() -> Iterator[Start]:
    """Makes a workshop around a provider's behaviour, on a lane whose rate is known: its shards are drawn."""
    made: list[Workshop] = []

    def make(behave: Callable[[int, int], Awaitable[Outcome]], *, rate: float | None = 100.0) -> Workshop:
        shop = Workshop(memory_shards(), memory_objects(), ScriptedProvider(behave))
        made.append(shop)
        slot = slot_of(shop.clock())
        shop.lanes.change_rate(LANE, RateChange(rate, slot, slot))
        return shop

    yield make
    for workshop in made:
        workshop.close()


def offer(shop: Workshop, *messages: ShardMessage, since: float = EPOCH) -> None:
    """Draw has these shards from then on; but not for ever, so that a worker that goes round in circles ends, too."""
    asks = iter(range(_ASKS_AT_MOST))

    def draw(message: ShardMessage, tried: Set[int]) -> list[ShardMessage]:
        if shop.clock() < since:
            return []
        next(asks)
        return [each for each in messages if each.batch_id == message.batch_id and each.shard.number not in tried]

    shop.draw = draw


def test_a_shard_that_fails_is_not_drawn_again_at_once(start: Start) -> None:
    """Its work file cannot be read. It is claimed once, and the worker leaves."""
    shop = start(after(1.0))
    offer(shop, shop.message(4, number=1, run="gone"))
    assert shop.work(shop.message(4)) == []
    row = shop.shards.get(BATCH_ID, 1)
    assert row is not None and (row.version, row.lease_until) == (1, 0)
    assert shop.clock() - EPOCH < 20


def test_a_shard_whose_message_failed_is_not_drawn_at_once(start: Start) -> None:
    """Its message comes back when its lease would be over."""
    shop = start(after(1.0))
    broken = shop.message(4, number=1, run="gone")
    offer(shop, broken)
    assert shop.work(shop.message(4), broken) == ["1"]
    row = shop.shards.get(BATCH_ID, 1)
    assert row is not None and row.version == 1
    assert shop.clock() - EPOCH < 20


def test_a_drawn_item_waits_as_long_as_its_provider_says(start: Start) -> None:
    """Retry-After of 100 seconds, for one item of a shard that was drawn: the worker does not call it again at once."""

    async def behave(index: int, attempt: int) -> Outcome:
        await asyncio.sleep(1)
        return status(429, RetryAdvice(retry_after_seconds=100.0)) if index == 4 else succeed(index)

    shop = start(behave)
    offer(shop, shop.message(4, number=1))
    assert shop.work(shop.message(4)) == []
    assert shop.provider.received == dict.fromkeys(range(8), 1)
    assert shop.clock() - EPOCH < 20


def test_nothing_is_drawn_on_a_lane_that_pauses(start: Start) -> None:
    """Nothing could start for ten minutes: the worker claims nothing, and leaves."""
    shop = start(after(1.0))
    offer(shop, *(shop.message(4, number=number) for number in range(1, 9)))
    shop.gates.of(LANE).pacer.pause(EPOCH + 600)
    assert shop.work(shop.message(4)) == []
    assert [shop.shards.get(BATCH_ID, number) for number in range(1, 9)] == [None] * 8
    assert shop.clock() - EPOCH < 20


def test_nothing_is_drawn_after_the_deadline(start: Start) -> None:
    """The batch is still in progress, until its state machine has sealed its shards: the worker leaves them alone."""
    shop = start(after(10.0))
    deadline = int(EPOCH) + 3
    offer(shop, shop.message(4, number=1, expires_at=deadline), since=deadline)
    assert shop.work(shop.message(4, expires_at=deadline)) == []
    assert shop.shards.get(BATCH_ID, 1) is None
    assert shop.clock() - EPOCH < 20


def test_a_batch_is_taken_up_though_the_roster_cannot_be_told(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its shard runs, and its seat is free afterwards."""

    def refuse(rosters: Rosters, message: ShardMessage, now: int) -> None:
        raise RuntimeError("throttled")

    monkeypatch.setattr(Rosters, "take_up", refuse)
    shop = start(after(10.0))
    work = shop.objects.get(work_key("acct_a", BATCH_ID, shop.message(4, number=1).run))
    shop.objects.put(work_key("acct_a", OTHER_BATCH_ID, "run1"), work)
    other = replace(shop.message(4, number=1), batch_id=OTHER_BATCH_ID)
    Rosters(shop.shards._table).enter([other], int(EPOCH))
    offer(shop, other)
    assert shop.work(shop.message(4)) == []
    row = shop.shards.get(OTHER_BATCH_ID, 1)
    assert row is not None and row.state is ShardState.SETTLED


@pytest.mark.parametrize(
    ("is_alone", "visible", "is_drawn"),
    [
        pytest.param(False, True, False, id="several, and messages wait"),
        pytest.param(False, False, True, id="several, and others have handed back what waits"),
        pytest.param(True, True, True, id="one alone"),
    ],
)
def test_what_waits_is_received_before_a_lane_has_a_rate(
    start: Start, is_alone: bool, visible: bool, is_drawn: bool
) -> None:
    """Several workers would all draw the same shards, and most of their claims be in vain. One that is alone would
    stand still between two invocations."""
    shop = start(after(1.0), rate=None)
    if not is_alone:
        other = WorkerReport(int(EPOCH), EPOCH, {}, int(EPOCH) + 600)
        shop.lanes.report(LANE, "other", other, Counts(int(EPOCH), {}, {}, {}), [])
    shop.queues.visible = visible
    offer(shop, shop.message(4, number=1))
    assert shop.work(shop.message(4)) == []
    assert (shop.shards.get(BATCH_ID, 1) is not None) is is_drawn


def test_who_has_handed_back_says_no_more_that_it_draws(start: Start) -> None:
    """Others would leave what it does not draw to it, for a minute at a time."""
    shop = start(after(1.0))
    message, seats = shop.message(4), Seats(10)
    tools = DrawTools(shop.shards, Rosters(shop.shards._table), shop.draw, shop.watch_of, shop.queues.has_visible)
    drawing = Drawing(tools, shop.runtime, seats, stop_at=EPOCH + INVOCATION_SECONDS, lease_seconds=60)
    share = shop.watch_of(message).share

    async def carry() -> None:
        drawing.carry(message, await seats.take())

    shop.loop.run_until_complete(carry())
    assert share.draws_until == EPOCH + 300
    drawing.hand_back(message)
    assert share.draws_until == 0
    shop.loop.run_until_complete(carry())
    assert share.draws_until == 0


def test_a_probe_that_could_not_be_made_is_made_later(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider key could not be read when it fell to this process to probe. Once the lease has ended it does."""
    shop = start(after(1.0))
    shop.lanes.open(LANE, LaneHealth(LaneState.OPEN, "server_error", int(EPOCH), 0, int(EPOCH)), int(EPOCH))

    async def refuse(message: ShardMessage) -> Upstream:
        raise RuntimeError("throttled")

    with monkeypatch.context() as broken:
        broken.setattr(shop, "of", refuse)
        assert shop.work(shop.message(4)) == ["0"]
    shop.loop.advance(70)
    assert shop.work(shop.message(4)) == []
    assert shop.outcomes() == {"succeeded": 4}


def test_what_a_dead_run_found_out_about_its_lane_is_written_later(start: Start) -> None:
    """A run died before it could write that its lane is blocked. The next message of the lane has it written, so that
    somebody probes; else this process would hand back all messages of a lane that others take for well."""
    shop = start(after(1.0))
    message = shop.message(4)
    shop.watch_of(message).blocked("secret_missing")
    assert shop.work(message) == []
    assert shop.lanes.health(LANE).state is LaneState.BLOCKED
    shop.loop.advance(70)
    assert shop.work(message) == []
    assert shop.outcomes() == {"succeeded": 4}
