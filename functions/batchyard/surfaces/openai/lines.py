"""A line of an OpenAI input file: {"custom_id", "method", "url", "body"}, and FastRouter's "provider" beside them.

Each problem is told with OpenAI's code, the line, the parameter, and what to do about it.
"""

from __future__ import annotations

from typing import Any

import orjson

from batchyard.core import exact_json
from batchyard.core.items import Item, LineError
from batchyard.surfaces.surface import LineContext

_MODEL_CHARACTERS = 256
_NOTHING = object()
_STREAMS_AND_JOBS = ("stream", "background")
"""Body parameters whose answer is no JSON document, or no answer yet."""


def parse_line(raw: bytes, index: int, line: int, context: LineContext) -> Item | LineError:
    """See `Surface.parse_line`."""
    try:
        fields = exact_json.loads(raw)
    except orjson.JSONDecodeError as error:
        message = f"This line is not parseable as valid JSON: {error.msg} at character {error.pos}."
        return LineError("invalid_json_line", message, line)
    if type(fields) is not dict:
        message = f"This line is {_article(fields)}, not a JSON object. Write one request object per line."
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


def _problem(fields: dict[str, Any], context: LineContext) -> tuple[str, str, str] | None:
    """(code, message, param) of the first thing wrong with a line."""
    custom_id = fields.get("custom_id", _NOTHING)
    if type(custom_id) is not str:
        if custom_id is _NOTHING or custom_id is None:
            return _missing("custom_id", "Give each line a custom_id of its own; results are told apart by it")
        return "invalid_custom_id", f"'custom_id' is {_article(custom_id)}; it must be a string.", "custom_id"
    if not 0 < len(custom_id) <= context.max_custom_id_chars:
        message = f"'custom_id' has {len(custom_id)} characters; 1 to {context.max_custom_id_chars} are allowed."
        return "invalid_custom_id", message, "custom_id"
    if fields.get("method") != "POST":
        return _wrong_method(fields.get("method"))
    if fields.get("url") != context.endpoint:
        return _wrong_url(fields.get("url"), context.endpoint)
    body = fields.get("body")
    if type(body) is not dict:
        if body is None:
            return _missing("body", "It holds the parameters of the request")
        return "invalid_type", f"'body' is {_article(body)}; it must be an object.", "body"
    model = body.get("model")
    if type(model) is not str:
        if model is None:
            return _missing("body.model", "GET /v1/models lists the models that can be used")
        return "invalid_type", f"'body.model' is {_article(model)}; it must be a string.", "body.model"
    if not 0 < len(model) <= _MODEL_CHARACTERS:
        return "invalid_model", f"'body.model' must have 1 to {_MODEL_CHARACTERS} characters.", "body.model"
    for name in _STREAMS_AND_JOBS:
        if body.get(name):
            message = f"'{name}' cannot be used in a batch, which stores one JSON answer per line. Remove it."
            return "unsupported_parameter", message, f"body.{name}"
    provider = fields.get("provider")
    if provider is not None and type(provider) is not str:
        return "invalid_type", f"'provider' is {_article(provider)}; it must be a string.", "provider"
    return None


def _missing(param: str, hint: str) -> tuple[str, str, str]:
    return "missing_required_parameter", f"Missing required parameter: '{param}'. {hint}.", param


def _wrong_method(method: object) -> tuple[str, str, str]:
    if method is None:
        return _missing("method", 'Add "method": "POST"')
    return "invalid_method", "'method' must be \"POST\".", "method"


def _wrong_url(url: object, endpoint: str) -> tuple[str, str, str]:
    if url is None:
        return _missing("url", f'Add "url": "{endpoint}"')
    if type(url) is not str:
        return "invalid_type", f"'url' is {_article(url)}; it must be a string.", "url"
    message = f"'url' is '{url[:128]}', but this batch was created for the endpoint '{endpoint}'. All lines share it."
    return "url_mismatch", message, "url"


def _article(value: object) -> str:
    """`value`'s JSON type in words."""
    for kind, words in _WORDS:
        if isinstance(value, kind):
            return words
    return "null"


_WORDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (dict, "an object"),
    (list, "an array"),
    (str, "a string"),
    (bool, "a boolean"),
    ((int, float), "a number"),
)
