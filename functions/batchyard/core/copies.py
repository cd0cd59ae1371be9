"""A copy: an item that is like an earlier one of its batch, byte for byte, and on the same lanes. If the batch wants
such items sent once, the earlier one is its original, and the copy has its result.

Copies are not in the work file, so no shard knows of them; they stand in a file of their own, by index, each as
`[index, custom_id, index of the original]` in JSON and a newline.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson


@dataclass(frozen=True, slots=True)
class Copy:
    """`original`: an index that is lower, of an item that is no copy."""

    index: int
    custom_id: str
    original: int


def copy_line(copy: Copy) -> bytes:
    return orjson.dumps([copy.index, copy.custom_id, copy.original], option=orjson.OPT_APPEND_NEWLINE)


def read_copy_line(line: bytes) -> Copy:
    """What a newer version wrote behind these fields is left alone."""
    return Copy(*orjson.loads(line)[:3])
