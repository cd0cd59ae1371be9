"""A shard whose items begin alike, at a vendor with a prompt cache: the simulator's, by the worker's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import orjson
import pytest

from batchyard.core.calls import Answer
from batchyard.core.items import Item, work_line
from batchyard.core.keys import work_key
from batchyard.core.messages import ShardMessage
from batchyard.core.retry import FailureReason
from batchyard.core.shards import ShardState
from batchyard.core.usage import Price, Usage
from batchyard.worker import shard_run
from batchyard.worker.item_runner import Upstream
from local.provider.answers.content import CHARS_PER_TOKEN
from local.provider.prompt_cache import PromptCache, automatic_prefixes
from simulation.memory_objects import memory_objects
from simulation.memory_table import memory_shards
from simulation.virtual_time import EPOCH
from tests.worker.workshop import BATCH_ID, PRICE, TIMED_OUT, Outcome, ScriptedProvider, Workshop, after, status

CALL_SECONDS = 3.0
KEEP_SECONDS = 300.0
DOCUMENTS, ITEMS = 4, 256
DOCUMENT = "Some words that all readers of this one share. " * 200
"""About 2,350 tokens."""


class CachingShop(Workshop):
    """Its provider charges as the simulator does. `first_fails`: how the first call ends; None: well."""

    def __init__(self, price: Price = PRICE, first_fails: Outcome | None = None) -> None:
        super().__init__(memory_shards(), memory_objects(), ScriptedProvider(after(1.0)))
        self.price = price
        self.cache = PromptCache()
        self.first_fails = first_fails
        self.bodies: list[dict[str, Any]] = []

    async def of(self, message: ShardMessage) -> Upstream:
        return replace(await super().of(message), call=self.call, price=self.price)

    async def call(self, body: bytes) -> Outcome:
        request = orjson.loads(body)
        self.bodies.append(request)
        if len(self.bodies) == 1 and self.first_fails is not None:
            await asyncio.sleep(CALL_SECONDS)
            return self.first_fails
        prefixes = automatic_prefixes(request)
        use = self.cache.use("key", prefixes, self.clock(), KEEP_SECONDS, answer_seconds=CALL_SECONDS)
        await asyncio.sleep(CALL_SECONDS)
        return Answer(200, b"{}", "req_1", Usage(len(body) // CHARS_PER_TOKEN, use.read, 5))

    def shard(self, items: int = ITEMS, documents: int = DOCUMENTS) -> ShardMessage:
        """Questions about some documents, in turns."""
        message = self.message(items)
        data = b"".join(work_line(Item(i, f"item-{i}", "m", question(i, i % documents))) for i in range(items))
        self.objects.put(work_key(message.account_id, message.batch_id, message.run), data)
        return replace(message, shard=replace(message.shard, length=len(data)), expires_at=int(EPOCH) + 86_400)


def question(index: int, document: int) -> bytes:
    turns = [{"role": "system", "content": f"{document} {DOCUMENT}"}, {"role": "user", "content": f"Question {index}"}]
    return orjson.dumps({"model": "m", "messages": turns})


@pytest.fixture
def shop() -> Iterator[CachingShop]:
    made = CachingShop()
    yield made
    made.close()


def used(shop: CachingShop) -> tuple[float, int]:
    """The share of the shard's input that came out of the cache, and what the shard cost."""
    row = shop.shards.get(BATCH_ID, 0)
    assert row is not None and row.state is ShardState.SETTLED
    return row.tally.usage.cached_tokens / row.tally.usage.input_tokens, row.tally.cost_picousd


def test_more_comes_out_of_the_cache(shop: CachingShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """One item of each document pays for it, where otherwise all do that start together; the bill says so."""
    message = shop.shard()
    assert shop.run_to_the_end(message) == 1
    together, cost = used(shop)
    other = CachingShop()
    monkeypatch.setattr(shard_run, "families", lambda items: [[item] for item in items])
    assert other.run_to_the_end(other.shard()) == 1
    apart, cost_apart = used(other)
    other.close()
    assert together > 0.95 > 0.75 > apart
    assert cost < 0.85 * cost_apart
    assert len(shop.results()) == len(other.results()) == len(shop.bodies) == ITEMS


def test_the_others_wait_for_one_call_only(shop: CachingShop) -> None:
    """First one item of each document, then all others: two rounds of calls."""
    shop.run_to_the_end(shop.shard(40))
    first = [body["messages"][0]["content"][0] for body in shop.bodies[:DOCUMENTS]]
    assert first == ["0", "1", "2", "3"]
    documents = [body["messages"][0]["content"][0] for body in shop.bodies[DOCUMENTS:]]
    assert sum(one != other for one, other in pairwise(documents)) == DOCUMENTS - 1
    assert shop.clock() - EPOCH < 3 * CALL_SECONDS


@pytest.mark.parametrize("failure", [status(400), status(500), TIMED_OUT], ids=["refused", "failed", "timed_out"])
def test_a_first_item_that_fails_holds_nobody_up(failure: Outcome) -> None:
    """The others go on; each item has its result."""
    shop = CachingShop(first_fails=failure)
    shop.run_to_the_end(shop.shard(20, documents=1))
    is_final = isinstance(failure, Answer) and failure.failure is FailureReason.REJECTED
    assert shop.outcomes() == ({"succeeded": 19, "failed": 1} if is_final else {"succeeded": 20})
    shop.close()


def test_a_first_item_that_hangs_holds_nobody_up_for_long() -> None:
    """The others start after their half minute, and are done long before it is."""
    shop = CachingShop()
    started: list[float] = []

    async def call(body: bytes) -> Outcome:
        started.append(shop.clock() - EPOCH)
        await asyncio.sleep(600.0 if len(started) == 1 else CALL_SECONDS)
        return Answer(200, b"{}", "req_1", Usage(10, 0, 5))

    shop.call = call  # type: ignore[method-assign]
    shop.run_to_the_end(shop.shard(20, documents=1))
    assert shop.outcomes() == {"succeeded": 20}
    assert started[0] < 1 and all(30 <= at < 40 for at in started[1:20])
    shop.close()


def test_nobody_waits_if_there_is_no_time(shop: CachingShop) -> None:
    """Close to the end of the batch all items start at once."""
    message = replace(shop.shard(20, documents=1), expires_at=int(EPOCH) + 25)
    shop.run_to_the_end(message)
    assert shop.clock() - EPOCH < 2 * CALL_SECONDS
    assert shop.outcomes() == {"succeeded": 20}


def test_nobody_waits_where_it_saves_nothing() -> None:
    """At a provider whose cached tokens cost what others do, all items start at once."""
    shop = CachingShop(Price(1_000_000, 1_000_000, 2_000_000))
    shop.run_to_the_end(shop.shard(40))
    assert shop.clock() - EPOCH < 2 * CALL_SECONDS
    shop.close()
