"""Cuts a text into the words that OpenAI's tokenizers see: no token reaches from one into the next.

A word is a run of letters with the sign or space before it, up to three digits, a run of signs, or white space. The
patterns are those of tiktoken (https://github.com/openai/tiktoken, `tiktoken_ext/openai_public.py`), which ask for
Unicode's categories of characters. Python's `re` knows none, so other characters than ASCII's are replaced by one that
stands for their category, before the pattern is applied; the cuts are where they would have been. What Unicode has
added since Python's `unicodedata` was made counts as signs.
"""

from __future__ import annotations

import enum
import re
import unicodedata
from collections.abc import Sequence

_LETTER, _MARK = "\xaa", "\u0300"
"""They stand for letters that are neither upper nor lower case, and for marks that are put over letters."""
_STANDS_FOR = {"Lu": "A", "Lt": "A", "Ll": "a", "Lm": _LETTER, "Lo": _LETTER, "M": _MARK, "N": "0"}
_SIGN, _SPACE = "!", "\t"
_SPACES = frozenset("\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | {chr(code) for code in range(0x2000, 0x200B)}
"""Unicode's White_Space. Python's `\\s` has more."""
_LONG_S = "\u017f"
"""Upper and lower case put aside it is an s, so that it makes a contraction."""

_L = f"A-Za-z{_LETTER}"
_UPPER, _LOWER = f"A-Z{_LETTER}{_MARK}", f"a-z{_LETTER}{_MARK}"
_S = r"\t-\r "
_CONTRACTION = "'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"


class Pattern(enum.Enum):
    """The patterns, by the tokenizer that they were made for."""

    CL100K = re.compile(
        f"{_CONTRACTION}|[^\r\n{_L}0-9]?[{_L}]+|[0-9]{{1,3}}| ?[^{_S}{_L}0-9]+[\r\n]*"
        rf"|[{_S}]+\Z|[{_S}]*[\r\n]|[{_S}]+(?![^{_S}])|[{_S}]"
    )
    O200K = re.compile(
        f"[^\r\n{_L}0-9]?(?:[{_UPPER}]*[{_LOWER}]+|[{_UPPER}]+[{_LOWER}]*)(?:{_CONTRACTION})?"
        f"|[0-9]{{1,3}}| ?[^{_S}{_L}0-9]+[\r\n/]*|[{_S}]*[\r\n]+|[{_S}]+(?![^{_S}])|[{_S}]+"
    )


def words(text: str, pattern: Pattern) -> Sequence[str]:
    """The text, cut; together they are the text again."""
    if text.isascii():
        return pattern.value.findall(text)
    found, start = [], 0
    for match in pattern.value.findall(text.translate(_CATEGORIES)):
        end = start + len(match)
        found.append(text[start:end])
        start = end
    return found


class _Categories(dict[int, str]):
    """Code point -> the character that stands for its category, found out when it is first asked for."""

    def __missing__(self, code: int) -> str:
        self[code] = found = _stand_in(chr(code))
        return found


_CATEGORIES = _Categories()


def _stand_in(character: str) -> str:
    if character.isascii():
        return character
    if character == _LONG_S:
        return "s"
    if character in _SPACES:
        return _SPACE
    category = unicodedata.category(character)
    return _STANDS_FOR.get(category) or _STANDS_FOR.get(category[0], _SIGN)
