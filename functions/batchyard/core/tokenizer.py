"""Counts the tokens of a text, exactly as OpenAI's tokenizers do (byte pair encoding).

The text is cut into words. A word that is in the vocabulary is one token. Any other begins as single bytes, and the two
neighbours that together have the lowest rank in the vocabulary are joined, until no two neighbours are in it.

A vocabulary is kept as its joins, which take two thirds of what its tokens do. Joining takes far longer than looking
up, so a tokenizer joins so many bytes and no more; after that each word counts as the fewest tokens that it can have.
Texts in a language repeat their words, and never come to that.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from batchyard.core.text_words import Pattern, words

_BYTES = 256
_JOINED_BYTES_AT_MOST = 2_000_000
"""Of all words that a tokenizer counts: some three seconds of a processor."""
_LONGEST_WORD_BYTES = 2_000
"""Longer words are not joined, because the time for a byte grows with the length of its word."""
_LONGEST_TOKEN_BYTES = 128


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The tokens of a tokenizer with their ranks, and how it cuts texts into words."""

    name: str
    pattern: Pattern
    ranks: Mapping[bytes, int]


def unpack_ranks(packed: bytes) -> dict[bytes, int]:
    """The ranks that `tools/compile_vocabulary.py` has packed: the 256 single bytes by rank; then, for each further
    token, the ranks of the two that it is joined of, as columns of one byte each, lowest first; compressed by zlib."""
    data = zlib.decompress(packed)
    joins = (len(data) - _BYTES) // 6
    columns = [data[_BYTES + at * joins : _BYTES + (at + 1) * joins] for at in range(6)]
    tokens = [data[rank : rank + 1] for rank in range(_BYTES)]
    for low, middle, high, other_low, other_middle, other_high in zip(*columns, strict=True):
        left = low | middle << 8 | high << 16
        right = other_low | other_middle << 8 | other_high << 16
        tokens.append(tokens[left] + tokens[right])
    return {token: rank for rank, token in enumerate(tokens)}


def pack_ranks(ranks: Mapping[bytes, int]) -> bytes:
    """What `unpack_ranks` takes. Raises ValueError if the ranks are not those of a byte pair encoding."""
    tokens = sorted(ranks, key=lambda token: ranks[token])
    if [ranks[token] for token in tokens] != list(range(len(tokens))) or any(
        len(each) != 1 for each in tokens[:_BYTES]
    ):
        raise ValueError("the ranks begin with the 256 single bytes, and leave none out")
    lower = {token: ranks[token] for token in tokens[:_BYTES]}
    joins = []
    for token in tokens[_BYTES:]:
        joins.append([ranks[part] for part in _joined(token, lower)])
        lower[token] = ranks[token]
    if any(len(join) != 2 for join in joins):
        raise ValueError("a token is not joined of two others")
    columns = [bytes(join[side] >> shift & 0xFF for join in joins) for side in (0, 1) for shift in (0, 8, 16)]
    return zlib.compress(b"".join(tokens[:_BYTES]) + b"".join(columns), 9)


class Tokenizer:
    """Counts texts, and remembers the words that it has met."""

    def __init__(self, vocabulary: Vocabulary, joined_bytes_at_most: int = _JOINED_BYTES_AT_MOST) -> None:
        self.name = vocabulary.name
        self._pattern = vocabulary.pattern
        self._ranks = vocabulary.ranks
        self._joined_bytes_left = joined_bytes_at_most
        self._known: dict[str, int] = {}

    def count(self, text: str) -> int:
        """How many tokens the text has; fewer, if joining had to end."""
        return sum(times * self._tokens(word) for word, times in Counter(words(text, self._pattern)).items())

    def _tokens(self, word: str) -> int:
        known = self._known.get(word)
        if known is not None:
            return known
        data = word.encode()
        if data in self._ranks:
            return 1
        if len(data) > min(_LONGEST_WORD_BYTES, self._joined_bytes_left):
            return max(2, -(-len(data) // _LONGEST_TOKEN_BYTES))
        self._joined_bytes_left -= len(data)
        tokens = self._known[word] = len(_joined(data, self._ranks))
        return tokens


def _joined(word: bytes, ranks: Mapping[bytes, int]) -> list[bytes]:
    """The tokens of the word. One is known by its start: `ends` has where it ends, or 0 if it was joined to the one
    before it; `starts_before` has where that one starts."""
    length, rank_of = len(word), ranks.get
    ends = list(range(1, length + 1))
    starts_before = list(range(-1, length - 1))
    joins = [
        (rank, start, start + 2)
        for start in range(length - 1)
        if (rank := rank_of(word[start : start + 2])) is not None
    ]
    heapify(joins)
    while joins:
        _, start, end = heappop(joins)
        middle = ends[start]
        if not start < middle < end or ends[middle] != end:  # one of the two has been joined otherwise
            continue
        ends[start], ends[middle] = end, 0
        if end < length:
            starts_before[end] = start
            if (rank := rank_of(word[start : ends[end]])) is not None:
                heappush(joins, (rank, start, ends[end]))
        if start:
            before = starts_before[start]
            if (rank := rank_of(word[before:end])) is not None:
                heappush(joins, (rank, before, end))
    return [word[start:end] for start, end in enumerate(ends) if end]
