"""What of a request counts towards its model's context window, and with which tokenizer."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from batchyard.adapters import catalogue
from batchyard.content.windows import within_windows
from batchyard.core.catalogue import Catalogue, Model
from batchyard.core.items import Item, LineError
from batchyard.core.usage import Price
from batchyard.core.vocabularies import CL100K_BASE, O200K_BASE, vocabulary_of
from batchyard.core.windows import TokensOf, estimated_tokens, least_tokens

FREE = Price(0, 0, 0)
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "now",
        "parameters": {"type": "object", "properties": {"name": {"type": "string", "description": "of a town"}}},
    },
}


@pytest.mark.parametrize(
    ("request_", "read", "around"),
    [
        ({"messages": [{"role": "user", "content": "ab"}]}, ["ab"], 3),
        ({"messages": [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]}, ["a", "b"], 6),
        ({"messages": [{"content": [{"type": "text", "text": "ab"}, {"type": "text", "text": "c"}]}]}, ["ab", "c"], 3),
        ({"messages": [{"content": [{"type": "image_url", "image_url": {"url": "data:abc"}}]}]}, [], 3),
        ({"messages": [{"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}]}, ["{}"], 3),
        ({"messages": [], "tools": [WEATHER]}, ["weather", "now", "of a town"], 0),
        ({"messages": [], "metadata": {"text": "no"}, "user": "no", "model": "no"}, [], 0),
        ({"instructions": "be", "input": "ab"}, ["be", "ab"], 0),
        ({"input": [{"role": "user", "content": "ab"}]}, ["ab"], 3),
        ({"input": [{"type": "function_call_output", "output": "ab"}]}, ["ab"], 3),
        ({"input": ["a", "bcd", "ef"]}, ["bcd"], 0),
        ({"input": [1, 2, 3]}, ["..."], 0),
        ({"input": [[1], [2, 3]]}, [".."], 0),
        ({"input": [None]}, [], 0),
        ({}, [], 0),
    ],
)
def test_what_a_model_reads_counts(request_: dict[str, Any], read: list[str], around: int) -> None:
    """Texts, what tools are called and for, three tokens around a message; of an embedding's inputs the longest; no
    images, and nothing that is not for the model."""
    assert least_tokens(request_, len) == sum(map(len, read)) + around


@pytest.mark.parametrize(
    ("model", "vocabulary"),
    [
        *((name, O200K_BASE) for name in ("gpt-4o", "gpt-4o-mini-2024-07-18", "chatgpt-4o-latest", "gpt-4.1-nano")),
        *((name, O200K_BASE) for name in ("gpt-5", "gpt-5.2-pro", "o1", "o3-mini", "o4-mini", "ft:gpt-4o:org::id")),
        *((name, O200K_BASE) for name in ("openai/gpt-oss-120b", "openai.gpt-oss-20b-1:0", "gpt-oss-20b")),
        *((name, CL100K_BASE) for name in ("gpt-4", "gpt-4-turbo", "gpt-4-0613", "gpt-3.5-turbo-0125", "gpt-35-turbo")),
        *((name, CL100K_BASE) for name in ("text-embedding-3-small", "text-embedding-ada-002", "babbage-002")),
        *(
            (name, None)
            for name in ("claude-sonnet-4-5", "o100", "gpt-6", "gpt-45", "llama-3.1-8b", "text-embedding-4")
        ),
        *((name, None) for name in ("not-gpt-4o", "gpt-4all", "mistral-embed", "", "openai/")),
    ],
)
def test_each_model_has_its_tokenizer(model: str, vocabulary: str | None) -> None:
    """As tiktoken's table has them; for a model that is not there nobody knows."""
    assert vocabulary_of(model) == vocabulary


def test_every_model_of_openai_with_a_window_is_known_or_new() -> None:
    """The table is not behind the catalogue, but for models that tiktoken does not know either."""
    offers = [offer for offer in catalogue.load().models() if offer.provider == "openai" and offer.context_window]
    unknown = {offer.model for offer in offers if vocabulary_of(offer.model) is None}
    assert {name for name in unknown if not name.startswith(("gpt-6", "gpt-audio"))} <= {"codex-mini", "computer-use"}


def test_a_picture_takes_no_room_of_the_text() -> None:
    """Nor do other inputs of an embedding, of which each has to fit by itself."""
    picture = {"type": "image_url", "image_url": {"url": "data:" + "x" * 600_000}}
    text = {"type": "text", "text": "abcdef"}
    assert least_tokens({"messages": [{"role": "user", "content": [picture, text]}]}, estimated_tokens) == 3 + 1
    assert least_tokens({"input": ["a" * 600, "b" * 6_000]}, estimated_tokens) == 1_000


def test_the_estimate_takes_six_bytes_to_a_token() -> None:
    """Bytes of UTF-8, rounded down."""
    assert estimated_tokens("ab" * 6) == 2
    assert estimated_tokens("\u4e00" * 4) == 2
    assert estimated_tokens("abcde") == 0


def read(body: dict[str, Any], model: str = "gpt-4", others: tuple[str, ...] = (), **tokens: int) -> str | None:
    """The error of an item with this body. `tokens`: vocabulary -> what it counts the whole item as."""

    def item(raw: bytes, index: int, line: int) -> Item:
        return Item(index, "a", model, raw)

    def count_with(vocabulary: str) -> TokensOf:
        return lambda text: tokens[vocabulary]

    parse = within_windows(item, others, CATALOGUE, count_with)
    found = parse(orjson.dumps(body), 0, 7)
    assert isinstance(found, Item) or (found.code, found.line, found.param) == ("context_window_exceeded", 7, "input")
    return found.message if isinstance(found, LineError) else None


CATALOGUE = Catalogue(
    [catalogue.load_providers()[0]],
    {
        "openai": [
            Model("gpt-4", FREE, context_window=100),
            Model("gpt-4o", FREE, context_window=150),
            Model("llama", FREE, context_window=30),
            Model("windowless", FREE),
        ]
    },
)
LONG = {"input": "x" * 400}


def test_a_short_item_is_not_counted() -> None:
    """No more bytes than the window has tokens: no vocabulary is asked for."""
    assert read({"input": "x" * 80}) is None


def test_a_long_item_is_counted() -> None:
    """It fits if it has as many tokens as the window; one more is too many."""
    assert read(LONG, cl100k_base=100) is None
    assert read(LONG, cl100k_base=101) == (
        "This item has 101 tokens at least, counted with cl100k_base; the context window of 'gpt-4' has 100. Shorten "
        "it, or use another model."
    )


def test_without_a_tokenizer_the_length_is_judged() -> None:
    """And the message says so."""
    assert read({"input": "x" * 185}, "llama") is None
    assert "31 tokens at least, estimated by its length" in (read({"input": "x" * 186}, "llama") or "")


def test_each_model_that_may_stand_in_is_asked() -> None:
    """An item is too long only if none takes it, each by its own tokenizer; the largest window is named."""
    assert read(LONG, others=("gpt-4o",), cl100k_base=101, o200k_base=150) is None
    assert read(LONG, others=("llama", "gpt-4o"), cl100k_base=101, o200k_base=100) is None
    assert "'gpt-4o' has 150" in (read(LONG, others=("gpt-4o", "llama"), cl100k_base=101, o200k_base=151) or "")
    assert read(LONG, others=("windowless",), cl100k_base=1000) is None
    assert read(LONG, "nobody-has-it") is None
