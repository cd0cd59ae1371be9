"""Where routing sends an item, and what it says when it can send it nowhere."""

from __future__ import annotations

import pytest

from batchyard.core.catalogue import Catalogue, Model, Offer
from batchyard.core.providers import Provider
from batchyard.core.routing import Refusal, Rejected, Verdict, eligible, rejected
from batchyard.core.rules import PrivacyTier, RoutingMode, RoutingRules, ServiceTier
from batchyard.core.usage import Price

CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"


def provider(name: str, *endpoints: str) -> Provider:
    given = {"endpoints": endpoints} if endpoints else {}
    return Provider(name, "openai", f"https://{name}.example/v1", **given)


CATALOGUE = Catalogue(
    [provider("first"), provider("cheap", CHAT), provider("third")],
    {
        "first": [Model("shared", Price(30, 30, 90)), Model("even", Price(5, 5, 5))],
        "cheap": [Model("shared", Price(20, 20, 90)), Model("talker", Price(1, 1, 1))],
        "third": [Model("even", Price(5, 5, 5)), Model("shared", Price(90, 90, 90))],
    },
)


def route(model: str, provider: str | None, catalogue: Catalogue, endpoint: str) -> Offer:
    """The best offer."""
    outcome = eligible(model, provider, catalogue, endpoint)
    assert not isinstance(outcome, Refusal), outcome
    return outcome[0]


def refused(model: str, provider: str | None = None, endpoint: str = CHAT) -> Refusal:
    outcome = eligible(model, provider, CATALOGUE, endpoint)
    assert isinstance(outcome, Refusal)
    return outcome


def test_the_cheapest_offer_that_serves_the_endpoint_wins() -> None:
    """Price decides among providers that can do the work at all."""
    assert route("shared", None, CATALOGUE, CHAT) == Offer("cheap", "shared", Price(20, 20, 90))
    assert route("shared", None, CATALOGUE, EMBEDDINGS) == Offer("first", "shared", Price(30, 30, 90))


def test_equal_prices_keep_the_order_of_the_file() -> None:
    """A tie goes to the provider listed first, so routing is predictable."""
    assert route("even", None, CATALOGUE, CHAT) == Offer("first", "even", Price(5, 5, 5))


def test_an_item_that_names_its_provider_gets_it() -> None:
    """A provider on the line, or before the model's name, overrules the price."""
    assert route("shared", "third", CATALOGUE, CHAT) == Offer("third", "shared", Price(90, 90, 90))
    assert route("third/shared", None, CATALOGUE, CHAT) == Offer("third", "shared", Price(90, 90, 90))
    assert route("third/shared", "third", CATALOGUE, CHAT) == Offer("third", "shared", Price(90, 90, 90))


def test_an_unknown_model_is_named_with_what_to_do() -> None:
    """The message repeats the model, and where it was looked for."""
    missing = refused("gpt-99")
    assert (missing.code, missing.param) == ("model_not_found", "body.model")
    assert "'gpt-99'" in missing.message and "/v1/models" in missing.message
    assert "'third'" in refused("talker", "third").message
    assert refused("third/shared", "first").code == "model_not_found"


def test_an_unknown_provider_is_named_with_those_that_exist() -> None:
    """The message repeats the provider and lists the ones to use."""
    missing = refused("shared", "moon")
    assert (missing.code, missing.param) == ("provider_not_found", "provider")
    assert "'moon'" in missing.message and "first, cheap, third" in missing.message


def test_a_model_that_nobody_serves_at_this_endpoint_is_refused() -> None:
    """It exists, but not here: a code of its own says so."""
    missing = refused("talker", endpoint=EMBEDDINGS)
    assert missing.code == "endpoint_not_supported"
    assert "'talker'" in missing.message and EMBEDDINGS in missing.message and "cheap" in missing.message
    assert missing.unserved == (Offer("cheap", "talker", Price(1, 1, 1)),)


def test_rules_come_before_endpoints() -> None:
    """An offer that the rules forbid is in no list of those that only lack the endpoint: nothing is sent there."""
    edge_only = eligible("talker", None, CATALOGUE, EMBEDDINGS, RoutingRules(RoutingMode.EDGE_ONLY))
    assert isinstance(edge_only, Refusal) and (edge_only.code, edge_only.unserved) == ("no_eligible_lane", ())


EVERYWHERE = Catalogue(
    [
        Provider("vendor", "openai", "https://vendor.example/v1", retention="days:30", regions=("us",)),
        Provider("discreet", "openai", "https://discreet.example/v1", retention="none", regions=("eu",)),
        Provider("silent", "openai", "https://silent.example/v1"),
        Provider("edge", "openai", "http://edge.internal/v1", private=True, retention="days:7", regions=("eu",)),
    ],
    {
        "vendor": [Model("m", Price(10, 10, 10)), Model("n", Price(1, 1, 1))],
        "discreet": [Model("m", Price(30, 30, 30))],
        "silent": [Model("m", Price(20, 20, 20))],
        "edge": [Model("m", Price(40, 40, 40))],
    },
)


def ranked(rules: RoutingRules, model: str = "m") -> list[str]:
    outcome = eligible(model, None, EVERYWHERE, CHAT, rules)
    assert not isinstance(outcome, Refusal), outcome
    return [f"{offer.provider}/{offer.model}" for offer in outcome]


@pytest.mark.parametrize(
    ("rules", "providers"),
    [
        (RoutingRules(), "vendor silent discreet edge"),
        (RoutingRules(RoutingMode.SLA_AWARE), "vendor silent discreet edge"),
        (RoutingRules(RoutingMode.PUBLIC_ONLY), "vendor silent discreet"),
        (RoutingRules(RoutingMode.EDGE_ONLY), "edge"),
        (RoutingRules(RoutingMode.HYBRID), "edge vendor silent discreet"),
        (RoutingRules(RoutingMode.PRIVACY_CONSTRAINED), "discreet edge vendor silent"),
        (RoutingRules(privacy=PrivacyTier.CONFIDENTIAL), "discreet"),
        (RoutingRules(privacy=PrivacyTier.RESTRICTED), "edge"),
        (RoutingRules(RoutingMode.HYBRID, PrivacyTier.CONFIDENTIAL), "discreet"),
        (RoutingRules(regions=("eu",)), "discreet edge"),
        (RoutingRules(regions=("global",)), "vendor silent discreet edge"),
    ],
)
def test_each_rule_has_its_lanes_and_its_order(rules: RoutingRules, providers: str) -> None:
    """Who says nothing of retention or regions counts as keeping everything, nowhere in particular."""
    assert [each.removesuffix("/m") for each in ranked(rules)] == providers.split()


def test_models_that_may_stand_in_for_each_other() -> None:
    """The cheapest of all of them is first; the item's own model does not count beside them, and unknown ones do not
    either."""
    assert ranked(RoutingRules(models=("gone", "m", "n")), "other")[:2] == ["vendor/n", "vendor/m"]
    missing = eligible("m", None, EVERYWHERE, CHAT, RoutingRules(models=("x", "y")))
    assert isinstance(missing, Refusal) and missing.message.startswith("The models x, y do not exist")


def test_rules_that_nobody_keeps_to_are_refused_with_the_reasons() -> None:
    """Each provider that has the model is named with what is against it."""
    nobody = RoutingRules(RoutingMode.PUBLIC_ONLY, PrivacyTier.RESTRICTED, regions=("eu",))
    outcome = eligible("m", None, EVERYWHERE, CHAT, nobody)
    assert isinstance(outcome, Refusal) and outcome.code == "no_eligible_lane"
    assert "vendor, discreet, silent do not keep to the privacy tier" in outcome.message
    assert "edge are not what its routing mode allows" in outcome.message
    assert isinstance(eligible("n", None, EVERYWHERE, CHAT, RoutingRules(RoutingMode.EDGE_ONLY)), Refusal)


def test_what_is_rejected_has_its_verdict() -> None:
    """Every offer is either eligible or rejected, with the first reason."""
    rules = RoutingRules(privacy=PrivacyTier.CONFIDENTIAL)
    verdicts = {each.offer.provider: each.verdict for each in rejected("m", None, EVERYWHERE, CHAT, rules)}
    assert verdicts == dict.fromkeys(("vendor", "silent", "edge"), Verdict.PRIVACY)
    (only,) = rejected("shared", "cheap", CATALOGUE, EMBEDDINGS)
    assert only == Rejected(Offer("cheap", "shared", Price(20, 20, 90)), Verdict.ENDPOINT)


def test_rules_survive_their_row() -> None:
    """An older row has no regions, and a newer one may have more."""
    rules = RoutingRules(RoutingMode.HYBRID, PrivacyTier.RESTRICTED, ServiceTier.FLEX, ("a", "b"), ("eu",))
    assert RoutingRules.from_row(rules.to_row()) == rules
    assert RoutingRules.from_row(rules.to_row()[:4]).regions == ()
    assert RoutingRules.from_row([*rules.to_row(), "later"]) == rules
