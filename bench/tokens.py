"""What counting tokens costs: processor seconds for loading a vocabulary, and for a megabyte of text of several kinds.

python -m bench.tokens
"""

from __future__ import annotations

import base64
import random
import string
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from batchyard.adapters import vocabularies
from batchyard.core.tokenizer import Tokenizer
from batchyard.core.vocabularies import NAMES

_REPOSITORY = Path(__file__).parents[1]
_MEGABYTE = 1_000_000
_Result = TypeVar("_Result")


def main() -> None:
    print("| vocabulary | loaded in | memory |\n| --- | ---: | ---: |")
    for name in NAMES:
        seconds, _ = _timed(partial(vocabularies.load.__wrapped__, name))
        tracemalloc.start()
        vocabularies.load(name)
        print(f"| {name} | {seconds * 1000:.0f} ms | {tracemalloc.get_traced_memory()[0] / _MEGABYTE:.0f} MB |")
        tracemalloc.stop()
    print("\n| a megabyte of | " + " | ".join(NAMES) + " |\n| --- | ---: | ---: |")
    for kind, text in _texts():
        cells = [_cell(Tokenizer(vocabularies.load(name)), text) for name in NAMES]
        print(f"| {kind} | {' | '.join(cells)} |")


def _cell(tokenizer: Tokenizer, text: str) -> str:
    seconds, tokens = _timed(partial(tokenizer.count, text))
    return f"{seconds:.2f} s ({tokens:,} tokens)"


def _timed(call: Callable[[], _Result]) -> tuple[float, _Result]:
    """Seconds of the processor, so that other work on this machine does not count."""
    before = time.process_time()
    result = call()
    return time.process_time() - before, result


def _texts() -> Iterator[tuple[str, str]]:
    dice = random.Random(1)
    yield "English (docs/)", _megabyte(_read("docs", "*.md"))
    yield "Python (functions/)", _megabyte(_read("functions", "*.py"))
    yield "Chinese, at random", "\uff0c".join(_chinese(dice, 15) for _ in range(_MEGABYTE // 48))
    yield "words of nine letters, at random", " ".join(_letters(dice, 9) for _ in range(_MEGABYTE // 10))
    yield "base64 of noise", base64.b64encode(dice.randbytes(_MEGABYTE * 3 // 4)).decode()
    yield "words of 1,999 letters, at random", " ".join(_letters(dice, 1_999) for _ in range(_MEGABYTE // 2_000))
    yield "one letter, again and again", "a" * _MEGABYTE


def _letters(dice: random.Random, number: int) -> str:
    return "".join(dice.choices(string.ascii_lowercase, k=number))


def _chinese(dice: random.Random, number: int) -> str:
    return "".join(chr(dice.randrange(0x4E00, 0x9FA5)) for _ in range(number))


def _read(folder: str, names: str) -> str:
    return "".join(path.read_text() for path in sorted((_REPOSITORY / folder).rglob(names)))


def _megabyte(text: str) -> str:
    encoded = text.encode()
    return (encoded * (_MEGABYTE // len(encoded) + 1))[:_MEGABYTE].decode(errors="ignore")


if __name__ == "__main__":
    main()
