"""What the catalogue finds, and that the committed one is what genai-prices gives."""

from __future__ import annotations

import tomllib
from datetime import date

import genai_prices
import orjson
import pytest

from batchyard.adapters.catalogue import CATALOGUE_FILE, load, load_providers, read_catalogue, read_providers
from batchyard.core.catalogue import Offer
from batchyard.core.usage import Price, Usage
from tools.compile_catalogue import compile_catalogue, encode

PROVIDERS = """
[[providers]]
name = "openai"
kind = "openai"
base_url = "https://api.openai.com/v1"
catalogue = "openai"

[[providers]]
name = "edge"
kind = "openai"
base_url = "http://edge.internal/v1"
max_concurrency = 2
"""
COMPILED = orjson.dumps(
    {
        "providers": {
            "openai": [
                {"id": "gpt", "microusd": [10, 5, 40], "aliases": ["gpt-2026-01-01"]},
                {"id": "ft:*", "microusd": [30, 30, 60], "prefixes": ["ft:gpt"], "patterns": ["-guard$"]},
                {"id": "free", "microusd": [0, 0, 0]},
            ]
        }
    }
)
EDGE_MODELS = """
[[models]]
provider = "edge"
id = "llama/*"
input_microusd = 7
output_microusd = 9

[[models]]
provider = "edge"
id = "my-guard"
input_microusd = 1
cached_microusd = 0
output_microusd = 2
"""


def test_an_alias_is_sent_as_the_provider_knows_it() -> None:
    """A gateway's spelling finds the model and its price, and the provider gets its own name; no list shows aliases."""
    aliases = '[aliases.openai]\n"g.p.t" = "gpt"\n'
    catalogue = read_catalogue(PROVIDERS + aliases, COMPILED)
    for name in ("g.p.t", "openai/g.p.t"):
        assert catalogue.find(name) == (Offer("openai", "gpt", Price(10, 5, 40)),)
    assert "g.p.t" not in {offer.model for offer in catalogue.models()}
    for wrong in ('[aliases.openai]\n"a" = "nothing"\n', '[aliases.nobody]\n"a" = "gpt"\n'):
        with pytest.raises(ValueError, match="not there"):
            read_catalogue(PROVIDERS + wrong, COMPILED)


def test_fastrouters_example_is_a_model_here() -> None:
    """The name in its documentation, which Anthropic does not know."""
    (offer,) = load().find("anthropic/claude-4.5-sonnet", "anthropic")
    assert (offer.provider, offer.model) == ("anthropic", "claude-sonnet-4-5")
    (other,) = load().find("anthropic/claude-sonnet-4.5")
    assert other == offer


@pytest.mark.parametrize(
    ("input_tokens", "cached_tokens", "output_tokens"),
    [(200_000, 0, 10), (200_001, 0, 10), (900_000, 899_000, 0), (0, 0, 9), (150_000, 100_000, 90_000)],
)
@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-haiku-4-5"])
def test_long_prompts_cost_what_they_cost(
    model: str, input_tokens: int, cached_tokens: int, output_tokens: int
) -> None:
    """Above a model's threshold all of a call's tokens have another price; genai-prices works out the same."""
    (offer,) = load().find(model, "anthropic")
    ours = offer.price.cost_picousd(Usage(input_tokens, cached_tokens, output_tokens))
    used = genai_prices.Usage(input_tokens=input_tokens, cache_read_tokens=cached_tokens, output_tokens=output_tokens)
    theirs = genai_prices.calc_price(used, model, provider_id="anthropic").total_price
    assert ours == theirs * 10**12


def test_each_threshold_has_its_price() -> None:
    """The highest one that the input is longer than counts, for every token."""
    entry = {"id": "m", "microusd": [10, 5, 40], "above": [[100, 20, 10, 60], [1000, 30, 15, 90]]}
    (offer,) = read_catalogue(PROVIDERS, orjson.dumps({"providers": {"openai": [entry]}})).find("m")
    costs = [offer.price.cost_picousd(Usage(given, 0, 1)) for given in (100, 101, 1000, 1001)]
    assert costs == [100 * 10 + 40, 101 * 20 + 60, 1000 * 20 + 60, 1001 * 30 + 90]


def test_the_committed_catalogue_is_what_genai_prices_gives() -> None:
    """Compiling again for the committed date gives the committed file, byte for byte."""
    committed = CATALOGUE_FILE.read_bytes()
    as_of = date.fromisoformat(orjson.loads(committed)["as_of"])
    assert encode(compile_catalogue(as_of)) == committed, "run make catalogue"


def test_models_of_a_price_list_that_are_known_by_patterns_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of Amazon Bedrock: a model is found by the name of its inference profile, at the price of its region."""
    entry = 'name = "bedrock"\nkind = "bedrock"\nbase_url = "https://bedrock-runtime.eu-west-1.amazonaws.com"'
    text = f'[[providers]]\n{entry}\ncatalogue = "aws"'
    monkeypatch.setattr("tools.compile_catalogue.load_providers", lambda: read_providers(tomllib.loads(text)))
    catalogue = read_catalogue(text, encode(compile_catalogue(date(2026, 11, 20))))
    prices = [
        catalogue.find(f"{scope}.anthropic.claude-sonnet-4-5-20250929-v1:0", "bedrock")[0].price.input_microusd
        for scope in ("global", "eu")
    ]
    assert prices == [3_000_000, 3_300_000]


def test_every_provider_of_the_file_has_models() -> None:
    """providers.toml and catalogue.json fit together, and every model has whole, sensible prices."""
    catalogue = load()
    assert tuple(catalogue.providers) == tuple(provider.name for provider in load_providers())
    offers = catalogue.models()
    assert {offer.provider for offer in offers} == set(catalogue.providers)
    for offer in offers:
        assert 0 <= offer.price.cached_microusd <= offer.price.input_microusd < 1_000_000_000, offer
        assert catalogue.find(offer.model, offer.provider)[0].provider == offer.provider


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("gpt-4o-mini", Price(150_000, 75_000, 600_000)),
        ("gpt-4o-mini-2024-07-18", Price(150_000, 75_000, 600_000)),
        ("gpt-4.1-mini", Price(400_000, 100_000, 1_600_000)),
        ("text-embedding-3-small", Price(20_000, 20_000, 0)),
        ("omni-moderation-latest", Price(0, 0, 0)),
        ("omni-moderation-2024-09-26", Price(0, 0, 0)),
        ("ft:gpt-4o-mini-2024-07-18:acme::abc", Price(300_000, 300_000, 1_200_000)),
    ],
)
def test_known_prices(model: str, price: Price) -> None:
    """OpenAI's list prices of well-known models, as micro-dollars per million tokens."""
    (offer,) = load().find(model)
    assert (offer.provider, offer.model, offer.price) == ("openai", model, price)


def test_what_a_vendor_charges_for_its_cache() -> None:
    """Writing to it costs more than reading the prompt for the first time, where the price list says so."""
    (claude,) = load().find("claude-sonnet-5-5")
    assert claude.price == Price(2_000_000, 100_000, 10_000_000, 2_500_000)
    own = '[[models]]\nprovider = "edge"\nid = "m"\ninput_microusd = 4\noutput_microusd = 9\ncache_write_microusd = 5\n'
    (model,) = read_catalogue(PROVIDERS + own, COMPILED).find("m")
    assert model.price == Price(4, 4, 9, 5)


def test_a_namespace_names_the_provider_and_is_taken_off() -> None:
    """`anthropic/claude-…` is Anthropic's model under Anthropic's name; ids that hold a slash stay whole."""
    (claude,) = load().find("anthropic/claude-opus-4-5")
    assert (claude.provider, claude.model) == ("anthropic", "claude-opus-4-5")
    hosts = {offer.provider: offer.model for offer in load().find("openai/gpt-oss-120b")}
    assert hosts == {"groq": "openai/gpt-oss-120b", "together": "openai/gpt-oss-120b"}
    (one,) = load().find("groq/openai/gpt-oss-120b")
    assert (one.provider, one.model) == ("groq", "openai/gpt-oss-120b")


def test_an_exact_id_beats_a_pattern_elsewhere() -> None:
    """A deployment's own `my-guard` is not caught by another provider's pattern for names that end in -guard."""
    catalogue = read_catalogue(PROVIDERS + EDGE_MODELS, COMPILED)
    assert catalogue.find("my-guard") == (Offer("edge", "my-guard", Price(1, 0, 2)),)
    assert [offer.provider for offer in catalogue.find("your-guard")] == ["openai"]


def test_find_by_alias_prefix_and_provider() -> None:
    """Aliases, prefixes and a deployment's own `*` entries lead to a model; a missing cached price is the full one."""
    catalogue = read_catalogue(PROVIDERS + EDGE_MODELS, COMPILED)
    assert catalogue.find("gpt-2026-01-01") == (Offer("openai", "gpt-2026-01-01", Price(10, 5, 40)),)
    assert catalogue.find("ft:gpt:acme")[0].price == Price(30, 30, 60)
    assert catalogue.find("llama/70b", "edge") == (Offer("edge", "llama/70b", Price(7, 7, 9)),)
    assert catalogue.find("edge/llama/70b")[0].model == "llama/70b"
    for model, provider in [("gpt", "edge"), ("GPT", None), ("gpt", "nowhere"), ("", None), ("gpt-2026", None)]:
        assert catalogue.find(model, provider) == ()


def test_a_deployments_own_price_replaces_the_catalogues() -> None:
    """A `[[models]]` entry with the id of a compiled model overrides its price."""
    override = '[[models]]\nprovider = "openai"\nid = "gpt"\ninput_microusd = 1\noutput_microusd = 2\n'
    catalogue = read_catalogue(PROVIDERS + override, COMPILED)
    assert catalogue.find("gpt")[0].price == Price(1, 1, 2)
    assert catalogue.find("gpt-2026-01-01")[0].price == Price(10, 5, 40)


def test_a_million_made_up_names_do_not_fill_the_memory() -> None:
    """What `find` remembers is bounded, whatever customers send."""
    catalogue = read_catalogue(PROVIDERS, COMPILED)
    for number in range(10_000):
        catalogue.find(f"made-up-{number}")
    assert len(catalogue._found) <= 4096


@pytest.mark.parametrize(
    ("line", "replacement", "words"),
    [
        ("max_concurrency = 2", "max_concurrency = 1", "max_concurrency"),
        ('kind = "openai"', 'kind = "carrier-pigeon"', "carrier-pigeon"),
        ('name = "edge"', 'name = "openai"', "twice"),
        ('name = "edge"', 'name = "Edge Node"', "Edge Node"),
        ('base_url = "http://edge.internal/v1"', 'base_url = "http://edge.internal/v1/"', "base_url"),
        ("max_concurrency = 2", 'endpoints = ["/v1/chat"]', "/v1/chat"),
        ("max_concurrency = 2", 'catalogue = "nobody"', "nobody"),
        ("max_concurrency = 2", "max_speed = 2", "max_speed"),
        ('provider = "edge"\nid = "my-guard"', 'provider = "moon"\nid = "my-guard"', "moon"),
        ("input_microusd = 1\n", "input_usd = 1\n", "input_usd"),
    ],
)
def test_a_mistake_in_providers_toml_is_named(line: str, replacement: str, words: str) -> None:
    """A wrong entry stops the start with a message that says which."""
    text = PROVIDERS + EDGE_MODELS
    assert line in text
    with pytest.raises((ValueError, TypeError), match=words):
        read_catalogue(text.replace(line, replacement), COMPILED)
