"""A part: some results of one shard as one S3 object.

    {"indexes": [7, 9], "outcomes": ["succeeded", "failed"], "lengths": [312, 198]}\\n     header, one JSON line
    <312 bytes: the line of item 7><198 bytes: the line of item 9>

The header lets Finalize merge and check without parsing a single result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from batchyard.core.errors import BooksDoNotBalance
from batchyard.core.results import Outcome, Result, result_line


@dataclass(frozen=True, slots=True)
class StoredResult:
    """One result as a part holds it. `line` ends with a newline."""

    index: int
    outcome: Outcome
    line: bytes


def encode_part(batch_id: str, results: list[Result]) -> bytes:
    """The part's bytes. Order is kept; any order will do."""
    lines = [result_line(batch_id, result) for result in results]
    header = {
        "indexes": [result.index for result in results],
        "outcomes": [str(result.outcome) for result in results],
        "lengths": [len(line) for line in lines],
    }
    return b"".join([orjson.dumps(header), b"\n", *lines])


def decode_part(data: bytes) -> Iterator[StoredResult]:
    """The results of a part. Raises BooksDoNotBalance if header and bytes disagree."""
    head, _, lines = data.partition(b"\n")
    header = orjson.loads(head)
    if sum(header["lengths"]) != len(lines):
        raise BooksDoNotBalance(f"a part's header promises {sum(header['lengths'])} bytes, it has {len(lines)}")
    start = 0
    for index, outcome, length in zip(header["indexes"], header["outcomes"], header["lengths"], strict=True):
        yield StoredResult(index, Outcome(outcome), lines[start : start + length])
        start += length
