"""A forecast: what the plan of a batch that may be made would be, what it would cost, and when it would be done.

Nothing of it is exact. Nobody knows what models will answer: an item counts as answered with as many tokens as it
allows (`max_tokens` and its like), or with _UNKNOWN_OUTPUT_TOKENS if nobody says anything. Input is judged by its
length, or is what the caller says. Of a large file only the beginning is read, and the rest counts as being like it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from batchyard.core.estimates import estimated_usage, whole_picousd
from batchyard.core.images import image_usage
from batchyard.core.lanes import Lane
from batchyard.core.planning import Considered
from batchyard.core.providers import IMAGE_ENDPOINTS
from batchyard.core.requests import PlanRequest
from batchyard.core.routing import Rejected, Verdict
from batchyard.core.sharding import LaneShards, Shard, ShardSizes
from batchyard.core.usage import Price, Usage, discounted_picousd

_UNKNOWN_INPUT_TOKENS = 500
_UNKNOWN_OUTPUT_TOKENS = 300
"""Of an item about which nobody says anything."""
_WITHOUT_OUTPUT = ("/v1/embeddings", "/v1/moderations")
_BYTES_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Load:
    """Items of one lane, which may also take `others`: how many, and how many bytes of the work file they take.
    `endpoint`: what they are for, if that is not what the batch is for."""

    lane: Lane
    items: int
    bytes: int
    others: tuple[Lane, ...] = ()
    endpoint: str | None = None

    def stretched(self, factor: float, bytes_factor: float) -> Load:
        """The same as a part of an input that has so many times the items, and so many times the bytes."""
        return replace(self, items=max(1, round(self.items * factor)), bytes=round(self.bytes * bytes_factor))


@dataclass(frozen=True, slots=True)
class CandidateForecast:
    """`cost_picousd`: of the items that it gets; of all of the route's, if it was not selected. `realtime_picousd`:
    what the same would cost at its provider in realtime, at `price`."""

    considered: Considered
    cost_picousd: int
    realtime_picousd: int
    price: Price


@dataclass(frozen=True, slots=True)
class RouteForecast:
    """Items that may take the same lanes. `candidates`: also those that the batch's rules forbid. `endpoint`: what the
    items are for, if that is not what the batch is for."""

    items: int
    input_tokens: int
    output_tokens: int
    candidates: tuple[CandidateForecast, ...]
    endpoint: str | None = None

    @property
    def selected(self) -> tuple[CandidateForecast, ...]:
        """The candidates that get items: several, if one alone could not make the deadline."""
        return tuple(each for each in self.candidates if each.considered.verdict is Verdict.SELECTED)

    @property
    def lane(self) -> Lane:
        """The lane of most of its items."""
        return max(self.selected, key=lambda each: each.considered.items).considered.lane

    @property
    def cost_picousd(self) -> int:
        return sum(each.cost_picousd for each in self.selected)

    @property
    def realtime_picousd(self) -> int:
        """What the items would cost, each called in realtime at the same provider."""
        return sum(each.realtime_picousd for each in self.selected)

    @property
    def finish_at(self) -> int:
        return max(each.considered.finish_at for each in self.selected)


@dataclass(frozen=True, slots=True)
class Forecast:
    """`sampled_items`: how many items of the input file were read, if not all of them were; `items` is an estimate
    then, unless the file's lines had been counted. `expires_at`: the deadline of a batch that is made now."""

    request: PlanRequest
    items: int
    sampled_items: int | None
    expires_at: int
    routes: tuple[RouteForecast, ...]

    @property
    def endpoints(self) -> frozenset[str]:
        """What its items are for."""
        return frozenset(route.endpoint or self.request.batch.endpoint for route in self.routes)

    @property
    def cost_picousd(self) -> int:
        return sum(route.cost_picousd for route in self.routes)

    @property
    def realtime_picousd(self) -> int:
        return sum(route.realtime_picousd for route in self.routes)

    @property
    def finish_at(self) -> int:
        return max(route.finish_at for route in self.routes)


def expected_load(request: PlanRequest, lane: Lane, others: tuple[Lane, ...] = ()) -> Load:
    """What the items that the caller expects would be in the work file."""
    expected = request.expected
    if expected is None:
        raise ValueError("the caller expects nothing, but named a file")
    tokens = expected.input_tokens
    if tokens is None:
        tokens = expected.count * _UNKNOWN_INPUT_TOKENS
    return Load(lane, expected.count, tokens * _BYTES_PER_TOKEN, others)


def imagined_shards(
    loads: Sequence[Load], sizes: ShardSizes, bytes_at_most: int
) -> tuple[list[LaneShards], list[Shard]]:
    """The lanes and shards into which validation would cut `loads`, if all items of a lane were of the same length."""
    lanes: list[LaneShards] = []
    shards: list[Shard] = []
    for position, load in enumerate(loads):
        first, left = len(shards), load.items
        bytes_each = load.bytes / load.items
        most = max(1, int(bytes_at_most / bytes_each)) if bytes_each else left
        while left:
            items = min(left, most, sizes.of(len(shards) - first))
            shards.append(Shard(len(shards), position, 0, round(items * bytes_each), items, 0, load.endpoint))
            left -= items
        lanes.append(LaneShards(load.lane, first, len(shards) - first, load.items, others=load.others))
    return lanes, shards


def forecast_route(
    shards: Sequence[Shard],
    measured: Usage,
    price_of: Callable[[str, str], Price],
    considered: Sequence[Considered],
    forbidden: Sequence[Rejected] = (),
) -> RouteForecast:
    """What comes of one route. `measured`: of all its items together. `price_of`: (provider, model) -> the price
    in realtime. `forbidden`: the offers that the batch's rules keep its items from."""
    items = sum(shard.items for shard in shards)
    usage = estimated_usage(shards, measured)

    def forecast(each: Considered) -> CandidateForecast:
        price = price_of(each.lane.provider, each.lane.model)
        realtime = whole_picousd(usage, items, price)
        if each.items:
            realtime = realtime * each.items // items
        return CandidateForecast(each, discounted_picousd(realtime, each.price_percent), realtime, price)

    ruled_out = [Considered(Lane(each.offer.provider, each.offer.model), each.verdict) for each in forbidden]
    candidates = tuple(forecast(each) for each in (*considered, *ruled_out))
    return RouteForecast(items, usage.input_tokens, usage.output_tokens, candidates, shards[0].endpoint)


def unknown_usage(endpoint: str, items: int) -> Usage:
    """The usage of items about which nobody says anything. An image is of the dearest kind that a model makes by
    itself."""
    is_of_images = endpoint in IMAGE_ENDPOINTS
    of_one = image_usage(b"{}") if is_of_images else Usage(output_tokens=unknown_output_tokens(endpoint))
    return of_one.share(items, 1)


def unknown_output_tokens(endpoint: str) -> int:
    """The output of an item about which nobody says anything."""
    return 0 if endpoint in _WITHOUT_OUTPUT else _UNKNOWN_OUTPUT_TOKENS
