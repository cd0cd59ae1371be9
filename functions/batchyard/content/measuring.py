"""Measuring: what the items that go into a work file may use, added up by lane while they are written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from batchyard.content.workfile import OpenLane
from batchyard.core.forecast import unknown_output_tokens
from batchyard.core.images import image_usage
from batchyard.core.providers import IMAGE_ENDPOINTS
from batchyard.core.stated_output import output_tokens
from batchyard.core.usage import Usage


class Measure:
    """`endpoint`: what the batch is for."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._output_tokens: Counter[int] = Counter()
        self._of_images: dict[int, Usage] = {}

    def count(self, lane: OpenLane, line: bytes) -> None:
        """`line`: a work line."""
        body, endpoint = line.partition(b"\t")[2], lane.endpoint or self._endpoint
        if endpoint in IMAGE_ENDPOINTS:
            self._of_images[lane.position] = self._of_images.get(lane.position, Usage()) + image_usage(body)
        else:
            self._output_tokens[lane.position] += output_tokens(body, unknown_output_tokens(endpoint))

    def usages(self) -> Mapping[int, Usage]:
        """By the position of a lane among those of the work file. Input tokens of images' lanes only."""
        return {lane: Usage(output_tokens=tokens) for lane, tokens in self._output_tokens.items()} | self._of_images
