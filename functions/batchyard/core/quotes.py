"""A quote: what a batch would cost at the prices of the moment, with every lane that was considered for it. For
VALID_SECONDS a batch may be made that accepts it.

A quote may be about a sample: a batch of other items for the same models accepts it at the same price for each item.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from batchyard.core.forecast import CandidateForecast, Forecast
from batchyard.core.json_types import Row
from batchyard.core.lanes import Lane, Mode
from batchyard.core.routing import Verdict
from batchyard.core.rules import RoutingRules
from batchyard.core.usage import PinnedPrice

VALID_SECONDS = 600
PREFIX = "qlock_"


@dataclass(frozen=True, slots=True)
class QuoteRef:
    """Names one quote. An id is only ever looked up within its account."""

    account_id: str
    quote_id: str


@dataclass(frozen=True, slots=True)
class QuotedLane:
    """A lane that was considered for some of the items, and why it was selected or not. `items`: how many it gets;
    `cost_picousd`, `finish_at` (unix second; 0: nobody looked): of those, or of all that it was considered for."""

    lane: Lane
    verdict: Verdict
    items: int
    cost_picousd: int
    finish_at: int

    @property
    def is_selected(self) -> bool:
        return self.verdict is Verdict.SELECTED

    def to_row(self) -> list[Any]:
        mode = str(self.lane.mode)
        verdict = str(self.verdict)
        return [self.lane.provider, self.lane.model, mode, verdict, self.items, self.cost_picousd, self.finish_at]

    @classmethod
    def from_row(cls, row: list[Any]) -> QuotedLane:
        provider, model, mode, verdict, items, cost, finish_at = row[:7]
        return cls(Lane(provider, model, Mode(mode)), Verdict(verdict), items, cost, finish_at)


@dataclass(frozen=True, slots=True)
class Quote:
    """Times are unix seconds, tokens and costs those of all `items` together. `models`: what the items ask for.
    `sampled_items`: how many of them were looked at, if not all were. `realtime_picousd`: what the same would cost
    without batch discounts."""

    ref: QuoteRef
    created_at: int
    expires_at: int
    endpoint: str
    rules: RoutingRules
    items: int
    sampled_items: int | None
    input_tokens: int
    output_tokens: int
    cost_picousd: int
    realtime_picousd: int
    finish_at: int
    deadline: int
    lanes: tuple[QuotedLane, ...] = field(default=())
    max_price_picousd: int | None = None
    endpoints: frozenset[str] = frozenset()
    """What the items are for; `endpoint` is that of the first one."""
    prices: tuple[PinnedPrice, ...] = ()
    """Of all its lanes: what a batch that accepts the quote pays, whatever they cost by then."""

    def is_valid(self, now: int) -> bool:
        return now < self.expires_at

    @property
    def models(self) -> frozenset[str]:
        """The models of the lanes that were considered, as their providers call them."""
        return frozenset(each.lane.model for each in self.lanes)

    def cost_of(self, items: int) -> int:
        """What so many items cost by this quote, in pico-dollars, rounded up."""
        return -(-self.cost_picousd * items // self.items)

    def to_row(self) -> Row:
        return {
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "endpoint": self.endpoint,
            "endpoints": sorted(self.endpoints),
            "rules": self.rules.to_row(),
            "items": self.items,
            "sampled_items": self.sampled_items,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost_picousd": self.cost_picousd,
            "realtime_picousd": self.realtime_picousd,
            "finish_at": self.finish_at,
            "deadline": self.deadline,
            "lanes": [lane.to_row() for lane in self.lanes],
            "max_price_picousd": self.max_price_picousd,
            "prices": [price.to_row() for price in self.prices],
        }

    @classmethod
    def from_row(cls, ref: QuoteRef, row: Row) -> Quote:
        return cls(
            ref=ref,
            created_at=row["created_at"],
            expires_at=row["expires_at"],
            endpoint=row["endpoint"],
            endpoints=frozenset(row.get("endpoints", [row["endpoint"]])),
            rules=RoutingRules.from_row(row["rules"]),
            items=row["items"],
            sampled_items=row["sampled_items"],
            input_tokens=row["input_tokens"],
            output_tokens=row["output_tokens"],
            cost_picousd=row["cost_picousd"],
            realtime_picousd=row["realtime_picousd"],
            finish_at=row["finish_at"],
            deadline=row["deadline"],
            lanes=tuple(map(QuotedLane.from_row, row["lanes"])),
            max_price_picousd=row["max_price_picousd"],
            prices=tuple(map(PinnedPrice.from_row, row.get("prices") or ())),
        )


def quote_of(forecast: Forecast, ref: QuoteRef, now: int) -> Quote:
    """The quote that a forecast comes to."""
    batch = forecast.request.batch
    return Quote(
        ref=ref,
        created_at=now,
        expires_at=now + VALID_SECONDS,
        endpoint=batch.endpoint,
        endpoints=forecast.endpoints,
        rules=batch.rules,
        items=forecast.items,
        sampled_items=forecast.sampled_items,
        input_tokens=sum(route.input_tokens for route in forecast.routes),
        output_tokens=sum(route.output_tokens for route in forecast.routes),
        cost_picousd=forecast.cost_picousd,
        realtime_picousd=forecast.realtime_picousd,
        finish_at=forecast.finish_at,
        deadline=forecast.expires_at,
        lanes=tuple(_lane(each) for route in forecast.routes for each in route.candidates),
        max_price_picousd=batch.max_price_picousd,
        prices=_prices(forecast),
    )


def _prices(forecast: Forecast) -> tuple[PinnedPrice, ...]:
    found = {
        PinnedPrice(each.considered.lane.provider, each.considered.lane.model, each.price): None
        for route in forecast.routes
        for each in route.candidates
    }
    return tuple(found)


def _lane(candidate: CandidateForecast) -> QuotedLane:
    considered = candidate.considered
    items, finish_at = considered.items, considered.finish_at
    return QuotedLane(considered.lane, considered.verdict, items, candidate.cost_picousd, finish_at)
