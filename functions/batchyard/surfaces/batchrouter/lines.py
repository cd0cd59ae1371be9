"""A BatchRouter item, inline or on a line of a file: {"customer_item_id", "operation", "model", "input"}.

    operation     input                       sent to
    responses     {"messages": [...]}         /v1/chat/completions
    responses     {"input": [...] or text}    /v1/responses
    vision        {"messages": [...]}         /v1/chat/completions
    embeddings    {"input": ...}              /v1/embeddings

`input` is the body of the request but for the model; what else is in it is sent along. Each item says what it is for,
whatever the others of its batch do. A line in OpenAI's form ({"custom_id", "method", "url", "body"}) is taken too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from batchyard.core import exact_json
from batchyard.core.items import Item, LineError
from batchyard.core.json_types import JsonObject
from batchyard.core.providers import CHAT_COMPLETIONS, EMBEDDINGS, ENDPOINTS, RESPONSES
from batchyard.surfaces.json_lines import MOST_MODEL_CHARACTERS, Problem, json_type, read_json_line
from batchyard.surfaces.openai.lines import parse_line as parse_openai_line
from batchyard.surfaces.surface import LineContext

OPERATIONS = ("responses", "embeddings", "vision")
_MEMBERS = frozenset({"customer_item_id", "operation", "model", "input"})
_STREAMS_AND_JOBS = ("stream", "background")
"""Parameters with which the answer is no JSON document, or comes later."""


def parse_line(raw: bytes, index: int, line: int, context: LineContext) -> Item | LineError:
    """See `surfaces.surface.ParseLine`."""
    fields = read_json_line(raw, line)
    if isinstance(fields, LineError):
        return fields
    if type(fields) is dict and "custom_id" in fields and "customer_item_id" not in fields:
        return _openai_item(fields.get("url"), raw, index, line, context)
    item = read_item(fields, index, context)
    return item if isinstance(item, Item) else LineError(item[0], item[1], line, item[2])


def _openai_item(url: Any, raw: bytes, index: int, line: int, context: LineContext) -> Item | LineError:
    """The item of a line in OpenAI's form, for the endpoint that it names."""
    endpoint = url if url in ENDPOINTS else context.endpoint
    item = parse_openai_line(raw, index, line, replace(context, endpoint=endpoint))
    return replace(item, endpoint=endpoint) if isinstance(item, Item) else item


def read_item(fields: Any, index: int, context: LineContext) -> Item | Problem:
    """The item, or the first thing that is wrong with it."""
    if type(fields) is not dict:
        return "invalid_json_line", f"This item is {json_type(fields)}, not a JSON object.", None
    problem = _wrong_item(fields, context)
    if problem is not None:
        return problem
    body = {"model": fields["model"]} | fields["input"]
    try:
        data = orjson.dumps(body)
    except orjson.JSONEncodeError:
        return "invalid_json_line", "This item is nested too deeply. 250 levels are allowed.", "input"
    return Item(index, fields["customer_item_id"], fields["model"], data, endpoint=_endpoint(fields))


def endpoint_of(raw: bytes) -> str | None:
    """The endpoint of the item on this line; None if it cannot be told."""
    try:
        fields = exact_json.loads(raw)
    except orjson.JSONDecodeError:
        return None
    if type(fields) is not dict:
        return None
    if "customer_item_id" not in fields and type(fields.get("url")) is str:
        return str(fields["url"])
    return _endpoint(fields)


def _endpoint(fields: JsonObject) -> str | None:
    operation, body = fields.get("operation", OPERATIONS[0]), fields.get("input")
    if operation not in OPERATIONS or type(body) is not dict:
        return None
    if operation == "embeddings":
        return EMBEDDINGS
    if operation == "responses" and "messages" not in body and "input" in body:
        return RESPONSES
    return CHAT_COMPLETIONS


def _wrong_item(fields: JsonObject, context: LineContext) -> Problem | None:
    for name in fields:
        if name not in _MEMBERS:
            return "unknown_field", f"There is no field '{name[:64]}' in an item.", name[:64]
    return _wrong_id(fields.get("customer_item_id"), context) or _wrong_work(fields)


def _wrong_id(customer_item_id: object, context: LineContext) -> Problem | None:
    name, most = "customer_item_id", context.max_custom_id_chars
    if customer_item_id is None:
        return "missing_field", f"'{name}' is missing. Results are told apart by it.", name
    if type(customer_item_id) is not str or not 0 < len(customer_item_id) <= most:
        return "invalid_customer_item_id", f"'{name}' must be a string of 1 to {most} characters.", name
    return None


def _wrong_work(fields: JsonObject) -> Problem | None:
    operation, model, body = fields.get("operation", OPERATIONS[0]), fields.get("model"), fields.get("input")
    if operation not in OPERATIONS:
        known = ", ".join(f"'{each}'" for each in OPERATIONS)
        return "unknown_operation", f"'operation' must be one of {known}.", "operation"
    if model is None:
        return "missing_field", "'model' is missing. GET /v1/catalog/models lists those that can be used.", "model"
    if type(model) is not str or not 0 < len(model) <= MOST_MODEL_CHARACTERS:
        return "invalid_model", f"'model' must be a string of 1 to {MOST_MODEL_CHARACTERS} characters.", "model"
    if body is None:
        return "missing_field", "'input' is missing. It holds the parameters of the request.", "input"
    if type(body) is not dict:
        return "invalid_input", f"'input' is {json_type(body)}; it must be an object.", "input"
    return _wrong_input(fields, body)


def _wrong_input(fields: JsonObject, body: JsonObject) -> Problem | None:
    if body.get("model", fields["model"]) != fields["model"]:
        return "invalid_input", "'input.model' differs from 'model'. Leave it out.", "input.model"
    endpoint = _endpoint(fields)
    content = "messages" if endpoint == CHAT_COMPLETIONS else "input"
    if not body.get(content):
        hint = "'messages', or 'input'" if fields.get("operation", OPERATIONS[0]) == "responses" else f"'{content}'"
        return "missing_field", f"'input' must have {hint}, and it must not be empty.", f"input.{content}"
    if content == "messages" and type(body[content]) is not list:
        return "invalid_input", "'input.messages' must be an array.", "input.messages"
    for name in _STREAMS_AND_JOBS:
        if body.get(name):
            return "invalid_input", f"'{name}' cannot be used in a batch. Remove it.", f"input.{name}"
    return None
