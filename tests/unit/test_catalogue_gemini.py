"""Google's price list, as a deployment with a Gemini provider compiles it."""

from __future__ import annotations

from datetime import UTC, date, datetime

import genai_prices
import orjson
import pytest
from genai_prices.data import providers as price_lists

from batchyard.adapters.catalogue import read_catalogue
from batchyard.core.catalogue import Catalogue
from batchyard.core.usage import Usage
from tools.compile_catalogue import models_of

AS_OF = date(2026, 11, 20)
PROVIDERS = """
[[providers]]
name = "gemini"
kind = "gemini"
base_url = "https://generativelanguage.googleapis.com/v1beta"
catalogue = "google"
"""


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    (google,) = (price_list for price_list in price_lists if price_list.id == "google")
    models = list(models_of(google, AS_OF))
    return read_catalogue(PROVIDERS, orjson.dumps({"providers": {"google": models}}))


@pytest.mark.parametrize(
    "model",
    [
        *("gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-2.5-flash-lite-preview-06-17"),
        *("gemini-3.1-pro-preview", "gemini-3.8-flash", "gemini-flash-latest", "gemini-4-argon"),
        "gemini-embedding-001",
    ],
)
@pytest.mark.parametrize("given", [1000, 300_000])
def test_geminis_models_cost_what_they_cost(catalogue: Catalogue, model: str, given: int) -> None:
    """Also those whose names only a combined rule fits; genai-prices works out the same."""
    (offer,) = catalogue.find(model)
    used = genai_prices.Usage(input_tokens=given, output_tokens=10)
    at = datetime(AS_OF.year, AS_OF.month, AS_OF.day, tzinfo=UTC)
    theirs = genai_prices.calc_price(used, model, provider_id="google", genai_request_timestamp=at).total_price
    assert offer.price.cost_picousd(Usage(given, 0, 10)) == theirs * 10**12


@pytest.mark.parametrize(
    "model",
    [
        *("claude-opus-4-5", "claude-sonnet-5-5", "gemma-4-26b-a4b-it-maas"),
        *("gemini-2.5-flash-image", "gemini-2.5-pro-tts", "gemini-3.8-live", "gemini-live-2.5-flash"),
        "gemini-2.5-flash-lite-preview-tts",
    ],
)
def test_what_geminis_batches_do_not_serve_is_not_offered(catalogue: Catalogue, model: str) -> None:
    """Other vendors' models, which Google sells on another platform, and those that paint or speak."""
    assert catalogue.find(model) == ()
