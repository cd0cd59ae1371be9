"""The rate of a lane: how it is found, how soon it is right, and that who has just come has its share."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Iterator
from typing import cast

import pytest

from batchyard.adapters.aws.lanes import Lanes, LaneView
from batchyard.adapters.aws.table import Table
from batchyard.core.calls import Answer
from batchyard.core.lane_limits import NO_LIMITS
from batchyard.core.lane_pace import SLOT_SECONDS, RateChange, slot_of
from batchyard.core.lanes import LaneId
from batchyard.core.messages import ShardMessage
from batchyard.core.retry import FailureReason
from batchyard.core.sharding import Shard
from batchyard.worker.gate import Gate, Gates
from batchyard.worker.lane_share import LaneShare, Participant
from batchyard.worker.runtime import Runtime
from simulation.memory_table import MemoryTable
from simulation.virtual_time import VirtualTimeLoop, inline
from simulation.yard import Yard

LANE = LaneId("openai", "m")
REFUSED = Answer(429, b"{}", failure=FailureReason.THROTTLED)


@pytest.fixture
def loop() -> Iterator[VirtualTimeLoop]:
    made = VirtualTimeLoop()
    yield made
    made.close()


def test_a_first_rate_from_calls_that_still_grew_is_soon_right() -> None:
    """Calls of four seconds: in the slot that shows the first rate hardly half of what the provider takes was called.
    Half a minute later all of it is used, and few calls were refused."""
    yard = Yard(50, 1, 4.0)
    yard.add("big", 50 * 60)
    yard.run(30)
    before = yard.provider.succeeded
    yard.run(20)
    used = (yard.provider.succeeded - before) / (20 * 50)
    refused = yard.provider.refused / yard.provider.received
    yard.close()
    assert used >= 0.95
    assert refused <= 0.03


def test_refusals_that_came_of_knowing_no_rate_do_not_count_against_it(loop: VirtualTimeLoop) -> None:
    """What this worker was refused before it had read the rate that others found, and just after, belongs to no slot
    of that rate; what is refused later does. None of them was a good call."""
    lanes = Lanes(cast(Table, MemoryTable()))
    gate = Gates(768, loop.clock).of(LANE)
    runtime = Runtime(loop.clock, lambda: 0.5, lambda: "w", logging.getLogger("worker"), inline)
    share = LaneShare(LANE, gate, lanes, runtime, limits=NO_LIMITS, take=lambda view: None)

    async def work() -> tuple[int, int]:
        await share.join(_run(loop))
        await asyncio.sleep(SLOT_SECONDS)
        found_in = slot_of(loop.clock())
        await _refuse(share, gate)
        lanes.change_rate(LANE, RateChange(100.0, found_in, found_in))
        await share.keep_up()
        assert share.pace.rate == 100.0
        await _refuse(share, gate)
        await asyncio.sleep(SLOT_SECONDS)
        await share.keep_up()
        await _refuse(share, gate)
        later = slot_of(loop.clock())
        await asyncio.sleep(SLOT_SECONDS)
        await share.keep_up()
        return found_in, later

    found_in, later = loop.run_until_complete(work())
    pace = lanes.look(LANE).pace
    assert pace.refused.get(found_in, 0) == 0
    assert pace.refused[later] == 3
    assert sum(pace.good.values()) == 0


def test_who_leaves_and_comes_back_at_once_has_its_share(loop: VirtualTimeLoop) -> None:
    """The last run of a worker says that it leaves, the next one that it is there, and what was said first is written
    last: soon everybody knows that the worker is there, and not only when the next slot begins."""
    lanes = Lanes(cast(Table, MemoryTable()))
    gate = Gates(768, loop.clock).of(LANE)
    takes_seconds = [0.0, 0.3, 0.1]

    async def blocking(write: Callable[[], LaneView]) -> LaneView:
        await asyncio.sleep(takes_seconds.pop(0) if takes_seconds else 0.01)
        return write()

    runtime = Runtime(loop.clock, lambda: 0.5, lambda: "w", logging.getLogger("worker"), blocking)
    share = LaneShare(LANE, gate, lanes, runtime, limits=NO_LIMITS, take=lambda view: None)
    lanes.change_rate(LANE, RateChange(100.0, slot_of(loop.clock()), 0))

    async def work() -> None:
        first = _run(loop)
        await share.join(first)
        assert gate.pacer.rate == 100.0
        leaving = asyncio.create_task(share.leave(first))
        await asyncio.sleep(0)
        await share.join(_run(loop))
        await leaving

    loop.run_until_complete(work())
    assert list(lanes.look(LANE).pace.workers["w"].batches) == ["batch_1"]
    assert gate.pacer.rate == 100.0


async def _refuse(share: LaneShare, gate: Gate) -> None:
    """Three calls start, and are refused."""
    calls = [await gate.enter() for _ in range(3)]
    await asyncio.sleep(0.2)
    for call in calls:
        gate.leave(call, REFUSED, 0.2)
        share.replied(REFUSED)


def _run(loop: VirtualTimeLoop) -> Participant:
    message = ShardMessage(
        account_id="acct_a",
        batch_id="batch_1",
        run="run",
        endpoint="/v1/chat/completions",
        provider="openai",
        model="m",
        shard=Shard(0, 0, 0, 0, 256, 0),
        shards=2,
        progress_rows=1,
        follower=None,
        concurrency=None,
        expires_at=sys.maxsize,
    )
    return Participant(message, lambda: 256, loop.clock() + 880)
