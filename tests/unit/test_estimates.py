"""Estimates: what a batch may cost, before it runs."""

from __future__ import annotations

from batchyard.core.estimates import LanePrice, estimated_picousd, shard_estimate_picousd
from batchyard.core.lanes import Lane, Mode
from batchyard.core.sharding import LaneShards, Shard
from batchyard.core.usage import Price, Usage

PRICE = Price(input_microusd=2, cached_microusd=1, output_microusd=10)


def test_a_batch_may_cost_what_its_lanes_ask() -> None:
    """Input by its length, output as it was measured; a lane that is cheaper counts so."""
    shards = [Shard(0, 0, 0, 400, 10, 0), Shard(1, 0, 400, 400, 10, 10), Shard(2, 1, 800, 40, 1, 20)]
    lanes = [
        LaneShards(Lane("openai", "a", Mode.NATIVE), 0, 1, 10),
        LaneShards(Lane("openai", "a"), 1, 1, 10),
        LaneShards(Lane("openai", "b"), 2, 1, 1),
    ]
    percents = {Mode.NATIVE: 50, Mode.REALTIME: 100}
    found = estimated_picousd(
        lanes,
        shards,
        {0: Usage(output_tokens=200), 1: Usage(output_tokens=3)},
        lambda lane: LanePrice(PRICE, percents[lane.mode]),
    )
    whole = 100 * 2 + 100 * 10
    assert found == whole // 2 + whole + (10 * 2 + 3 * 10)


def test_a_dear_price_for_long_inputs_counts() -> None:
    """If the items are so long on average."""
    dear = Price(2, 1, 10, above=((50, Price(4, 2, 20)),))
    shards, lanes = [Shard(0, 0, 0, 400, 1, 0)], [LaneShards(Lane("google", "g"), 0, 1, 1)]
    assert (
        estimated_picousd(lanes, shards, {0: Usage(output_tokens=5)}, lambda lane: LanePrice(dear)) == 100 * 4 + 5 * 20
    )


def test_the_parts_of_shards_are_not_more_than_the_whole() -> None:
    """Rounded down, so that a batch whose price limit is its estimate can run to its end."""
    assert 97 < sum(shard_estimate_picousd(100, 7, items) for items in (3, 3, 1)) <= 100
    assert shard_estimate_picousd(0, 7, 3) == 0
