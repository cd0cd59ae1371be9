"""Loads the vocabularies that `tools/compile_vocabulary.py` has written beside the code.

Loading one takes a fifth of a second and 25 MB: it is loaded when a text has to be counted, and kept.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from batchyard.core.text_words import Pattern
from batchyard.core.tokenizer import Tokenizer, Vocabulary, unpack_ranks
from batchyard.core.vocabularies import CL100K_BASE, O200K_BASE

_FOLDER = Path(__file__).parents[1]
_PATTERNS = {O200K_BASE: Pattern.O200K, CL100K_BASE: Pattern.CL100K}


def vocabulary_file(name: str) -> Path:
    return _FOLDER / f"{name}.vocabulary"


@cache
def load(name: str) -> Vocabulary:
    """Raises KeyError for a name that is not one of `core.vocabularies.NAMES`."""
    return Vocabulary(name, _PATTERNS[name], unpack_ranks(vocabulary_file(name).read_bytes()))


def tokenizer(name: str) -> Tokenizer:
    """A new one, with all its work before it. Raises KeyError as `load`."""
    return Tokenizer(load(name))
