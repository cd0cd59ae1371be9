"""What every dialect checks alike in a line of an input file: that it is JSON, and how long its custom_id is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import orjson

from batchyard.core import exact_json
from batchyard.core.items import LineError
from batchyard.surfaces.surface import LineContext

MOST_MODEL_CHARACTERS = 256
_MOST_PATH_CHARACTERS = 200

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
        unsendable = _unsendable(raw)
        if unsendable is not None:
            path, message = unsendable
            return LineError("invalid_json_line", message, line, path)
        message = f"This line is not parseable as valid JSON: {error.msg} at character {error.pos}."
        return LineError("invalid_json_line", message, line)


def _unsendable(raw: bytes) -> tuple[str | None, str] | None:
    """Where the first value is that JSON allows, and that no provider reads (None: in the line itself), and what is
    wrong with it; None if that is not what the line suffers from."""
    try:
        for path, value in _values(exact_json.loads_anything(raw), ""):
            if (wrong := _what_is_wrong(value)) is not None:
                shown = path[:_MOST_PATH_CHARACTERS]
                return (shown, f"'{shown}' {wrong}") if shown else (None, f"This line {wrong}")
    except (ValueError, RecursionError):
        pass
    return None


def _what_is_wrong(value: Any) -> str | None:
    if isinstance(value, str):
        half = next((char for char in value if "\ud800" <= char <= "\udfff"), None) if not value.isascii() else None
        if half is None:
            return None
        return (
            f"has half of a surrogate pair, \\u{ord(half):04x}, which is no character. Send all of it, or leave it out."
        )
    if isinstance(value, orjson.Fragment) and math.isinf(float(orjson.dumps(value))):
        return "is a number that is too large to be read as one. Write a smaller one, or a string."
    return None


def _values(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """(path, value) of everything in `value`; the names of members, too, with the path of their object."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield path, name
            yield from _values(member, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, element in enumerate(value):
            yield from _values(element, f"{path}[{index}]")
    else:
        yield path, value


def wrong_length(custom_id: str, context: LineContext) -> Problem | None:
    if 0 < len(custom_id) <= context.max_custom_id_chars:
        return None
    message = f"'custom_id' has {len(custom_id)} characters; 1 to {context.max_custom_id_chars} are allowed."
    return "invalid_custom_id", message, "custom_id"


def json_type(value: object) -> str:
    """The JSON type of `value` in words."""
    return next((words for kind, words in _WORDS if isinstance(value, kind)), "null")
