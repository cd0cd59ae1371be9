"""Which offers an item may take, and in which order, by the rules that its batch has for that. All that is known of
providers is in the catalogue that it gets.

    every offer of the model, or of any model that may stand in for it
      └─▶ keeps to the privacy tier ─▶ fits the routing mode ─▶ in an allowed region ─▶ serves the endpoint
            └─▶ has a price for what it is to make ─▶ ranked
                 each step that an offer does not pass is a Verdict, which a quote or a plan shows

What is refused here is in nobody's list: neither a plan nor a failover can choose it later.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from batchyard.core.catalogue import Catalogue, Offer
from batchyard.core.providers import IMAGE_ENDPOINTS, Provider
from batchyard.core.rules import ANYWHERE, NO_RULES, PrivacyTier, RoutingMode, RoutingRules
from batchyard.core.usage import Price

_KEEPS_NOTHING = "none"
_UNKNOWN_RETENTION_DAYS = 10_000
_KINDS_THAT_KEEP_NO_JOBS = frozenset({"bedrock"})


class Verdict(enum.StrEnum):
    """Why a lane is taken, or not."""

    SELECTED = "selected"
    DEARER = "dearer"
    LESS_PREFERRED = "less_preferred"
    IMMEDIATE = "immediate"
    UNSUPPORTED = "unsupported"
    ENDPOINT = "endpoint"
    TOO_FEW = "too_few"
    TOO_MANY_JOBS = "too_many_jobs"
    CONCURRENCY = "concurrency"
    TOO_LATE = "too_late"
    TROUBLE = "trouble"
    PRIVACY = "privacy"
    POLICY = "policy"
    ROUTING_MODE = "routing_mode"
    REGION = "region"
    UNPRICED = "unpriced"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an item can go nowhere. `code`, `message` and `param` (of the item's line) are those of a LineError.
    `unserved`: the offers that are only short of the endpoint; an item that goes there all the same is not sent, and
    fails with that reason."""

    code: str
    message: str
    param: str
    unserved: tuple[Offer, ...] = ()


@dataclass(frozen=True, slots=True)
class Rejected:
    """An offer that items may not take."""

    offer: Offer
    verdict: Verdict


def eligible(
    model: str, provider: str | None, catalogue: Catalogue, endpoint: str, rules: RoutingRules = NO_RULES
) -> tuple[Offer, ...] | Refusal:
    """The offers that an item for `model` may take (at `provider`, if the item names one), the best one first. Equal
    ones: the order of `rules.models`, then of providers.toml. An offer's `model` may differ from the item's (a
    namespace is taken off)."""
    if provider is not None and provider not in catalogue.providers:
        return Refusal(
            "provider_not_found",
            f"The provider '{provider}' does not exist here. Use one of: {', '.join(catalogue.providers)}.",
            "provider",
        )
    wanted = rules.models_for(model)
    offers = _offers(wanted, provider, catalogue)
    if not offers:
        return _not_found(wanted, provider)
    allowed, refused = [], []
    for offer in offers:
        verdict = verdict_on(offer, catalogue.providers[offer.provider], endpoint, rules)
        if verdict is None:
            allowed.append(offer)
        else:
            refused.append(Rejected(offer, verdict))
    if not allowed:
        return _refusal(wanted, refused, endpoint)
    return tuple(
        sorted(
            allowed,
            key=lambda offer: (preference(catalogue.providers[offer.provider], rules), blended_price(offer.price)),
        )
    )


def rejected(
    model: str, provider: str | None, catalogue: Catalogue, endpoint: str, rules: RoutingRules = NO_RULES
) -> tuple[Rejected, ...]:
    """The offers of what an item asks for that it may not take, each with the first reason."""
    found = []
    for offer in _offers(rules.models_for(model), provider, catalogue):
        verdict = verdict_on(offer, catalogue.providers[offer.provider], endpoint, rules)
        if verdict is not None:
            found.append(Rejected(offer, verdict))
    return tuple(found)


def verdict_on(offer: Offer, provider: Provider, endpoint: str, rules: RoutingRules) -> Verdict | None:
    """Why items of a batch with `rules` may not take the `offer` of `provider`; None if they may."""
    if rules.privacy is PrivacyTier.CONFIDENTIAL and provider.retention != _KEEPS_NOTHING:
        return Verdict.PRIVACY
    if rules.privacy is PrivacyTier.RESTRICTED and not provider.private:
        return Verdict.PRIVACY
    if rules.mode is RoutingMode.PUBLIC_ONLY and provider.private:
        return Verdict.ROUTING_MODE
    if rules.mode is RoutingMode.EDGE_ONLY and not provider.private:
        return Verdict.ROUTING_MODE
    if rules.regions and ANYWHERE not in rules.regions and not set(rules.regions) & set(provider.regions):
        return Verdict.REGION
    if not provider.serves(endpoint):
        return Verdict.ENDPOINT
    if endpoint in IMAGE_ENDPOINTS and offer.price.image is None:
        return Verdict.UNPRICED
    return None


def may_run_jobs(provider: Provider, rules: RoutingRules) -> bool:
    """Whether items of a batch with `rules`, which may go to `provider`, may be in its own batches. Vendors keep those
    for weeks, whatever they have agreed to for calls; Bedrock works on files in the deployment's own bucket."""
    return (
        rules.privacy is not PrivacyTier.CONFIDENTIAL or provider.private or provider.kind in _KINDS_THAT_KEEP_NO_JOBS
    )


def preference(provider: Provider, rules: RoutingRules) -> int:
    """What comes before the price: the lower the better, equal if only the price counts."""
    if rules.mode is RoutingMode.HYBRID:
        return 0 if provider.private else 1
    if rules.mode is RoutingMode.PRIVACY_CONSTRAINED:
        return 0 if provider.private else _days_kept(provider)
    return 0


def blended_price(price: Price) -> int:
    """Three input tokens to one output token, the usual mix of price comparisons."""
    return 3 * price.input_microusd + price.output_microusd


def _days_kept(provider: Provider) -> int:
    if provider.retention is None:
        return _UNKNOWN_RETENTION_DAYS
    return 0 if provider.retention == _KEEPS_NOTHING else int(provider.retention.removeprefix("days:"))


def _offers(models: tuple[str, ...], provider: str | None, catalogue: Catalogue) -> tuple[Offer, ...]:
    """Each once, in the order in which they are asked for."""

    def found() -> Iterator[Offer]:
        for model in models:
            yield from catalogue.find(model, provider)

    return tuple(dict.fromkeys(found()))


def _not_found(models: tuple[str, ...], provider: str | None) -> Refusal:
    where = f" at the provider '{provider}'" if provider is not None else ""
    what = f"The model '{models[0]}' does" if len(models) == 1 else f"The models {', '.join(models)} do"
    return Refusal(
        "model_not_found",
        f"{what} not exist{where}. GET /v1/models lists the models that can be used; an operator can add others to "
        "providers.toml.",
        "body.model",
    )


_WHY = {
    Verdict.PRIVACY: "do not keep to the privacy tier of the batch",
    Verdict.ROUTING_MODE: "are not what its routing mode allows",
    Verdict.REGION: "are in none of its regions",
}


def _refusal(models: tuple[str, ...], refused: list[Rejected], endpoint: str) -> Refusal:
    model = ", ".join(models)
    unserved = tuple(each.offer for each in refused if each.verdict is Verdict.ENDPOINT)
    if unserved:
        names = ", ".join(each.provider for each in unserved)
        return Refusal(
            "endpoint_not_supported",
            f"The model '{model}' cannot be used with {endpoint}: the providers that have it ({names}) do not serve "
            "that endpoint. Use another model or another endpoint.",
            "body.model",
            unserved,
        )
    unpriced = [each.offer for each in refused if each.verdict is Verdict.UNPRICED]
    if unpriced:
        return _unpriced(unpriced[0])
    reasons = "; ".join(
        f"{', '.join(each.offer.provider for each in refused if each.verdict is verdict)} {why}"
        for verdict, why in _WHY.items()
        if any(each.verdict is verdict for each in refused)
    )
    return Refusal(
        "no_eligible_lane",
        f"Nobody who has the model '{model}' may be sent this batch: {reasons}. Use another model, or other rules.",
        "body.model",
    )


def _unpriced(offer: Offer) -> Refusal:
    entry = f'[[models]] with provider = "{offer.provider}", id = "{offer.model}"'
    return Refusal(
        "image_price_unknown",
        f"What images of the model '{offer.model}' cost at {offer.provider} is not known here, so that nothing is "
        f"sent. An operator can add it to providers.toml: {entry}, input_microusd, output_microusd, "
        "image_input_microusd and image_output_microusd.",
        "body.model",
    )
