"""Estimates: what a batch may cost, before it runs."""

from __future__ import annotations

import pytest

from batchyard.core.estimates import (
    LanePrice,
    estimated_picousd,
    output_tokens,
    shard_estimate_picousd,
    stated_output_tokens,
)
from batchyard.core.lanes import Lane, Mode
from batchyard.core.sharding import LaneShards, Shard
from batchyard.core.usage import MOST_TOKENS, Price

PRICE = Price(input_microusd=2, cached_microusd=1, output_microusd=10)


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        (b'{"model":"m","max_tokens":7}', 7),
        (b'{"max_completion_tokens": 12,"x":1}', 12),
        (b'{"max_output_tokens":3}', 3),
        (b'{"messages":[{"content":"set \\"max_tokens\\":5 please"}]}', None),
        (b'{"tools":[{"properties":{"max_tokens":{"type":"integer"}}}]}', None),
        (b'{"max_tokens":null}', None),
        (b'{"metadata":{"max_tokens":1},"max_tokens":90000}', 90_000),
        (b'{"max_tokens":999999999}', MOST_TOKENS),
    ],
)
def test_an_item_may_say_what_it_takes_at_most(body: bytes, tokens: int | None) -> None:
    """By any of the names that dialects have for it, and not in a text that talks about it."""
    assert stated_output_tokens(body) == tokens


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        (b'{"model":"m"}', 300),
        (b'{"n":4,"max_tokens":7}', 28),
        (b'{"n": 128}', 128 * 300),
        (b'{"best_of":5,"n":2,"max_tokens":10}', 50),
        (b'{"n":0,"max_tokens":7}', 7),
        (b'{"metadata":{"n":1},"n":3,"max_tokens":7}', 21),
        (b'{"messages":[{"content":"set \\"n\\":5 please"}]}', 300),
    ],
)
def test_all_answers_of_an_item_count(body: bytes, tokens: int) -> None:
    """Vendors bill each of the answers that `n` asks for, and all of which `best_of` takes the best."""
    assert output_tokens(body, 300) == tokens


def test_a_batch_may_cost_what_its_lanes_ask() -> None:
    """Input by its length, output as it was measured; a lane that is cheaper counts so."""
    shards = [Shard(0, 0, 0, 400, 10, 0), Shard(1, 0, 400, 400, 10, 10), Shard(2, 1, 800, 40, 1, 20)]
    lanes = [
        LaneShards(Lane("openai", "a", Mode.NATIVE), 0, 1, 10),
        LaneShards(Lane("openai", "a"), 1, 1, 10),
        LaneShards(Lane("openai", "b"), 2, 1, 1),
    ]
    percents = {Mode.NATIVE: 50, Mode.REALTIME: 100}
    found = estimated_picousd(lanes, shards, {0: 200, 1: 3}, lambda lane: LanePrice(PRICE, percents[lane.mode]))
    whole = 100 * 2 + 100 * 10
    assert found == whole // 2 + whole + (10 * 2 + 3 * 10)


def test_a_dear_price_for_long_inputs_counts() -> None:
    """If the items are so long on average."""
    dear = Price(2, 1, 10, above=((50, Price(4, 2, 20)),))
    shards, lanes = [Shard(0, 0, 0, 400, 1, 0)], [LaneShards(Lane("google", "g"), 0, 1, 1)]
    assert estimated_picousd(lanes, shards, {0: 5}, lambda lane: LanePrice(dear)) == 100 * 4 + 5 * 20


def test_the_parts_of_shards_are_not_more_than_the_whole() -> None:
    """Rounded down, so that a batch whose price limit is its estimate can run to its end."""
    assert 97 < sum(shard_estimate_picousd(100, 7, items) for items in (3, 3, 1)) <= 100
    assert shard_estimate_picousd(0, 7, 3) == 0
