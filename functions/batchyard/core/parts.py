"""A part: some results of one shard as one S3 object.

    {"columns": [[7, 9], ["batch_req_…", "batch_req_…"], ["a", "b"], …], "lengths": [312, 0]}\\n     header, one line
    <312 bytes: the answer that item 7 got><0 bytes: item 9 got none>

The header's columns are the fields of `StoredResult` in their order, without the body. So Finalize merges and checks
without parsing a single answer, and every surface finds what it shows without knowing another's form.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from itertools import accumulate, pairwise

import orjson

from batchyard.core.errors import BooksDoNotBalance
from batchyard.core.results import Outcome, Result, StoredResult, stored

_FIELDS = [field.name for field in fields(StoredResult) if field.name != "body"]
_OUTCOME = _FIELDS.index("outcome")
_OUTCOMES = {str(outcome): outcome for outcome in Outcome}


def encode_part(batch_id: str, results: list[Result]) -> bytes:
    """The part's bytes. Order is kept; any order will do."""
    kept = [stored(batch_id, result) for result in results]
    columns = [[getattr(result, field) for result in kept] for field in _FIELDS]
    bodies = [result.body for result in kept]
    header = {"columns": columns, "lengths": [len(body) for body in bodies]}
    return b"".join([orjson.dumps(header), b"\n", *bodies])


def decode_part(data: bytes) -> Iterator[StoredResult]:
    """The results of a part. Raises BooksDoNotBalance if header and bytes disagree."""
    header_end = data.find(b"\n") + 1
    if not header_end:
        raise BooksDoNotBalance("a part has no header")
    header = orjson.loads(data[:header_end])
    columns, lengths = header["columns"], header["lengths"]
    if header_end + sum(lengths) != len(data):
        raise BooksDoNotBalance(f"a part's header promises {sum(lengths)} bytes, it has {len(data) - header_end}")
    columns[_OUTCOME] = [_OUTCOMES[outcome] for outcome in columns[_OUTCOME]]
    bounds = pairwise(accumulate(lengths, initial=header_end))
    bodies = [data[start:end] for start, end in bounds]
    return map(StoredResult, *columns, bodies)
