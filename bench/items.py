"""The input of a benchmark: small chat requests, each different, and the same ones in every run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import orjson

MODEL = "gpt-4o-mini"
ENDPOINT: Final = "/v1/chat/completions"

_SUBJECTS = ("the invoice", "this review", "the clause", "a bug report", "the transcript", "an abstract", "der Vertrag")
_TASKS = ("Summarise", "Classify", "Translate into French", "Extract the dates from", "Rewrite politely", "Explain")
_SYSTEM = "You are a careful assistant. Answer in one short paragraph, in plain words, without repeating the question."
_FILLER = "The reader is busy, so the first sentence has to carry the answer; what follows may give the reason. "


def lines(count: int, filler: int = 1) -> Iterator[bytes]:
    """Batch lines of about 450 bytes, newline included; `filler` makes the question longer, by 100 bytes each."""
    for number in range(count):
        task, subject = _TASKS[number % len(_TASKS)], _SUBJECTS[number % len(_SUBJECTS)]
        question = f"{task} {subject} no. {number}. {_FILLER * filler}"
        messages = [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": question}]
        body = {"model": MODEL, "messages": messages, "temperature": 0.2, "max_tokens": 64}
        line = {"custom_id": f"item-{number:07d}", "method": "POST", "url": ENDPOINT, "body": body}
        yield orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def write(path: Path, count: int, filler: int = 1) -> int:
    """Writes the file; returns its size in bytes."""
    with path.open("wb") as file:
        file.writelines(lines(count, filler))
    return path.stat().st_size
