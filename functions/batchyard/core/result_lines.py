"""A line of a batch's output or error file: OpenAI's form, whichever surface the batch came through.

    {"id", "custom_id", "response": {"status_code", "request_id", "body"}, "error": null}     there was an answer
    {"id", "custom_id", "response": null, "error": {"code", "message"}}                       there was none

With one form for all surfaces one merge serves them all, and files can be read back when the parts are gone. Lines are
composed of bytes and cut into bytes; no answer is ever parsed. No reader takes anything but its newline for the end of
a line: bodies are made by `one_line`, and the rest is escaped here.
"""

from __future__ import annotations

import orjson

from batchyard.core.one_line import escape_separators
from batchyard.core.results import Outcome, StoredResult, outcome_of_error, result_id

_ANSWERED = b'{"id":"%b","custom_id":%b,"response":{"status_code":%d,"request_id":%b,"body":%b},"error":null}\n'
_UNANSWERED = b'{"id":"%b","custom_id":%b,"response":null,"error":%b}\n'
_BEFORE_BODY = b',"body":'
_AFTER_BODY = b'},"error":null}\n'


def result_line(result: StoredResult) -> bytes:
    """The result's line, with its newline."""
    custom_id = _written(result.custom_id)
    if result.status_code is None:
        error = _written({"code": result.error_code, "message": result.error_message or ""})
        return _UNANSWERED % (result.id.encode(), custom_id, error)
    request_id = _written(result.request_id or "")
    return _ANSWERED % (result.id.encode(), custom_id, result.status_code, request_id, result.body)


def result_line_start(batch_id: str, index: int) -> bytes:
    """What the line of item `index` begins with, and no other line."""
    return b'{"id":"%b",' % result_id(batch_id, index).encode()


def read_result_line(line: bytes, index: int) -> StoredResult:
    """The result whose line this is. The body is cut out: quotes inside strings are escaped, so the first `,"body":` is
    the one that stands before it."""
    head, found, rest = line.partition(_BEFORE_BODY)
    fields = orjson.loads(head + b"}}" if found else line)
    response, error = fields["response"] or {}, fields.get("error") or {}
    status_code, code = response.get("status_code"), error.get("code")
    is_success = status_code is not None and 200 <= status_code < 300
    return StoredResult(
        index=index,
        id=fields["id"],
        custom_id=fields["custom_id"],
        outcome=Outcome.SUCCEEDED if is_success else outcome_of_error(code),
        status_code=status_code,
        request_id=response.get("request_id") or None,
        error_code=code,
        error_message=error.get("message"),
        body=rest.removesuffix(_AFTER_BODY),
    )


def _written(value: str | dict[str, str | None]) -> bytes:
    written = orjson.dumps(value)
    return written if written.isascii() else escape_separators(written)
