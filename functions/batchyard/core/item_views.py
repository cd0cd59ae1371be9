"""An item as the dashboard shows it: what was asked beside what was answered."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from batchyard.core.lanes import Lane
from batchyard.core.results import Outcome, StoredResult

_MESSAGE_CHARS = 500
_LARGEST_ERROR_BYTES = 100_000
"""An answer that is longer is no error message."""


@dataclass(frozen=True, slots=True)
class ItemError:
    code: str | None
    message: str | None


@dataclass(frozen=True, slots=True)
class ItemView:
    """`outcome`: None while it has no result. `request`, `answer`: JSON, None if they were not looked at, are no longer
    kept, or are not there. `lane`: of its shard, if somebody has looked."""

    index: int
    custom_id: str
    outcome: Outcome | None = None
    status_code: int | None = None
    request_id: str | None = None
    error: ItemError | None = None
    request: bytes | None = None
    answer: bytes | None = None
    lane: Lane | None = None


def item_view(result: StoredResult) -> ItemView:
    """A result without what was asked and answered."""
    return ItemView(
        result.index,
        result.custom_id,
        result.outcome,
        result.status_code,
        result.request_id,
        error=None if result.outcome is Outcome.SUCCEEDED else _error_of(result),
    )


def _error_of(result: StoredResult) -> ItemError:
    """Our reason if there was no answer, else what the provider's answer says, as far as it is one of the usual
    forms."""
    if result.status_code is None:
        return ItemError(result.error_code, result.error_message)
    code, message = _error_in(result.body)
    return ItemError(code or f"http_{result.status_code}", message)


def _error_in(body: bytes) -> tuple[str | None, str | None]:
    """(code, message) of an answer such as {"error": {"code", "type", "message"}} or {"message"}."""
    if len(body) > _LARGEST_ERROR_BYTES:
        return None, None
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None, None
    told = answer.get("error", answer) if isinstance(answer, dict) else answer
    if isinstance(told, str):
        return None, told[:_MESSAGE_CHARS]
    if not isinstance(told, dict):
        return None, None
    code, message = told.get("code") or told.get("type"), told.get("message")
    return (
        str(code)[:_MESSAGE_CHARS] if isinstance(code, str | int) else None,
        message[:_MESSAGE_CHARS] if isinstance(message, str) else None,
    )
