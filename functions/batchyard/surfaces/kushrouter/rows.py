"""A result as KushRouter shows it: one JSON object, in a page of results or on a line of an export.

An item that got no answer has no status of HTTP's; it is given the one that a gateway would have answered with.
"""

from __future__ import annotations

from typing import Any

import orjson

from batchyard.core.parts import StoredResult
from batchyard.core.results import Outcome, ResultLine, read_result_line
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
"""Connections that broke, and answers that nobody can read."""


def result_row(stored: StoredResult) -> bytes:
    """The row of a result, without a newline. Of a success the answer is copied as it is."""
    line = read_result_line(stored.line)
    named = b"" if line.custom_id == place_name(stored.index) else b',"custom_id":' + orjson.dumps(line.custom_id)
    if stored.outcome is not Outcome.SUCCEEDED:
        return b'{"index":%d,"status":"failed","result":null,"error":%b%b}' % (stored.index, _error(line), named)
    body = line.body or b"null"
    return b'{"index":%d,"status":"succeeded","result":%b%b%b}' % (stored.index, body, _usage(body), named)


def _usage(body: bytes) -> bytes:
    if b'"usage"' not in body:
        return b""
    usage = orjson.loads(body).get("usage")
    return b',"usage":' + orjson.dumps(usage) if isinstance(usage, dict) else b""


def _error(line: ResultLine) -> bytes:
    if line.status_code is None:
        code = line.error_code or "failed"
        status = _STATUS_WITHOUT_ANSWER.get(code, _NO_ANSWER)
        return orjson.dumps({"message": line.error_message or "", "code": code, "status": status})
    error = _told(orjson.loads(line.body or b"null"))
    code = error.get("code") or error.get("type") or f"http_{line.status_code}"
    message = error.get("message") or f"The provider answered with status {line.status_code}."
    return orjson.dumps({"message": str(message), "code": str(code), "status": line.status_code})


def _told(document: Any) -> dict[str, Any]:
    """The error object of a provider's answer, whichever of the usual shapes it has."""
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, dict):
        return error
    if isinstance(error, str):
        return {"message": error}
    return document if isinstance(document, dict) else {}
