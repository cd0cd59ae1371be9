"""An error as most dialects show it: OpenAI's fields, with the status beside them. Every error has a code."""

from __future__ import annotations

from typing_extensions import TypedDict

from batchyard.core.errors import RequestError

_CODES = {
    401: "unauthorized",
    404: "not_found",
    409: "conflict",
    413: "request_too_large",
    415: "unsupported_media_type",
    429: "rate_limit_exceeded",
}
"""The code by status, for errors without a code of their own."""


class ErrorDetail(TypedDict):
    message: str
    type: str
    param: str | None
    code: str
    status: int


def error_detail(error: RequestError) -> ErrorDetail:
    return {
        "message": error.message,
        "type": error.type,
        "param": error.param,
        "code": error.code or _CODES.get(error.status, "invalid_request"),
        "status": error.status,
    }


def fault_detail(message: str) -> ErrorDetail:
    """An error that is not the caller's."""
    return {"message": message, "type": "server_error", "param": None, "code": "internal_error", "status": 500}
