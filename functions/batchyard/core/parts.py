"""A part: some results of one shard as one S3 object.

    {"index": [7, 9], "id": ["batch_req_…", "batch_req_…"], "custom_id": ["a", "b"], …, "length": [312, 0]}\\n
    <312 bytes: the answer that item 7 got><0 bytes: item 9 got none>

The header is one JSON line: each field of `StoredResult` but the body, in a column of its own. So Finalize merges and
checks without parsing a single answer, and every surface finds what it shows without knowing another's form. A reader
looks for the columns it knows, so a later version may add some.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate, pairwise

import orjson

from batchyard.core.errors import BooksDoNotBalance
from batchyard.core.json_types import JsonObject
from batchyard.core.lanes import Lane, Mode
from batchyard.core.results import Outcome, Result, StoredResult, stored

_FIELDS = StoredResult._fields[:-1]
"""All but the body, which is the last."""
_OUTCOMES = {str(outcome): outcome for outcome in Outcome}


def encode_part(batch_id: str, results: list[Result], lane: Lane | None = None) -> bytes:
    """The part's bytes. The order of the results is kept, and means nothing. `lane`: who answered, if that is known."""
    kept = [stored(batch_id, result) for result in results]
    bodies = [result.body for result in kept]
    header: JsonObject = {field: [getattr(result, field) for result in kept] for field in _FIELDS}
    header["length"] = [len(body) for body in bodies]
    if lane is not None:
        header["lane"] = [lane.provider, lane.model, str(lane.mode)]
    return b"".join([orjson.dumps(header), b"\n", *bodies])


def lane_of(data: bytes) -> Lane | None:
    """Who answered what is in the part; None if an older version wrote it."""
    lane = orjson.loads(data[: data.find(b"\n") + 1]).get("lane")
    return Lane(lane[0], lane[1], Mode(lane[2])) if lane else None


def body_places(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(index of the item, offset, length) of each answer within a part that `decode_part` can read."""
    header_end = data.find(b"\n") + 1
    header = orjson.loads(data[:header_end])
    starts = accumulate(header["length"], initial=header_end)
    return zip(header["index"], starts, header["length"], strict=False)


def decode_part(data: bytes) -> Iterator[StoredResult]:
    """The results of a part. Raises BooksDoNotBalance if header and bytes disagree."""
    header_end = data.find(b"\n") + 1
    if not header_end:
        raise BooksDoNotBalance("a part has no header")
    header = orjson.loads(data[:header_end])
    lengths = header["length"]
    if any(len(header[field]) != len(lengths) for field in _FIELDS):
        raise BooksDoNotBalance("the columns of a part's header have different lengths")
    if header_end + sum(lengths) != len(data):
        raise BooksDoNotBalance(f"a part's header promises {sum(lengths)} bytes, it has {len(data) - header_end}")
    header["outcome"] = [_OUTCOMES[outcome] for outcome in header["outcome"]]
    bodies = [data[start:end] for start, end in pairwise(accumulate(lengths, initial=header_end))]
    return map(StoredResult._make, zip(*(header[field] for field in _FIELDS), bodies, strict=True))
