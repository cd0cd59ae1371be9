"""Counting tokens with the vocabularies that are deployed."""

from __future__ import annotations

import ast
import base64
from pathlib import Path

import pytest

from batchyard.adapters import vocabularies
from batchyard.core.text_words import Pattern, words
from batchyard.core.tokenizer import Tokenizer, Vocabulary, pack_ranks, unpack_ranks
from batchyard.core.vocabularies import CL100K_BASE, NAMES, O200K_BASE
from tools.compile_vocabulary import published

PACKAGE = Path(vocabularies.__file__).parents[1]
SINGLE = {bytes([code]): code for code in range(256)}


@pytest.mark.parametrize("name", NAMES)
def test_the_deployed_vocabulary_is_the_published_one(name: str) -> None:
    """Token by token, rank by rank, from the file whose hash tiktoken has."""
    lines = (line.split() for line in published(name).splitlines())
    assert vocabularies.load(name).ranks == {base64.b64decode(token): int(rank) for token, rank in lines}


@pytest.mark.parametrize(
    ("text", "o200k", "cl100k"),
    [
        ("", 0, 0),
        ("hello world", 2, 2),
        ("tiktoken is great!", 6, 6),
        ("antidisestablishmentarianism", 6, 6),
        ("2 + 2 = 4", 7, 7),
        ("\u304a\u8a95\u751f\u65e5\u304a\u3081\u3067\u3068\u3046", 8, 9),
        ("a" * 1000, 125, 125),
        (" " * 1000, 9, 9),
        ("I'LL he's \u017f", 6, 7),
    ],
)
def test_counts_that_are_published(text: str, o200k: int, cl100k: int) -> None:
    """The examples of OpenAI's cookbook, and texts at the edge, as tiktoken counts them."""
    assert vocabularies.tokenizer(O200K_BASE).count(text) == o200k
    assert vocabularies.tokenizer(CL100K_BASE).count(text) == cl100k


@pytest.mark.parametrize("pattern", Pattern)
@pytest.mark.parametrize(
    "text", ["a b\n\n c 12345", "\u00e9t\u00e9 \u4e00\u4e8c'll\r\n \u00a0\u0661\u0662 \U0001f600!"]
)
def test_words_are_the_text_again(text: str, pattern: Pattern) -> None:
    """Nothing is lost between two words, whatever characters there are."""
    found = words(text, pattern)
    assert "".join(found) == text
    assert all(found)


def test_packing_is_undone() -> None:
    """Ranks of a small vocabulary, by way of its joins."""
    ranks = SINGLE | {b"ab": 256, b"abab": 257, b"c" * 2: 258, b"ccab": 259}
    assert unpack_ranks(pack_ranks(ranks)) == ranks


@pytest.mark.parametrize("added", [{b"abc": 256}, {b"ab": 257}])
def test_what_is_no_byte_pair_encoding_is_not_packed(added: dict[bytes, int]) -> None:
    """A token that no join of two makes, and a rank that is left out."""
    with pytest.raises(ValueError, match=r"token|ranks"):
        pack_ranks(SINGLE | added)


def test_joining_ends() -> None:
    """After so many bytes a new word counts as the fewest tokens that it can have, which is never more than it has; a
    word that is known, or is a token, counts as before."""
    vocabulary = Vocabulary("small", Pattern.O200K, SINGLE | {b"ab": 256})
    assert Tokenizer(vocabulary).count("abcd cdef") == 3 + 5
    tokenizer = Tokenizer(vocabulary, joined_bytes_at_most=4)
    assert tokenizer.count("abcd cdef") == 3 + 2
    assert tokenizer.count("abcd ab b") == 3 + 2 + 2
    assert Tokenizer(vocabulary).count("c" * 12_800) == 100


_COUNTING = ("batchyard.adapters.vocabularies", "batchyard.core.tokenizer", "batchyard.core.text_words")


def test_no_function_loads_it_at_its_start() -> None:
    """What counts is imported inside of a function, or by what counts: nobody's cold start pays for it."""
    importing = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name in _COUNTING for name in names):
                importing.add(path.relative_to(PACKAGE).as_posix())
    assert importing == {"adapters/vocabularies.py", "core/tokenizer.py"}
