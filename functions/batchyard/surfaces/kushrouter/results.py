"""A result as KushRouter shows it: one JSON object, in a page of results or on a line of an export.

An item that got no answer has no HTTP status; it is shown with the one that a gateway would have answered.
"""

from __future__ import annotations

from typing import Any

import orjson

from batchyard.core.results import Outcome, StoredResult
from batchyard.surfaces.kushrouter.lines import place_name

_STATUS_WITHOUT_ANSWER = {
    "throttled": 429,
    "overloaded": 503,
    "request_timeout": 504,
    "batch_cancelled": 499,
    "batch_expired": 504,
    "batch_failed": 500,
    "item_crashed_worker": 500,
}
_NO_ANSWER = 502
"""The status of connections that broke, and of answers that nobody can read."""


def write_result(result: StoredResult) -> bytes:
    """The result without a newline. A success shows the answer as it is."""
    is_named = result.custom_id != place_name(result.index)
    named = b',"custom_id":' + orjson.dumps(result.custom_id) if is_named else b""
    if result.outcome is not Outcome.SUCCEEDED:
        return b'{"index":%d,"status":"failed","result":null,"error":%b%b}' % (result.index, _error(result), named)
    body = result.body
    return b'{"index":%d,"status":"succeeded","result":%b%b%b}' % (result.index, body, _usage(body), named)


def _usage(body: bytes) -> bytes:
    if b'"usage"' not in body:
        return b""
    usage = orjson.loads(body).get("usage")
    return b',"usage":' + orjson.dumps(usage) if isinstance(usage, dict) else b""


def _error(result: StoredResult) -> bytes:
    if result.status_code is None:
        code = result.error_code or "failed"
        status = _STATUS_WITHOUT_ANSWER.get(code, _NO_ANSWER)
        return orjson.dumps({"message": result.error_message or "", "code": code, "status": status})
    error = error_object(orjson.loads(result.body))
    code = error.get("code") or error.get("type") or f"http_{result.status_code}"
    message = error.get("message") or f"The provider answered with status {result.status_code}."
    return orjson.dumps({"message": str(message), "code": str(code), "status": result.status_code})


def error_object(document: Any) -> dict[str, Any]:
    """The error object of a provider's answer, whichever of the usual shapes it has."""
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, dict):
        return error
    if isinstance(error, str):
        return {"message": error}
    return document if isinstance(document, dict) else {}
