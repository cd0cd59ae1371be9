"""Our count of a text's tokens is that of tiktoken, OpenAI's own tokenizer."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha1

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from batchyard.adapters import vocabularies
from batchyard.core.vocabularies import NAMES
from tools.compile_vocabulary import published

_URL = "https://openaipublic.blob.core.windows.net/encodings/{}.tiktoken"

EDGES = st.sampled_from(
    [
        *("'", "\u2019", " ", "\t", "\n", "\r", "/", "-", "!", "0", "9", "a", "A", "s", "S", "l", "L", "12345"),
        *("'ll", "'RE", "the", " quick", "ung", "тест", "ไทย", "\u017f", "\u0663", "\u4e00", "\xf1", "\u0301", "\xaa"),
        *("\u01c5", "\x85", "\xa0", "\x1c", "\u200b", "\u2028", "\U0001f600", "\U0001d400"),
    ]
)
TEXTS = st.one_of(
    st.lists(EDGES, max_size=40).map("".join),
    st.text(st.characters(max_codepoint=0x2FFF, exclude_categories=["Cs", "Cn"]), max_size=40),
    st.text("abcdefghijklmnopqrstuvwxyz", max_size=400),
)


@pytest.fixture(scope="module", params=NAMES)
def witness(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tiktoken.Encoding]:
    """tiktoken with its own patterns, and the published file where it would have downloaded it to."""
    name = str(request.param)
    cache = tmp_path_factory.mktemp("tiktoken")
    (cache / sha1(_URL.format(name).encode(), usedforsecurity=False).hexdigest()).write_bytes(published(name))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_CACHE_DIR", str(cache))
        yield tiktoken.get_encoding(name)


@given(text=TEXTS)
def test_every_text_has_as_many_tokens(witness: tiktoken.Encoding, text: str) -> None:
    """Of letters, marks, digits, signs and spaces of many scripts, and of long words."""
    assert vocabularies.tokenizer(witness.name).count(text) == len(witness.encode_ordinary(text))
