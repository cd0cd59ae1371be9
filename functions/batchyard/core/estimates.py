"""Estimates: what a batch may cost, judged when its items are counted and before any of them has run.

Input is judged by its length. Output counts as what each item says that it takes at most (`max_tokens` and its like),
or as what a forecast takes unknown items to be. Prices are those of the lanes that the plan has.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from batchyard.core.jobs import estimated_tokens
from batchyard.core.lanes import Lane
from batchyard.core.sharding import LaneShards, Shard
from batchyard.core.usage import Price, discounted_picousd


@dataclass(frozen=True, slots=True)
class LanePrice:
    """`percent`: of the price, which is that of realtime."""

    price: Price
    percent: int = 100


class Room(enum.Enum):
    """Whether a batch with a price limit may start a shard: it fits; it does not while others run; or it never will."""

    FREE = "free"
    FULL = "full"
    SPENT = "spent"


PriceOf = Callable[[Lane], LanePrice]


def estimated_picousd(
    lanes: Sequence[LaneShards], shards: Sequence[Shard], output_tokens: Mapping[int, int], price_of: PriceOf
) -> int:
    """What the shards may cost in the lanes that their plan gives them. `output_tokens`: by the position of the lane
    that validation found (`Shard.lane`), for all of its items together."""
    items: dict[int, int] = {}
    for shard in shards:
        items[shard.lane] = items.get(shard.lane, 0) + shard.items
    total = 0
    for entry in lanes:
        lane = price_of(entry.lane)
        for number in entry.numbers:
            shard = shards[number]
            output = -(-output_tokens.get(shard.lane, 0) * shard.items // items[shard.lane])
            total += _cost_picousd(estimated_tokens(shard), output, shard.items, lane)
    return total


def shard_estimate_picousd(estimate_picousd: int, items: int, shard_items: int) -> int:
    """A shard's part of what its batch, of `items`, may cost. All parts together are not more than the whole."""
    return estimate_picousd * shard_items // items if items else 0


def _cost_picousd(input_tokens: int, output_tokens: int, items: int, lane: LanePrice) -> int:
    of_length = lane.price.for_input(input_tokens // items)
    realtime = input_tokens * of_length.input_microusd + output_tokens * of_length.output_microusd
    return discounted_picousd(realtime, lane.percent)
