"""Images as answers: what they take and cost before they are made, what is charged, and what is not sent."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from batchyard.adapters.catalogue import load, read_catalogue
from batchyard.adapters.providers.openai.translator import OpenAITranslator
from batchyard.adapters.providers.openai_replies import usage_of
from batchyard.adapters.providers.translator import ProviderRequest, Untranslatable
from batchyard.content.measuring import Measure
from batchyard.content.workfile import WorkFile
from batchyard.core.estimates import LanePrice, estimated_picousd
from batchyard.core.images import JOB_ITEMS, image_usage, job_limits_of
from batchyard.core.items import Item, work_line
from batchyard.core.lanes import Lane
from batchyard.core.native_limits import BY_VARIANT
from batchyard.core.providers import IMAGE_ENDPOINTS, IMAGE_GENERATIONS
from batchyard.core.routing import Refusal, Verdict, eligible, rejected
from batchyard.core.rules import NO_RULES
from batchyard.core.sharding import ShardSizes
from batchyard.core.usage import REFUSED_USAGE, ImagePrice, PinnedPrice, Price, Usage
from batchyard.core.witness import witness_body
from local.provider.answers.content import Tokens
from local.provider.answers.openai import images as simulated_images

PRICE = Price(5, 2, 10, image=ImagePrice(8, 30))


@pytest.mark.parametrize(
    ("request_body", "tokens"),
    [
        ({"model": "gpt-image-1", "quality": "low", "size": "1024x1024"}, 272),
        ({"model": "gpt-image-1-mini", "quality": "medium", "size": "1536x1024", "n": 3}, 3 * 1568),
        ({"model": "openai/gpt-image-1.5", "size": "1024x1024"}, 4160),
        ({"model": "gpt-image-1"}, 6240),
        ({"model": "gpt-image-2", "quality": "high", "size": "1024x1024"}, 7024),
        ({"model": "gpt-image-2", "quality": "high", "size": "1536x1024"}, 5488),
        ({"model": "gpt-image-2", "quality": "high", "size": "3584x2048"}, 12329),
        ({"model": "gpt-image-2.6-sunburst", "quality": "high", "size": "auto"}, 7024),
        ({"model": "gpt-image-2", "quality": "high", "size": "1024x1024", "n": "4"}, 4 * 7024),
    ],
)
def test_an_image_takes_what_its_size_and_quality_take(request_body: dict[str, Any], tokens: int) -> None:
    """By OpenAI's table, or by the formula of its calculator; what is left to the model counts as the dearest."""
    found = image_usage(orjson.dumps(request_body | {"prompt": "A cat."}))
    assert (found.output_tokens, found.image_output_tokens, found.image_input_tokens) == (tokens, tokens, 0)


def test_a_quality_that_nobody_published_counts_as_dearer() -> None:
    """Than `high`, so that a price limit is not passed by choosing it."""
    bodies = [{"model": "gpt-image-2.5-flare", "size": "1024x1024", "quality": each} for each in ("high", "max")]
    high, most = (image_usage(orjson.dumps(body)).output_tokens for body in bodies)
    assert most >= 4 * high - 4


@pytest.mark.parametrize("body", [b"[", b"[]", b"{}", b'{"n": -1, "size": 7, "quality": [], "images": 1}'])
def test_any_body_has_an_estimate(body: bytes) -> None:
    """Nothing that an item says breaks the estimate of its batch."""
    assert image_usage(body).output_tokens == 7024 or image_usage(body).output_tokens > 0


def test_images_that_are_given_count() -> None:
    """Each of them, and the mask, at the price of images; the prompt at that of text."""
    edit = {"model": "gpt-image-2", "prompt": "x" * 36, "images": [{"image_url": "https://a.example/1.png"}] * 2}
    found = image_usage(orjson.dumps(edit | {"mask": {"image_url": "data:image/png;base64,AAAA"}}))
    assert (found.image_input_tokens, found.input_tokens) == (21_000, 21_000 + 100)


def test_an_estimate_is_by_the_prices_of_images() -> None:
    """Size by quality by number, whatever the length of the lines; a provider's own batches cost half."""
    body = orjson.dumps({"model": "gpt-image-2", "prompt": "x" * 36, "quality": "high", "size": "1024x1024", "n": 2})
    measure = Measure(IMAGE_GENERATIONS)
    work = WorkFile(
        lambda data: None, sizes=ShardSizes(256), bytes_at_most=10**6, lanes_at_most=1, on_item=measure.count
    )
    lane = work.lane(Lane("openai", "gpt-image-2"))
    for index in range(3):
        work.add(lane, index, work_line(Item(index, f"i{index}", "gpt-image-2", body)))
    lanes, shards = work.finish()
    whole = 3 * (100 * 5 + 2 * 7024 * 30)
    assert estimated_picousd(lanes, shards, measure.usages(), lambda lane: LanePrice(PRICE)) == whole
    assert estimated_picousd(lanes, shards, measure.usages(), lambda lane: LanePrice(PRICE, 50)) == -(-whole // 2)


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        (
            {"input_tokens": 30, "input_tokens_details": {"text_tokens": 10, "image_tokens": 20}, "output_tokens": 50},
            (30, 20, 50, 50),
        ),
        (
            {
                "input_tokens": 30,
                "input_tokens_details": {"text_tokens": 10, "image_tokens": 20},
                "output_tokens": 50,
                "output_tokens_details": {"text_tokens": 8, "image_tokens": 42},
            },
            (30, 20, 50, 42),
        ),
        ({"input_tokens": 30, "output_tokens": 50}, (30, 0, 50, 50)),
    ],
)
def test_what_is_charged_is_what_the_answer_says(usage: dict[str, Any], counts: tuple[int, int, int, int]) -> None:
    """Text and images each at their price; where output is not told apart, it is images."""
    found = usage_of({"created": 1, "data": [{"b64_json": "AAAA"}], "usage": usage})
    given, image_given, made, image_made = counts
    assert found == Usage(given, 0, made, image_input_tokens=image_given, image_output_tokens=image_made)
    expected = (given - image_given) * 5 + image_given * 8 + (made - image_made) * 10 + image_made * 30
    assert PRICE.cost_picousd(found) == expected


def test_counts_of_images_that_cannot_be_true_are_refused() -> None:
    """As any other count; and none exceeds what it is a part of."""
    details = {"image_tokens": -1}
    usage = {"input_tokens": 3, "input_tokens_details": details, "output_tokens": 5}
    assert usage_of({"data": [{"b64_json": ""}], "usage": usage}) == REFUSED_USAGE
    assert Usage(3, 0, 5).with_images(7, 9) == Usage(3, 0, 5, image_input_tokens=3, image_output_tokens=5)


def test_answers_without_images_are_charged_as_ever() -> None:
    """Embeddings have `data`, too; a model without prices of images charges their tokens like others."""
    embeddings = usage_of({"data": [{"embedding": [0.5]}], "usage": {"prompt_tokens": 7}})
    assert embeddings == Usage(7)
    assert Price(5, 2, 10).cost_picousd(Usage(3, 0, 4, image_input_tokens=2, image_output_tokens=4)) == 3 * 5 + 4 * 10


def test_prices_of_images_are_kept_with_a_batch() -> None:
    """In the rows and messages that carry a price; those of an older version have none."""
    for price in (PRICE, Price(1, 2, 3)):
        assert Price.from_row(price.to_row()) == price
        assert PinnedPrice.from_row(PinnedPrice("p", "m", price).to_row()).price == price
    assert Price.from_row([1, 2, 3, None, []]).image is None


def test_the_models_that_openai_has_are_priced() -> None:
    """By the price list that is compiled, and by an entry in providers.toml if it is not in there yet."""
    for model, expected in (
        ("gpt-image-1.5", ImagePrice(8_000_000, 32_000_000)),
        ("gpt-image-2", ImagePrice(8_000_000, 30_000_000)),
        ("gpt-image-2.6-sunburst", ImagePrice(8_000_000, 30_000_000)),
        ("gpt-4o-mini", None),
    ):
        assert load().find(model, "openai")[0].price.image == expected


def test_an_entry_with_one_price_of_images_is_refused() -> None:
    """So that nothing is sold at the price of text by mistake."""
    entry = """
        [[providers]]
        name = "own"
        kind = "openai"
        base_url = "https://own.example/v1"
        [[models]]
        provider = "own"
        id = "painter"
        input_microusd = 1
        output_microusd = 1
        image_output_microusd = 1
    """
    with pytest.raises(ValueError, match=r"model 'painter' .* go together"):
        read_catalogue(entry, b'{"providers": {}}')


@pytest.mark.parametrize("endpoint", IMAGE_ENDPOINTS)
def test_a_model_without_prices_of_images_is_refused(endpoint: str) -> None:
    """And the error says what an operator has to add, and where."""
    found = eligible("gpt-4o-mini", "openai", load(), endpoint)
    assert isinstance(found, Refusal) and found.code == "image_price_unknown" and not found.unserved
    for words in ("providers.toml", 'provider = "openai"', 'id = "gpt-4o-mini"', "image_output_microusd"):
        assert words in found.message
    assert [each.verdict for each in rejected("gpt-4o-mini", "openai", load(), endpoint, NO_RULES)] == [
        Verdict.UNPRICED
    ]
    assert not isinstance(eligible("gpt-image-2", None, load(), endpoint), Refusal)


@pytest.mark.parametrize("endpoint", IMAGE_ENDPOINTS)
def test_requests_for_images_go_out_as_they_are(endpoint: str) -> None:
    """Edits in JSON, too, which OpenAI takes beside its form (`images`, each an `image_url` or a `file_id`)."""
    body = b'{"model":"gpt-image-2","prompt":"svg","images":[{"image_url":"https://a.example/a.png"}]}'
    asked = OpenAITranslator().request(endpoint, body, Lane("openai", "gpt-image-2"))
    assert isinstance(asked, ProviderRequest)
    assert (asked.path, asked.body) == (endpoint.removeprefix("/v1"), body)


def test_what_another_model_would_write_is_not_sent() -> None:
    """SVG has tokens of another model, at a price that the answer does not tell."""
    body = b'{"model":"gpt-image-2.6-sunburst","prompt":"x","output_format":"svg"}'
    asked = OpenAITranslator().request(IMAGE_GENERATIONS, body, Lane("openai", "gpt-image-2.6-sunburst"))
    assert isinstance(asked, Untranslatable) and asked.param == "output_format"


def test_jobs_of_images_are_small() -> None:
    """As many as the executor's disk has room for, which tests/infra/test_functions.py shows."""
    limits = BY_VARIANT["openai"]
    for endpoint in IMAGE_ENDPOINTS:
        assert endpoint in limits.endpoints
        assert job_limits_of(endpoint, limits).max_items == JOB_ITEMS
    assert job_limits_of("/v1/responses", limits) == limits


@pytest.mark.parametrize("endpoint", IMAGE_ENDPOINTS)
def test_a_witness_makes_no_image(endpoint: str) -> None:
    """It is refused before anything is made: at a size that no model has, or without an image to edit."""
    body = orjson.loads(witness_body(endpoint, "gpt-image-2"))
    assert body.get("size") == "1x1" or body.get("images") == []


def test_the_simulated_provider_answers_as_openai_does() -> None:
    """Pictures in base64, and tokens told apart."""
    answer = simulated_images({"model": "m", "prompt": "p", "n": 2, "quality": "low"}, Tokens(9, 0, 0, 0), b"r", 7)
    document = orjson.loads(answer)
    assert base64.b64decode(document["data"][1]["b64_json"]).startswith(b"\x89PNG")
    assert usage_of(document) == Usage(9, 0, 544, image_output_tokens=544)
