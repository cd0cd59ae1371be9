"""What an item's body says about the length of its answers: how many tokens each may have, and how many it asks for.

The whole body is parsed, as its provider will do: a figure counts however it is written (`1e5`, `100000.0`, with an
escaped name, twice), and a member of another object or a text that talks about it does not. Some servers take a text
for a number, so it counts like the number.
"""

from __future__ import annotations

from math import ceil, isnan
from typing import Any

import orjson

from batchyard.core.json_types import JsonObject
from batchyard.core.usage import MOST_TOKENS

_MOST_OUTPUT = ("max_completion_tokens", "max_output_tokens", "max_tokens")
"""How a request says how long an answer may become, by endpoint and age."""
_ANSWERS = ("n", "best_of")


def output_tokens(body: bytes, unknown_tokens: int) -> int:
    """The most output tokens that the item can be billed for: all the answers that it asks for together.
    `unknown_tokens`: of an answer whose length it does not say."""
    request = read_request(body)
    stated = _stated(request)
    return (unknown_tokens if stated is None else stated) * _answers(request)


def stated_count(value: Any) -> int | None:
    """The number that a request's member says, rounded up, and not above MOST_TOKENS. None if it says none, or one
    below 0, which means "as long as it gets" to some servers."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return None if isnan(number) or number < 0 else ceil(min(number, MOST_TOKENS))


def read_request(body: bytes) -> JsonObject:
    """The item's request; an empty one, if it is none."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError:  # nothing that a provider would read, and no reason to stop
        return {}
    return request if isinstance(request, dict) else {}


def _stated(request: JsonObject) -> int | None:
    """The most output tokens of an answer; None if the item does not say. If it says so by several names, the largest
    figure counts, so that nobody can hide it behind a smaller one."""
    figures = [stated_count(request.get(name)) for name in _MOST_OUTPUT]
    return max((figure for figure in figures if figure is not None), default=None)


def _answers(request: JsonObject) -> int:
    """A completion answers each of its prompts."""
    prompt = request.get("prompt")
    prompts = len(prompt) if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int) else 1
    return prompts * max(1, *(stated_count(request.get(name)) or 1 for name in _ANSWERS))
