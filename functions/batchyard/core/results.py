"""An item after it ran: its result, and its line in the output or error file.

The line is OpenAI's (`id`, `custom_id`, `response`, `error`) whatever surface the batch came through, so that one
merge serves them all. An HTTP-level failure keeps the provider's answer in `response` with `error: null`; a failure
without an answer (expired, cancelled, no connection) has `response: null` and an `error`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

import orjson

from batchyard.core.ids import derive_id
from batchyard.core.one_line import escape_separators
from batchyard.core.usage import Tally, Usage


class Outcome(enum.StrEnum):
    """How an item ended. Only `SUCCEEDED` goes to the output file; the others go to the error file."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Result:
    """Exactly one of `status_code` and `error_code` is set, the former with `body`: the provider's JSON, made by
    `one_line`."""

    index: int
    custom_id: str
    outcome: Outcome
    status_code: int | None = None
    request_id: str | None = None
    body: bytes | None = None
    error_code: str | None = None
    error_message: str | None = None
    usage: Usage = field(default_factory=Usage)
    cost_picousd: int = 0


def failed(index: int, custom_id: str, code: str, message: str) -> Result:
    """A result that never got an answer from a provider."""
    return Result(index, custom_id, Outcome.FAILED, error_code=code, error_message=message)


def unfinished(index: int, custom_id: str, outcome: Outcome) -> Result:
    """The result of an item that a cancelled, expired or failed batch never finished."""
    code, message = _UNFINISHED[outcome]
    return Result(index, custom_id, outcome, error_code=code, error_message=message)


def result_line_start(batch_id: str, index: int) -> bytes:
    """What the line of item `index` begins with, and no other line."""
    return b'{"id":"%b",' % _line_id(batch_id, index).encode()


def _line_id(batch_id: str, index: int) -> str:
    return derive_id("batch_req_", batch_id, str(index))


def result_line(batch_id: str, result: Result) -> bytes:
    """The result's line, newline included. Nothing but that newline ends a line, whoever reads it."""
    line = {
        "id": _line_id(batch_id, result.index),
        "custom_id": result.custom_id,
        "response": None
        if result.status_code is None
        else {
            "status_code": result.status_code,
            "request_id": result.request_id or "",
            "body": orjson.Fragment(result.body or b"null"),
        },
        "error": None
        if result.error_code is None
        else {"code": result.error_code, "message": result.error_message or ""},
    }
    written = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
    is_ascii = result.custom_id.isascii() and (result.request_id or "").isascii()
    return written if is_ascii else escape_separators(written)


def tally(results: list[Result]) -> Tally:
    """Counts, tokens and cost of `results`."""
    total = Tally()
    for result in results:
        usage = result.usage
        total += Tally(
            **{str(result.outcome): 1},
            input_tokens=usage.input_tokens,
            cached_tokens=usage.cached_tokens,
            output_tokens=usage.output_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            cost_picousd=result.cost_picousd,
        )
    return total


@dataclass(frozen=True, slots=True)
class ResultLine:
    """A line, read back. `body`: the provider's JSON as it stands there."""

    custom_id: str
    status_code: int | None = None
    body: bytes | None = None
    error_code: str | None = None
    error_message: str | None = None


_BODY = b',"body":'
_AFTER_BODY = b'},"error":null}\n'


def read_result_line(line: bytes) -> ResultLine:
    """What `result_line` wrote. The body is cut out, not parsed: quotes inside strings are escaped, so the first
    `,"body":` is the one that stands before it."""
    head, found, rest = line.partition(_BODY)
    if not found:
        fields = orjson.loads(line)
        error = fields["error"]
        return ResultLine(fields["custom_id"], error_code=error["code"], error_message=error["message"])
    fields = orjson.loads(head + b"}}")
    return ResultLine(fields["custom_id"], fields["response"]["status_code"], rest.removesuffix(_AFTER_BODY))


_UNFINISHED = {
    Outcome.FAILED: ("batch_failed", "This request was not executed because the batch failed."),
    Outcome.CANCELLED: ("batch_cancelled", "This request was not executed because the batch was cancelled."),
    Outcome.EXPIRED: (
        "batch_expired",
        "This request could not be executed before the completion window expired.",
    ),
}
