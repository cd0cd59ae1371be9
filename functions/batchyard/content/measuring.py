"""Measuring: what the items that go into a work file may answer, added up by lane while they are written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from batchyard.content.workfile import OpenLane
from batchyard.core.lanes import Lane
from batchyard.core.sharding import LaneShards
from batchyard.core.stated_output import output_tokens


class Measure:
    """`unknown_tokens`: of an item that does not say what it takes at most."""

    def __init__(self, unknown_tokens: int) -> None:
        self._unknown_tokens = unknown_tokens
        self._output_tokens: Counter[tuple[Lane, tuple[Lane, ...]]] = Counter()

    def count(self, lane: OpenLane, line: bytes) -> None:
        """`line`: a work line."""
        body = line.partition(b"\t")[2]
        self._output_tokens[lane.lane, lane.others] += output_tokens(body, self._unknown_tokens)

    def output_tokens(self, lanes: Sequence[LaneShards]) -> dict[int, int]:
        """By the position of a lane among `lanes`, those of the finished work file."""
        return {position: self._output_tokens[entry.lane, entry.others] for position, entry in enumerate(lanes)}
