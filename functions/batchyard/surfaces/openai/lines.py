"""A line of an OpenAI input file: {"custom_id", "method", "url", "body"}, and FastRouter's "provider" beside them.

Each problem is reported with OpenAI's code, the line, the parameter, and what to do about it.
"""

from __future__ import annotations

import orjson

from batchyard.core.items import Item, LineError
from batchyard.core.json_types import JsonObject
from batchyard.surfaces.json_lines import MOST_MODEL_CHARACTERS, Problem, json_type, read_json_line, wrong_length
from batchyard.surfaces.surface import LineContext

_NOTHING = object()
_STREAMS_AND_JOBS = ("stream", "background")
"""Body parameters with which the answer is no JSON document, or comes later."""


def parse_line(raw: bytes, index: int, line: int, context: LineContext) -> Item | LineError:
    """See `surfaces.surface.ParseLine`."""
    fields = read_json_line(raw, line)
    if isinstance(fields, LineError):
        return fields
    if type(fields) is not dict:
        message = f"This line is {json_type(fields)}, not a JSON object. Write one request object per line."
        return LineError("invalid_json_line", message, line)
    problem = _problem(fields, context)
    if problem is not None:
        code, message, param = problem
        return LineError(code, message, line, param)
    body = fields["body"]
    try:
        data = orjson.dumps(body)
    except orjson.JSONEncodeError:
        return LineError("invalid_json_line", "This line is nested too deeply. 250 levels are allowed.", line, "body")
    return Item(index, fields["custom_id"], body["model"], data, fields.get("provider"))


def _problem(fields: JsonObject, context: LineContext) -> Problem | None:
    """The first thing that is wrong with a line."""
    custom_id = fields.get("custom_id", _NOTHING)
    if type(custom_id) is not str:
        if custom_id is _NOTHING or custom_id is None:
            return _missing("custom_id", "Give each line a custom_id of its own; results are told apart by it")
        return "invalid_custom_id", f"'custom_id' is {json_type(custom_id)}; it must be a string.", "custom_id"
    if problem := wrong_length(custom_id, context):
        return problem
    if fields.get("method") != "POST":
        return _wrong_method(fields.get("method"))
    if fields.get("url") != context.endpoint:
        return _wrong_url(fields.get("url"), context.endpoint)
    body = fields.get("body")
    if type(body) is not dict:
        if body is None:
            return _missing("body", "It holds the parameters of the request")
        return "invalid_type", f"'body' is {json_type(body)}; it must be an object.", "body"
    model = body.get("model")
    if type(model) is not str:
        if model is None:
            return _missing("body.model", "GET /v1/models lists the models that can be used")
        return "invalid_type", f"'body.model' is {json_type(model)}; it must be a string.", "body.model"
    if not 0 < len(model) <= MOST_MODEL_CHARACTERS:
        return "invalid_model", f"'body.model' must have 1 to {MOST_MODEL_CHARACTERS} characters.", "body.model"
    for name in _STREAMS_AND_JOBS:
        if body.get(name):
            message = f"'{name}' cannot be used in a batch, which stores one JSON answer per line. Remove it."
            return "unsupported_parameter", message, f"body.{name}"
    provider = fields.get("provider")
    if provider is not None and type(provider) is not str:
        return "invalid_type", f"'provider' is {json_type(provider)}; it must be a string.", "provider"
    return None


def _missing(param: str, hint: str) -> Problem:
    return "missing_required_parameter", f"Missing required parameter: '{param}'. {hint}.", param


def _wrong_method(method: object) -> Problem:
    if method is None:
        return _missing("method", 'Add "method": "POST"')
    return "invalid_method", "'method' must be \"POST\".", "method"


def _wrong_url(url: object, endpoint: str) -> Problem:
    if url is None:
        return _missing("url", f'Add "url": "{endpoint}"')
    if type(url) is not str:
        return "invalid_type", f"'url' is {json_type(url)}; it must be a string.", "url"
    message = f"'url' is '{url[:128]}', but this batch was created for the endpoint '{endpoint}'. All lines share it."
    return "url_mismatch", message, "url"
