"""docs/words.md is about this code: its words are used, and the values it lists are those of the code."""

from __future__ import annotations

import enum
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import batchyard.core

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "words.md").read_text()
WORDS = re.findall(r"^\| ([\w' -]+?) \| .+ \|$", PAGE.split("## Words that need a second word")[0], re.MULTILINE)
WORDS = [word for word in WORDS if word != "word"]
LISTED = re.findall(r"`([A-Z]\w+)`: ([\w, ]+)\|", PAGE)


def code() -> str:
    """All that is deployed or deploys, in small letters; words of more than one may be joined in a name."""
    folders = ("functions", "infra", "local")
    files = [file for folder in folders for kind in ("*.py", "*.asl.json") for file in (ROOT / folder).rglob(kind)]
    return "\n".join(file.read_text().lower() for file in files)


def enums() -> dict[str, type[enum.Enum]]:
    """Every enum of the core by its name."""
    modules = [
        importlib.import_module(f"batchyard.core.{each.name}") for each in pkgutil.iter_modules(batchyard.core.__path__)
    ]
    return {
        name: found
        for module in modules
        for name, found in vars(module).items()
        if isinstance(found, type) and issubclass(found, enum.Enum)
    }


def test_every_word_is_used() -> None:
    """A word that the code no longer uses leaves the page."""
    text = code()
    assert len(WORDS) > 50
    unused = [
        word for word in WORDS if not re.search(r"\b" + word.lower().replace(" ", "[ _]") + r"|_" + word.lower(), text)
    ]
    assert unused == []


def test_each_word_stands_once() -> None:
    """One word, one meaning."""
    assert sorted(WORDS) == sorted(set(WORDS))


@pytest.mark.parametrize(("name", "members"), LISTED, ids=[name for name, _ in LISTED])
def test_listed_values_are_those_of_the_code(name: str, members: str) -> None:
    """An enum that the page spells out has exactly these values."""
    assert {each.value for each in enums()[name]} == {each.strip() for each in members.split(",")}


def test_something_is_listed() -> None:
    """The check above has something to check."""
    assert {name for name, _ in LISTED} >= {"Outcome", "Status"}
