"""A result as KushRouter shows it: one JSON object, in a page of results or on a line of an export.

An item that got no answer has no HTTP status; it is shown with the one that a gateway would have answered.
"""

from __future__ import annotations

from typing import Any

from batchyard.core import exact_json
from batchyard.core.json_types import JsonObject
from batchyard.core.one_line import escape_separators
from batchyard.core.results import Outcome, StoredResult
from batchyard.surfaces.kushrouter.lines import place_name

_STATUS_WITHOUT_ANSWER = {
    "throttled": 429,
    "overloaded": 503,
    "request_timeout": 504,
    "batch_cancelled": 499,
    "batch_expired": 504,
    "batch_failed": 500,
    "max_price_reached": 402,
    "item_crashed_worker": 500,
}
_NO_ANSWER = 502
"""For connections that broke, and answers that cannot be read."""


def write_result(result: StoredResult) -> bytes:
    """The result without a newline. A success shows the answer as it is."""
    is_named = result.custom_id != place_name(result.index)
    named = b',"custom_id":' + _written(result.custom_id) if is_named else b""
    if result.outcome is not Outcome.SUCCEEDED:
        return b'{"index":%d,"status":"failed","result":null,"error":%b%b}' % (result.index, _error(result), named)
    body = result.body
    return b'{"index":%d,"status":"succeeded","result":%b%b%b}' % (result.index, body, _usage(body), named)


def _usage(body: bytes) -> bytes:
    if b'"usage"' not in body:
        return b""
    usage = _document(body).get("usage")
    return b',"usage":' + _written(usage) if isinstance(usage, dict) else b""


def _error(result: StoredResult) -> bytes:
    if result.status_code is None:
        code = result.error_code or "failed"
        status = _STATUS_WITHOUT_ANSWER.get(code, _NO_ANSWER)
        return _written({"message": result.error_message or "", "code": code, "status": status})
    error = error_object(_document(result.body))
    code = _text(error.get("code")) or _text(error.get("type")) or f"http_{result.status_code}"
    message = _text(error.get("message")) or f"The provider answered with status {result.status_code}."
    return _written({"message": message, "code": code, "status": result.status_code})


def _text(value: object) -> str | None:
    """A member of an error object, if it is one that people can read."""
    return str(value) if isinstance(value, str | int | float) and value else None


def error_object(document: JsonObject) -> JsonObject:
    """The error object of a provider's answer, whichever of the usual shapes it has."""
    error = document.get("error")
    if isinstance(error, dict):
        return error
    return {"message": error} if isinstance(error, str) else document


def _document(body: bytes) -> JsonObject:
    """A provider's JSON; empty if it is no object, or cannot be parsed."""
    try:
        document = exact_json.loads_anything(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _written(value: Any) -> bytes:
    """`value` as JSON that holds no line separators; null if it cannot be written."""
    try:
        return escape_separators(exact_json.dumps_anything(value))
    except TypeError:
        return b"null"
