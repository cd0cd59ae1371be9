"""Where routing sends an item, and what it says when it can send it nowhere."""

from __future__ import annotations

from batchyard.core.catalogue import Catalogue, Model, Offer
from batchyard.core.providers import Provider
from batchyard.core.routing import Refusal, route
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


def refused(model: str, provider: str | None = None, endpoint: str = CHAT) -> Refusal:
    outcome = route(model, provider, CATALOGUE, endpoint)
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
