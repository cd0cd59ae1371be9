"""Quotes and receipts as BatchRouter shows them: what a batch is expected to cost, or has cost, and each lane with
`selected` or the reason why it was rejected. They are TypedDicts, from which the OpenAPI document is made."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from batchyard.core.quotes import Quote, QuotedLane
from batchyard.core.receipts import RanLane, Receipt
from batchyard.core.routing import Verdict
from batchyard.core.usage import Usage
from batchyard.surfaces.batchrouter.money import Money, money
from batchyard.surfaces.batchrouter.replies import RoutedBatch, batch_object
from batchyard.surfaces.batchrouter.times import iso
from batchyard.surfaces.operations import BilledBatch

REASONS = {
    Verdict.DEARER: "Another lane that will do costs less.",
    Verdict.LESS_PREFERRED: "The routing mode prefers another lane that will do, whatever it costs.",
    Verdict.IMMEDIATE: "The batch is to be run call by call.",
    Verdict.UNSUPPORTED: "The provider has answered that it has no batch API, or none for this model or plan.",
    Verdict.ENDPOINT: "This lane does not serve the operation.",
    Verdict.UNPRICED: "What its images cost is not known here.",
    Verdict.TOO_FEW: "There are fewer items than the provider's batch API takes at least.",
    Verdict.TOO_MANY_JOBS: "It would make more of the provider's own batches than are worth having.",
    Verdict.CONCURRENCY: "It could not keep the ceiling on calls in flight.",
    Verdict.TOO_LATE: "It usually takes so long that the SLA deadline would be in danger.",
    Verdict.TROUBLE: "Its provider is in trouble.",
    Verdict.PRIVACY: "It does not keep to the batch's privacy tier.",
    Verdict.POLICY: "The policy of the account, or of the deployment, leaves this mode out.",
    Verdict.ROUTING_MODE: "The routing mode does not allow its provider.",
    Verdict.REGION: "Its provider is in none of the allowed regions.",
}
"""Of every verdict but `selected`."""


class QuoteBreakdown(TypedDict):
    """`list_price`: what the same would cost without batch discounts."""

    items: int
    input_tokens: int
    output_tokens: int
    list_price: Money
    discount: Money
    total: Money


class PricingEstimate(TypedDict):
    currency: Literal["usd"]
    amount: str
    breakdown: QuoteBreakdown


class QuoteLane(TypedDict):
    """`reason`: why it was rejected; null if it was selected. `items`: how many it gets; the figures of a rejected lane
    are those of all items that it was considered for."""

    provider: str
    model: str
    mode: Literal["realtime", "flex", "native"]
    selected: bool
    verdict: str
    reason: str | None
    items: int
    estimated_cost: Money
    expected_completion_at: str | None


class QuoteObject(TypedDict):
    """`sampled_items`: how many items the figures rest on, if not on all."""

    quote_id: str
    created_at: str
    expires_at: str
    item_count: int
    sampled_items: int | None
    sla_tier: Literal["standard", "flex", "priority"]
    routing_mode: Literal["cheapest", "sla_aware", "public_only", "edge_only", "hybrid", "privacy_constrained"]
    privacy_tier: Literal["standard", "confidential", "restricted"]
    models: list[str] | None
    allowed_regions: list[str] | None
    max_price: Money | None
    sla_deadline: str
    expected_completion_at: str
    pricing_estimate: PricingEstimate
    quote_lanes: list[QuoteLane]


class ReceiptTokens(TypedDict):
    """Cached tokens are input tokens, reasoning tokens output tokens."""

    input: int
    cached_input: int
    output: int
    reasoning: int


class ProviderLane(TypedDict):
    """A lane that items of the batch were given to, and what their results cost there."""

    provider: str
    model: str
    mode: Literal["realtime", "flex", "native"]
    items: int
    cost: Money
    tokens: ReceiptTokens


class RejectedLane(TypedDict):
    provider: str
    model: str
    mode: Literal["realtime", "flex", "native"]
    verdict: str
    reason: str


class UnheardCalls(TypedDict):
    """What providers may bill beyond the results, and nobody is charged for here. `items`: that a provider's own batch
    took and said nothing of. `interrupted_runs`: how often a worker was lost, with calls in flight. Such items were
    run again, so that they may have been paid twice, unless the batch was over."""

    items: int
    interrupted_runs: int


class BillingReceipt(TypedDict):
    """`charged`: what the items that are done have cost; it grows until the batch has ended. `list_price`: what the
    same would cost without batch discounts."""

    status: Literal["open", "settled"]
    quote_id: str | None
    reserved: Money
    charged: Money
    released: Money
    list_price: Money
    tokens: ReceiptTokens
    provider_lanes: list[ProviderLane]
    rejected_lanes: list[RejectedLane]
    may_be_paid_twice: UnheardCalls


class BatchWithReceipt(RoutedBatch):
    billing_receipt: BillingReceipt


def quote_object(quote: Quote) -> QuoteObject:
    total, listed = money(quote.cost_picousd), money(quote.realtime_picousd)
    limit = quote.max_price_picousd
    return {
        "quote_id": quote.ref.quote_id,
        "created_at": iso(quote.created_at),
        "expires_at": iso(quote.expires_at),
        "item_count": quote.items,
        "sampled_items": quote.sampled_items,
        "sla_tier": quote.rules.tier.value,
        "routing_mode": quote.rules.mode.value,
        "privacy_tier": quote.rules.privacy.value,
        "models": list(quote.rules.models) or None,
        "allowed_regions": list(quote.rules.regions) or None,
        "max_price": None if limit is None else money(limit),
        "sla_deadline": iso(quote.deadline),
        "expected_completion_at": iso(quote.finish_at),
        "pricing_estimate": {
            "currency": "usd",
            "amount": total["amount"],
            "breakdown": {
                "items": quote.items,
                "input_tokens": quote.input_tokens,
                "output_tokens": quote.output_tokens,
                "list_price": listed,
                "discount": money(quote.realtime_picousd - quote.cost_picousd),
                "total": total,
            },
        },
        "quote_lanes": [_quote_lane(lane) for lane in quote.lanes],
    }


def billed_batch(billed: BilledBatch) -> BatchWithReceipt:
    return {**batch_object(billed.batch), "billing_receipt": _receipt(billed.receipt)}


def _quote_lane(quoted: QuotedLane) -> QuoteLane:
    return {
        "provider": quoted.lane.provider,
        "model": quoted.lane.model,
        "mode": quoted.lane.mode.value,
        "selected": quoted.is_selected,
        "verdict": quoted.verdict.value,
        "reason": None if quoted.is_selected else REASONS[quoted.verdict],
        "items": quoted.items,
        "estimated_cost": money(quoted.cost_picousd),
        "expected_completion_at": iso(quoted.finish_at) if quoted.finish_at else None,
    }


def _receipt(receipt: Receipt) -> BillingReceipt:
    return {
        "status": "settled" if receipt.is_settled else "open",
        "quote_id": receipt.quote_id,
        "reserved": money(receipt.reserved_picousd),
        "charged": money(receipt.charged_picousd),
        "released": money(receipt.released_picousd),
        "list_price": money(receipt.realtime_picousd),
        "tokens": _tokens(receipt.usage),
        "provider_lanes": [_provider_lane(each) for each in receipt.ran],
        "rejected_lanes": [_rejected_lane(each) for each in receipt.rejected],
        "may_be_paid_twice": {"items": receipt.unheard_items, "interrupted_runs": receipt.lost_owners},
    }


def _provider_lane(ran: RanLane) -> ProviderLane:
    return {
        "provider": ran.lane.provider,
        "model": ran.lane.model,
        "mode": ran.lane.mode.value,
        "items": ran.items,
        "cost": money(ran.tally.cost_picousd),
        "tokens": _tokens(ran.tally.usage),
    }


def _tokens(usage: Usage) -> ReceiptTokens:
    return {
        "input": usage.input_tokens,
        "cached_input": usage.cached_tokens,
        "output": usage.output_tokens,
        "reasoning": usage.reasoning_tokens,
    }


def _rejected_lane(quoted: QuotedLane) -> RejectedLane:
    return {
        "provider": quoted.lane.provider,
        "model": quoted.lane.model,
        "mode": quoted.lane.mode.value,
        "verdict": quoted.verdict.value,
        "reason": REASONS[quoted.verdict],
    }
