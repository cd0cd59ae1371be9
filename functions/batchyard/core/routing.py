"""Which offer an item takes, and the rules that its batch has for that. All that is known of providers is in the
catalogue that it gets."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

from batchyard.core.catalogue import Catalogue, Offer


class RoutingMode(enum.StrEnum):
    """How lanes are chosen. `cheapest`; `sla_aware`: the cheapest that is expected to be done by the deadline with a
    margin; `public_only`, `edge_only`: vendors or the owner's own network; `hybrid`: the owner's own network first;
    `privacy_constrained`: the one that keeps the least, then the cheapest."""

    CHEAPEST = "cheapest"
    SLA_AWARE = "sla_aware"
    PUBLIC_ONLY = "public_only"
    EDGE_ONLY = "edge_only"
    HYBRID = "hybrid"
    PRIVACY_CONSTRAINED = "privacy_constrained"


class PrivacyTier(enum.StrEnum):
    """Who may see the items. `confidential`: providers that keep nothing; `restricted`: only private endpoints."""

    STANDARD = "standard"
    CONFIDENTIAL = "confidential"
    RESTRICTED = "restricted"


class ServiceTier(enum.StrEnum):
    """How soon. `standard`: 24 hours; `flex`: 48; `priority`: ahead of the others."""

    STANDARD = "standard"
    FLEX = "flex"
    PRIORITY = "priority"


@dataclass(frozen=True, slots=True)
class RoutingRules:
    """What a batch allows. `models`: in order of preference, models that may stand in for each other; empty: each
    item's own."""

    mode: RoutingMode = RoutingMode.CHEAPEST
    privacy: PrivacyTier = PrivacyTier.STANDARD
    tier: ServiceTier = ServiceTier.STANDARD
    models: tuple[str, ...] = ()

    def to_row(self) -> list[Any]:
        return [str(self.mode), str(self.privacy), str(self.tier), list(self.models)]

    @classmethod
    def from_row(cls, row: list[Any]) -> RoutingRules:
        mode, privacy, tier, models = row[:4]
        return cls(RoutingMode(mode), PrivacyTier(privacy), ServiceTier(tier), tuple(models))


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an item can go nowhere. `code`, `message` and `param` (of the item's line) are those of a LineError."""

    code: str
    message: str
    param: str


def route(model: str, provider: str | None, catalogue: Catalogue, endpoint: str) -> Offer | Refusal:
    """The cheapest offer of `model` (at `provider`, if the item names one) that serves `endpoint`. Equal prices:
    the order of providers.toml. The offer's `model` may differ from the item's (a namespace is taken off)."""
    if provider is not None and provider not in catalogue.providers:
        return Refusal(
            "provider_not_found",
            f"The provider '{provider}' does not exist here. Use one of: {', '.join(catalogue.providers)}.",
            "provider",
        )
    offers = catalogue.find(model, provider)
    if not offers:
        where = f" at the provider '{provider}'" if provider is not None else ""
        return Refusal(
            "model_not_found",
            f"The model '{model}' does not exist{where}. GET /v1/models lists the models that can be used; an "
            "operator can add others to providers.toml.",
            "body.model",
        )
    serving = [offer for offer in offers if catalogue.providers[offer.provider].serves(endpoint)]
    if not serving:
        names = ", ".join(offer.provider for offer in offers)
        return Refusal(
            "endpoint_not_supported",
            f"The model '{model}' cannot be used with {endpoint}: the providers that have it ({names}) do not serve "
            "that endpoint. Use another model or another endpoint.",
            "body.model",
        )
    return min(serving, key=_blended_price)


def _blended_price(offer: Offer) -> int:
    """Three input tokens to one output token, the usual mix of price comparisons."""
    return 3 * offer.price.input_microusd + offer.price.output_microusd
