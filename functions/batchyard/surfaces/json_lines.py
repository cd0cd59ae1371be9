"""What every dialect checks alike in a line of an input file: that it is JSON, and how long its custom_id is."""

from __future__ import annotations

from typing import Any

import orjson

from batchyard.core import exact_json
from batchyard.core.items import LineError
from batchyard.surfaces.surface import LineContext

MOST_MODEL_CHARACTERS = 256

Problem = tuple[str, str, str | None]
"""(code, message, param) of the first thing that is wrong with a line."""

_WORDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (dict, "an object"),
    (list, "an array"),
    (str, "a string"),
    (bool, "a boolean"),
    ((int, float, orjson.Fragment), "a number"),
)


def read_json_line(raw: bytes, line: int) -> Any | LineError:
    """The line's JSON value, every number exact (`core.exact_json`)."""
    try:
        return exact_json.loads(raw)
    except orjson.JSONDecodeError as error:
        message = f"This line is not parseable as valid JSON: {error.msg} at character {error.pos}."
        return LineError("invalid_json_line", message, line)


def wrong_length(custom_id: str, context: LineContext) -> Problem | None:
    if 0 < len(custom_id) <= context.max_custom_id_chars:
        return None
    message = f"'custom_id' has {len(custom_id)} characters; 1 to {context.max_custom_id_chars} are allowed."
    return "invalid_custom_id", message, "custom_id"


def json_type(value: object) -> str:
    """The JSON type of `value` in words."""
    return next((words for kind, words in _WORDS if isinstance(value, kind)), "null")
