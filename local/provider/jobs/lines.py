"""Reads the lines of a job's input file as vendors do when they validate it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from local.provider.answers.content import Body
from local.provider.jobs.job import JobItem, LineError

_MOST_ERRORS = 50


@dataclass(frozen=True, slots=True)
class Lines:
    """`model` is that of the first line."""

    items: list[JobItem]
    errors: list[LineError]
    model: str


def read_lines(content: bytes, most_items: int, parse: Callable[[dict[str, Any]], JobItem | LineError]) -> Lines:
    """`parse` reads one line; its errors get their line numbers here."""
    items: list[JobItem] = []
    errors: list[LineError] = []
    seen: set[str] = set()
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        error = None
        try:
            parsed = orjson.loads(line)
            item = parse(parsed) if type(parsed) is dict else LineError("invalid_json_line", _NOT_JSON)
        except ValueError:
            item = LineError("invalid_json_line", _NOT_JSON)
        if isinstance(item, LineError):
            error = item
        elif item.custom_id in seen:
            error = LineError("duplicate_custom_id", f"The custom_id '{item.custom_id}' is used more than once.")
        else:
            seen.add(item.custom_id)
            items.append(item)
        if error is not None and len(errors) < _MOST_ERRORS:
            errors.append(LineError(error.code, error.message, number, error.param))
    if not items and not errors:
        errors.append(LineError("empty_file", "The input file has no requests."))
    if len(items) > most_items:
        errors.append(LineError("too_many_tasks", f"The input file has more than {most_items} requests."))
    return Lines(items, errors, str(items[0].body.get("model")) if items else "")


def item_of(custom_id: Any, endpoint: str, body: Any) -> JobItem | LineError:
    if not isinstance(custom_id, str) or not custom_id:
        return LineError("missing_required_parameter", "Missing required parameter: 'custom_id'.", param="custom_id")
    if type(body) is not dict:
        return LineError("missing_required_parameter", "Missing required parameter: 'body'.", param="body")
    parsed: Body = body
    return JobItem(custom_id, endpoint, parsed, orjson.dumps(parsed))


_NOT_JSON = "This line is not parseable as valid JSON."
