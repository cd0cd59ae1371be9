"""docs/providers.md and docs/adding-a-provider.md: every parameter has its row, every example is one."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from genai_prices.data import providers as price_lists
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming

from batchyard.adapters.catalogue import PROVIDERS_FILE, read_catalogue, read_providers
from batchyard.core.providers import KINDS
from tests.sdk_types import members

DOCS = Path(__file__).parents[2] / "docs"
PROVIDERS = (DOCS / "providers.md").read_text()
EXAMPLES = re.findall(r"```toml\n(.*?)```", (DOCS / "adding-a-provider.md").read_text(), re.DOTALL)
SECTIONS = dict(section.split("\n", 1) for section in PROVIDERS.split("\n## ")[1:])
AT_VENDORS = [heading for heading in SECTIONS if heading.startswith("Chat completions at ")]


def named(section: str) -> set[str]:
    """The parameters that the tables of a section name."""
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
    return {name.partition(":")[0].partition(".")[0] for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_each_vendor_that_is_translated_for_has_a_section() -> None:
    """So that the next test reads it."""
    assert len(AT_VENDORS) == len(KINDS) - 1


@pytest.mark.parametrize("heading", AT_VENDORS)
def test_every_parameter_of_openais_sdk_has_a_row(heading: str) -> None:
    """What becomes of it at each vendor is written down, as soon as the SDK knows it."""
    assert members(CompletionCreateParamsNonStreaming).keys() - named(SECTIONS[heading]) == set()


def test_every_parameter_of_anthropics_sdk_has_a_row() -> None:
    """What becomes of it elsewhere."""
    assert (
        members(MessageCreateParamsNonStreaming).keys() - named(SECTIONS["Anthropic's form everywhere else"]) == set()
    )


def test_every_kind_has_a_row() -> None:
    """Of the table at the top."""
    assert named(PROVIDERS.split("How to add one")[0]) == set(KINDS)


@pytest.mark.parametrize("example", EXAMPLES, ids=[tomllib.loads(each)["providers"][0]["name"] for each in EXAMPLES])
def test_every_example_can_be_copied(example: str) -> None:
    """It is an entry that synth and workers take, with prices of its own or a price list that exists."""
    document = tomllib.loads(example)
    (provider,) = read_providers(document)
    lists = {price_list.id for price_list in price_lists}
    assert provider.catalogue in lists if provider.catalogue is not None else document["models"]
    by_itself = re.sub(r"(?m)^catalogue = .*\n", "", example)
    assert read_catalogue(by_itself, b'{"providers":{}}').providers.keys() == {provider.name}


def test_the_examples_stand_beside_the_real_ones() -> None:
    """None of them is a provider already, but for the one that shows its modes."""
    real = {provider.name for provider in read_providers(tomllib.loads(PROVIDERS_FILE.read_text()))}
    shown = [tomllib.loads(example)["providers"][0]["name"] for example in EXAMPLES]
    assert len(shown) == len(set(shown)) == 10
    assert set(shown) & real == {"openai"}


def test_the_head_of_the_file_shows_every_field() -> None:
    """Whoever edits providers.toml sees what may stand there, and the example in its head is one."""
    head = PROVIDERS_FILE.read_text().partition("\n[[providers]]")[0]
    for field in (
        "variant",
        "modes",
        "native",
        "flex_price_percent",
        "flex_models",
        "native_models",
        "regions",
        "retention",
        "private",
    ):
        assert f"#   {field} = " in head, field
