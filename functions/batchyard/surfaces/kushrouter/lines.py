"""A line of a KushRouter input: the body of a chat completion, with a custom_id among its members if one is wanted.

A line in OpenAI's form ({"custom_id", "method", "url", "body"}) is taken too. A line without a custom_id gets one that
says its place in the input. Such ids are never shown, and clients may not use them. If a line asks for a stream, its
answer is streamed, with its token counts, and stored as the JSON that the stream adds up to.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from batchyard.core.items import Item, LineError
from batchyard.core.json_types import JsonObject
from batchyard.surfaces.json_lines import MOST_MODEL_CHARACTERS, Problem, read_json_line, wrong_length
from batchyard.surfaces.surface import LineContext

_MEMBERS_AROUND_BODY = frozenset({"custom_id", "method", "url", "body"})
_PLACE = re.compile(r"index:\d+")


def parse_line(raw: bytes, index: int, line: int, context: LineContext) -> Item | LineError:
    """See `surfaces.surface.ParseLine`."""
    fields = read_json_line(raw, line)
    if isinstance(fields, LineError):
        return fields
    item = read_item(fields, index, context)
    return item if isinstance(item, Item) else LineError(item[0], item[1], line, item[2])


def read_item(fields: Any, index: int, context: LineContext) -> Item | Problem:
    """The item that a line, or an element of `requests`, describes."""
    if type(fields) is not dict:
        return "invalid_json_line", "Each request must be a JSON object: the body of a chat completion.", None
    custom_id = fields.get("custom_id")
    problem = _wrong_custom_id(custom_id, context)
    if problem is not None:
        return problem
    if "body" in fields and "messages" not in fields:
        problem, body, prefix = _wrong_envelope(fields, context), fields["body"], "body."
    else:
        body, prefix = {name: value for name, value in fields.items() if name != "custom_id"}, ""
    problem = problem or _wrong_body(body, prefix)
    if problem is not None:
        return problem
    try:
        data = orjson.dumps(_with_token_counts(body))
    except orjson.JSONEncodeError:
        return "invalid_json_line", "This request is nested too deeply. 250 levels are allowed.", None
    return Item(index, place_name(index) if custom_id is None else custom_id, body["model"], data)


def place_name(index: int) -> str:
    """The custom_id of an item that has none of its own."""
    return f"index:{index}"


def _wrong_custom_id(custom_id: Any, context: LineContext) -> Problem | None:
    if custom_id is None:
        return None
    if type(custom_id) is not str:
        return "invalid_custom_id", "'custom_id' must be a string.", "custom_id"
    if problem := wrong_length(custom_id, context):
        return problem
    if _PLACE.fullmatch(custom_id):
        message = "A custom_id of the form 'index:<number>' stands for a line without one. Use another."
        return "invalid_custom_id", message, "custom_id"
    return None


def _wrong_envelope(fields: JsonObject, context: LineContext) -> Problem | None:
    for name in fields:
        if name not in _MEMBERS_AROUND_BODY:
            return "unknown_parameter", f"'{name[:64]}' stands beside 'body'; put it inside.", name[:64]
    if fields.get("method", "POST") != "POST":
        return "invalid_method", "'method' must be \"POST\".", "method"
    if fields.get("url", context.endpoint) != context.endpoint:
        return "url_mismatch", f"'url' must be '{context.endpoint}': batches take chat completions.", "url"
    return None


def _wrong_body(body: Any, prefix: str) -> Problem | None:
    if type(body) is not dict:
        return "invalid_type", "'body' must be an object: the body of a chat completion.", "body"
    model, messages = body.get("model"), body.get("messages")
    if model is None:
        return "missing_required_parameter", "Missing required parameter: 'model'.", f"{prefix}model"
    if type(model) is not str or not 0 < len(model) <= MOST_MODEL_CHARACTERS:
        message = f"'model' must be a string of 1 to {MOST_MODEL_CHARACTERS} characters."
        return "invalid_model", message, f"{prefix}model"
    if messages is None:
        return "missing_required_parameter", "Missing required parameter: 'messages'.", f"{prefix}messages"
    if type(messages) is not list or not messages:
        return "invalid_type", "'messages' must be an array of at least one message.", f"{prefix}messages"
    return None


def _with_token_counts(body: JsonObject) -> JsonObject:
    """Providers count the tokens of a stream only if they are asked to."""
    if body.get("stream") is not True:
        return body
    options = body.get("stream_options")
    return body | {"stream_options": (options if isinstance(options, dict) else {}) | {"include_usage": True}}
