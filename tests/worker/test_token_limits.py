"""Tokens a minute, as an operator allows them: all workers of a lane together keep to them, and use them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from batchyard.core.calls import Answer
from batchyard.core.items import Item, work_line
from batchyard.core.keys import work_key
from batchyard.core.lane_limits import LaneLimits
from batchyard.core.lanes import LaneId
from batchyard.core.messages import ShardMessage
from batchyard.core.usage import Usage
from batchyard.worker.lane_watch import LaneWatch
from simulation.memory_objects import memory_objects
from simulation.memory_table import memory_shards
from simulation.virtual_time import EPOCH
from tests.worker.workshop import Outcome, ScriptedProvider, Workshop

PER_MINUTE = 60_000
CALL_SECONDS = 2.0
ITEMS = 3_000


class LimitedShop(Workshop):
    """A worker process of a lane whose tokens are limited. Those that are made with `beside` share its clock, its rows
    and its provider."""

    def __init__(self, behave: Callable[[int, int], Awaitable[Outcome]], beside: LimitedShop | None = None) -> None:
        shards = beside.shards if beside else memory_shards()
        super().__init__(shards, beside.objects if beside else memory_objects(), ScriptedProvider(behave))
        if beside:
            self.loop.close()
            self.loop, self.runtime, self.lanes = beside.loop, beside.runtime, beside.lanes
            self.new_process()

    def watch_of(self, message: ShardMessage) -> LaneWatch:
        lane = LaneId(message.provider, message.model)
        if lane not in self.watches:
            self.watches[lane] = LaneWatch(
                lane,
                self.gates.of(lane),
                self.lanes,
                self.runtime,
                forget_key=self._forget_key,
                limits=LaneLimits(tokens_per_minute=PER_MINUTE),
            )
        return self.watches[lane]

    def shard(self, number: int, most_output: int) -> ShardMessage:
        """A shard whose items say that their answers may have so many tokens."""
        message = self.message(ITEMS, number=number, batch_id=f"batch_{number}", account_id=f"acct_{number}")
        first = number * ITEMS
        body = b'{"n":%d,"max_tokens":%d}'
        data = b"".join(work_line(Item(i, f"i{i}", "m", body % (i, most_output))) for i in range(first, first + ITEMS))
        self.objects.put(work_key(message.account_id, message.batch_id, message.run), data)
        return replace(message, shard=replace(message.shard, length=len(data)))


class AwaitedWithOthers:
    """A loop that leaves running to somebody else."""

    def __init__(self, shop: Workshop) -> None:
        self.clock = shop.loop.clock

    def run_until_complete(self, work: Any) -> Any:
        return work


@pytest.fixture
def used() -> Counter[int]:
    """Minute -> tokens that calls took which began in it."""
    return Counter()


@pytest.fixture
def sizes() -> dict[int, int]:
    """Shard -> tokens that each of its calls takes."""
    return {}


@pytest.fixture
def shop(used: Counter[int], sizes: dict[int, int]) -> Iterator[LimitedShop]:
    async def behave(index: int, attempt: int) -> Outcome:
        tokens = sizes[index // ITEMS]
        used[int((made.clock() - EPOCH) // 60)] += tokens
        await asyncio.sleep(CALL_SECONDS)
        return Answer(200, b"{}", "req", Usage(tokens - 10, 0, 10, 0))

    made = LimitedShop(behave)
    yield made
    made.close()


@pytest.mark.parametrize("most_output", [100, 1_000, 1], ids=["a good estimate", "ten times too high", "far too low"])
def test_the_estimate_is_corrected_by_what_calls_take(
    shop: LimitedShop, used: Counter[int], sizes: dict[int, int], most_output: int
) -> None:
    """A wrong estimate costs the first seconds; from the second minute on the limit is used and kept."""
    sizes[0] = 100
    shop.work(shop.shard(0, most_output), seconds=200)
    assert 0.9 * PER_MINUTE <= used[1] <= 1.05 * PER_MINUTE
    assert 0.9 * PER_MINUTE <= used[2] <= 1.05 * PER_MINUTE
    assert used[0] <= (1.1 if most_output > 1 else 2) * PER_MINUTE


def test_workers_share_the_tokens(shop: LimitedShop, used: Counter[int], sizes: dict[int, int]) -> None:
    """Four workers, one of which has items twenty times as large: what they take together is the limit."""
    sizes |= {0: 20, 1: 20, 2: 20, 3: 400}
    others = [LimitedShop(shop.provider.behave, beside=shop) for _ in range(3)]
    loop, working = shop.loop, []
    for number, each in enumerate([shop, *others]):
        each.loop = AwaitedWithOthers(shop)  # type: ignore[assignment]
        working.append(each.work(each.shard(number, sizes[number]), seconds=200))
        shop.loop = loop

    async def together() -> None:
        await asyncio.gather(*working)  # type: ignore[arg-type]

    loop.run_until_complete(together())
    for minute in (1, 2):
        assert 0.85 * PER_MINUTE <= used[minute] <= 1.1 * PER_MINUTE
