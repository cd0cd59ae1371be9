"""Images as answers: how many tokens they take at most, before any is made, and how many of them fit into a job.

An image is paid for by tokens; how many it has depends on its size and quality. OpenAI has published a table for the
models up to gpt-image-1.5. For those since gpt-image-2, which take nearly any size, it has a calculator; the formula is
the one that its page computes with:
https://developers.openai.com/api/docs/guides/image-generation#size-and-quality-options
https://community.openai.com/t/gpt-image-2-output-pricing-calculator-online-and-in-your-code/1382699

What an item leaves to the model (`auto`) counts as the dearest that the model may choose. All of this is only for
estimates: what is charged is what the answer says.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from batchyard.core.json_types import JsonObject
from batchyard.core.native_limits import NativeLimits
from batchyard.core.providers import IMAGE_ENDPOINTS
from batchyard.core.stated_output import read_request, stated_count
from batchyard.core.usage import Usage

JOB_ITEMS = 125
"""Of a provider job of images: its answers are on its executor's disk together, which holds so many of the longest."""

_FIRST_MODELS = ("gpt-image-1", "chatgpt-image")
_TABLE = {
    "low": {"1024x1024": 272, "1024x1536": 408, "1536x1024": 400},
    "medium": {"1024x1024": 1056, "1024x1536": 1584, "1536x1024": 1568},
    "high": {"1024x1024": 4160, "1024x1536": 6240, "1536x1024": 6208},
}
_AXES = {"low": 16, "medium": 48, "high": 96}
_AXIS_OF_OTHERS = 192
"""Of qualities above `high`, of which nothing is published: twice the tokens in each direction."""
_STANDARD_SIZES = ("1024x1024", "1024x1536", "1536x1024")
_SIZE = re.compile(r"([1-9][0-9]{1,4})x([1-9][0-9]{1,4})")
_LONGEST_EDGE = 3840
_INPUT_IMAGE_TOKENS = 7_000
"""Of an image that is to be edited, in high fidelity (4,096 or 6,144, and some for its tiles)."""
_MOST_IMAGES = 16
_AROUND_A_PROMPT = 64
"""Tokens of text besides the prompt's: six, and some more for each image that is to be edited."""


def job_limits_of(endpoint: str, limits: NativeLimits) -> NativeLimits:
    """The limits of provider jobs whose items are for `endpoint`."""
    return replace(limits, max_items=min(limits.max_items, JOB_ITEMS)) if endpoint in IMAGE_ENDPOINTS else limits


def image_usage(body: bytes) -> Usage:
    """The most tokens that the item can be billed for: of its prompt, of images that it gives and that it asks for."""
    request = read_request(body)
    made = _images(request) * _tokens(request)
    given = _images_given(request) * _INPUT_IMAGE_TOKENS
    text = len(str(request.get("prompt") or "")) + _AROUND_A_PROMPT
    return Usage(input_tokens=text + given, output_tokens=made, image_input_tokens=given, image_output_tokens=made)


def _images(request: JsonObject) -> int:
    return max(1, stated_count(request.get("n")) or 1)


def _images_given(request: JsonObject) -> int:
    images = request.get("images")
    return (min(len(images), _MOST_IMAGES) if isinstance(images, list) else 0) + ("mask" in request)


def _tokens(request: JsonObject) -> int:
    """The most tokens of one image that is made."""
    model, quality, size = (str(request.get(name) or "auto") for name in ("model", "quality", "size"))
    if quality == "auto":
        quality = "high"
    sizes = [size] if _SIZE.fullmatch(size) else _STANDARD_SIZES
    if model.rpartition("/")[2].startswith(_FIRST_MODELS):
        row = _TABLE.get(quality, _TABLE["high"])
        return max(row.get(each, max(row.values())) for each in sizes)
    return max(_by_formula(quality, *_edges(each)) for each in sizes)


def _edges(size: str) -> tuple[int, int]:
    width, _, height = size.partition("x")
    return min(int(width), _LONGEST_EDGE), min(int(height), _LONGEST_EDGE)


def _by_formula(quality: Any, width: int, height: int) -> int:
    axis = _AXES.get(quality, _AXIS_OF_OTHERS)
    longer, shorter = max(width, height), min(width, height)
    other_axis = (2 * axis * shorter + longer) // (2 * longer)
    return -(-(axis * other_axis * (2_000_000 + width * height)) // 4_000_000)
