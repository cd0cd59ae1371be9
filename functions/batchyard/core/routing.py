"""Which offer an item takes. All that is known of providers is in the catalogue that it gets."""

from __future__ import annotations

from dataclasses import dataclass

from batchyard.core.catalogue import Catalogue, Offer


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
