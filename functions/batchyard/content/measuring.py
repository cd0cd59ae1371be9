"""Measuring: what the items that go into a work file may answer, added up by lane while they are written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from batchyard.content.workfile import OpenLane
from batchyard.core.forecast import unknown_output_tokens
from batchyard.core.stated_output import output_tokens


class Measure:
    """`endpoint`: what the batch is for."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._output_tokens: Counter[int] = Counter()

    def count(self, lane: OpenLane, line: bytes) -> None:
        """`line`: a work line."""
        body = line.partition(b"\t")[2]
        unknown_tokens = unknown_output_tokens(lane.endpoint or self._endpoint)
        self._output_tokens[lane.position] += output_tokens(body, unknown_tokens)

    def output_tokens(self) -> Mapping[int, int]:
        """By the position of a lane among those of the work file."""
        return self._output_tokens
