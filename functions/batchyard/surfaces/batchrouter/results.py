"""A result as BatchRouter shows it: one JSON object, on a page of results or on a line of the artifact."""

from __future__ import annotations

import orjson

from batchyard.core.batches import Batch
from batchyard.core.errors import Conflict
from batchyard.core.one_line import escape_separators
from batchyard.core.requests import ResultWindow
from batchyard.core.results import Outcome, StoredResult
from batchyard.surfaces.batchrouter import replies
from batchyard.surfaces.operations import ResultsFrame

_ROW = b'{"customer_item_id":%b,"index":%d,"status":"%b","response":%b,"error":%b}'
_RESPONSE = b'{"status_code":%d,"body":%b}'


def write_result(result: StoredResult) -> bytes:
    """The result without a newline. An answer stands in it byte for byte."""
    response, error = b"null", b"null"
    if result.status_code is not None:
        response = _RESPONSE % (result.status_code, result.body)
    if result.outcome is not Outcome.SUCCEEDED:
        error = _error(result)
    customer_item_id = escape_separators(orjson.dumps(result.custom_id))
    return _ROW % (customer_item_id, result.index, str(result.outcome).encode(), response, error)


def frame_results(batch: Batch, window: ResultWindow) -> ResultsFrame:
    """Raises Conflict if the batch has not ended: pages are for good."""
    if not batch.status.is_terminal:
        raise Conflict(
            f"The batch is {replies.status_of(batch)}: its results can be read when it has ended.",
            param="batch_id",
            code="results_not_ready",
        )
    total = batch.total_items
    limit = window.limit or total
    following = window.offset + limit
    page = {
        "batch_id": replies.batch_id(batch),
        "status": replies.status_of(batch),
        "item_count": total,
        "next_cursor": f"item_{following}" if following < total else None,
        "results": [],
    }
    return ResultsFrame(orjson.dumps(page).removesuffix(b"]}"), b",", b"]}")


def _error(result: StoredResult) -> bytes:
    if result.status_code is not None:
        code, message = "provider_error", f"The provider answered with status {result.status_code}; see 'response'."
    else:
        code, message = result.error_code or "failed", result.error_message or ""
    return escape_separators(orjson.dumps({"code": code, "message": message}))
