"""A request of a message batch: {"custom_id", "params"}, in a body's `requests` or on a line of an uploaded file.

What is inside `params`, but for the model, is the provider's affair, and an item of its own fails for it: that is how
Anthropic has it.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from batchyard.core.errors import InvalidRequest
from batchyard.core.items import Item, LineError
from batchyard.core.json_types import JsonObject
from batchyard.surfaces.json_lines import MOST_MODEL_CHARACTERS, Problem, read_json_line
from batchyard.surfaces.surface import LineContext

_CUSTOM_ID_CHARACTERS = 64
_CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]+", re.ASCII)
_MEMBERS = frozenset({"custom_id", "params"})
_BODY = "body."


def parse_line(raw: bytes, index: int, line: int, context: LineContext) -> Item | LineError:
    """See `surfaces.surface.ParseLine`."""
    fields = read_json_line(raw, line)
    if isinstance(fields, LineError):
        return fields
    problem = _problem(fields)
    if problem is not None:
        code, message, param = problem
        return LineError(code, message, line, param)
    params = fields["params"]
    try:
        body = orjson.dumps(params)
    except orjson.JSONEncodeError:
        message = "This request is nested too deeply. 250 levels are allowed."
        return LineError("invalid_json_line", message, line, "params")
    return Item(index, fields["custom_id"], params["model"], body)


def explain_line(error: LineError) -> InvalidRequest:
    """The answer to a request of which one of `requests` is wrong. Each of them is a line."""
    param = _param(error.param)
    where = f"requests.{error.line - 1}" + (f".{param}" if param else "") if error.line is not None else "requests"
    return InvalidRequest(f"{where}: {error.message}", param=where, code=error.code)


def _param(param: str | None) -> str | None:
    """A line's parameter. Routing calls what goes to the provider the body."""
    return "params." + param.removeprefix(_BODY) if param is not None and param.startswith(_BODY) else param


def _problem(fields: Any) -> Problem | None:
    """The first thing that is wrong with a request."""
    if type(fields) is not dict:
        return "invalid_json_line", "Input should be an object with 'custom_id' and 'params'", None
    for name in fields:
        if name not in _MEMBERS:
            return "unknown_parameter", "Extra inputs are not permitted", name[:64]
    return _wrong_custom_id(fields.get("custom_id")) or _wrong_params(fields.get("params"))


def _wrong_custom_id(custom_id: Any) -> Problem | None:
    if custom_id is None:
        return _missing("custom_id")
    if type(custom_id) is not str:
        return "invalid_custom_id", "Input should be a valid string", "custom_id"
    if len(custom_id) > _CUSTOM_ID_CHARACTERS:
        message = f"String should have at most {_CUSTOM_ID_CHARACTERS} characters"
        return "invalid_custom_id", message, "custom_id"
    if not _CUSTOM_ID.fullmatch(custom_id):
        message = f"String should match pattern '^[a-zA-Z0-9_-]{{1,{_CUSTOM_ID_CHARACTERS}}}$'"
        return "invalid_custom_id", message, "custom_id"
    return None


def _wrong_params(params: Any) -> Problem | None:
    if params is None:
        return _missing("params")
    if type(params) is not dict:
        return "invalid_type", "Input should be an object", "params"
    return _wrong_model(params) or _wrong_stream(params)


def _wrong_model(params: JsonObject) -> Problem | None:
    model = params.get("model")
    if model is None:
        return _missing("params.model")
    if type(model) is not str or not 0 < len(model) <= MOST_MODEL_CHARACTERS:
        message = f"Input should be a string of 1 to {MOST_MODEL_CHARACTERS} characters"
        return "invalid_model", message, "params.model"
    return None


def _wrong_stream(params: JsonObject) -> Problem | None:
    if params.get("stream"):
        return "unsupported_parameter", "Streaming is not supported in batches", "params.stream"
    return None


def _missing(param: str) -> Problem:
    return "missing_required_parameter", "Field required", param
