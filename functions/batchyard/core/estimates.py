"""Estimates: what a batch may cost, judged when its items are counted and before any of them has run.

Input is judged by its length (that of a request for images by its prompt and its images). Output counts as what each
item says that it takes at most (`max_tokens` and its like), or as what a forecast takes unknown items to be. Prices are
those of the lanes that the plan has.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from batchyard.core.jobs import estimated_tokens
from batchyard.core.lanes import Lane
from batchyard.core.sharding import LaneShards, Shard
from batchyard.core.usage import Price, Usage, discounted_picousd


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
    lanes: Sequence[LaneShards], shards: Sequence[Shard], usages: Mapping[int, Usage], price_of: PriceOf
) -> int:
    """What the shards may cost in the lanes that their plan gives them. `usages`: what was measured, by the position of
    the lane that validation found (`Shard.lane`), for all of its items together."""
    items: dict[int, int] = {}
    for shard in shards:
        items[shard.lane] = items.get(shard.lane, 0) + shard.items
    total = 0
    for entry in lanes:
        lane = price_of(entry.lane)
        for number in entry.numbers:
            shard = shards[number]
            measured = usages.get(shard.lane, Usage()).share(shard.items, items[shard.lane])
            realtime = whole_picousd(estimated_usage((shard,), measured), shard.items, lane.price)
            total += discounted_picousd(realtime, lane.percent)
    return total


def estimated_usage(shards: Sequence[Shard], measured: Usage) -> Usage:
    """What the shards may use. `measured`: what is known of their items; their input is judged by its length, unless
    that was measured, too."""
    if measured.input_tokens:
        return measured
    return replace(measured, input_tokens=sum(map(estimated_tokens, shards)))


def whole_picousd(usage: Usage, items: int, price: Price) -> int:
    """What so many `items`, which use `usage` together, cost in realtime."""
    return price.for_input(usage.input_tokens // items).sum_picousd(usage)


def shard_estimate_picousd(estimate_picousd: int, items: int, shard_items: int) -> int:
    """A shard's part of what its batch, of `items`, may cost. All parts together are not more than the whole."""
    return estimate_picousd * shard_items // items if items else 0
