"""A result as Anthropic shows it, on a line: {"custom_id", "result": {"type", …}}.

A success shows the provider's message as it is. An error is Anthropic's error object; if there was no answer, it says
why in the same form.
"""

from __future__ import annotations

from typing import Any

import orjson

from batchyard.core import exact_json
from batchyard.core.json_types import JsonObject
from batchyard.core.one_line import escape_separators
from batchyard.core.results import Outcome, StoredResult

_UNFINISHED = {Outcome.CANCELLED: b'{"type":"canceled"}', Outcome.EXPIRED: b'{"type":"expired"}'}
_TYPES_WITHOUT_ANSWER = {
    "throttled": "rate_limit_error",
    "overloaded": "overloaded_error",
    "request_timeout": "timeout_error",
    "model_not_found": "not_found_error",
    "invalid_json_line": "invalid_request_error",
}
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def write_result(result: StoredResult) -> bytes:
    """The result without a newline."""
    return b'{"custom_id":%b,"result":%b}' % (_written(result.custom_id), _result(result))


def error_type(status: int) -> str:
    """Anthropic's name of an error by the status of its answer."""
    return _ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")


def _result(result: StoredResult) -> bytes:
    if result.outcome is Outcome.SUCCEEDED:
        return b'{"type":"succeeded","message":%b}' % result.body
    return _UNFINISHED.get(result.outcome) or _written({"type": "errored", "error": _error(result)})


def _error(result: StoredResult) -> JsonObject:
    if result.status_code is None:
        kind = _TYPES_WITHOUT_ANSWER.get(result.error_code or "", "api_error")
        error = {"type": kind, "message": result.error_message or "The request has no answer."}
    else:
        error = _providers_error(result.body, result.status_code)
    return {"type": "error", "error": error, "request_id": result.request_id}


def _providers_error(body: bytes, status: int) -> JsonObject:
    """The error object of an answer. Translated answers have Anthropic's form already."""
    try:
        document = exact_json.loads_anything(body)
    except ValueError:
        document = None
    error = document.get("error") if isinstance(document, dict) else None
    if not isinstance(error, dict):
        error = {"message": error} if isinstance(error, str) else {}
    kind, message = error.get("type"), error.get("message")
    return error | {
        "type": kind if isinstance(kind, str) else error_type(status),
        "message": message if isinstance(message, str) else f"The provider answered with status {status}.",
    }


def _written(value: Any) -> bytes:
    try:
        return escape_separators(exact_json.dumps_anything(value))
    except TypeError:
        return orjson.dumps(None)
