"""Anthropic's dialect as a table: Message Batches, with Batchyard's files as the way in for large ones.

Requests are read in `reading.py`, their body is in `requests.py`; replies are written in `writing.py`, their objects
are in `replies.py`; a batch's requests are read in `lines.py`, results written in `results.py`; `ids.py` has its ids.
"""

from __future__ import annotations

from batchyard.core.limits import Limits
from batchyard.core.providers import MESSAGES
from batchyard.surfaces.anthropic import reading, replies, requests, writing
from batchyard.surfaces.anthropic.lines import explain_line, parse_line
from batchyard.surfaces.anthropic.results import write_result
from batchyard.surfaces.operations import Operation, OperationDoc, ResultsForm, as_it_is
from batchyard.surfaces.surface import Surface, SurfaceRules

_HEADERS = {reading.VERSION: "2026-10-21 or 2023-06-01."}
_CREATE_HEADERS = {
    **_HEADERS,
    reading.BETA: "Names of betas that need no header any more; others are refused.",
    "Idempotency-Key": "The same key with the same request is the same batch.",
}
_CURSOR = {"type": "string", "description": "The id of the batch before or behind which the page is."}
_PAGE_QUERY = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 20},
    "after_id": _CURSOR,
    "before_id": _CURSOR,
}

SURFACE = Surface(
    name="anthropic",
    rules=SurfaceRules(
        read_api_key=reading.read_api_key,
        write_error=writing.write_error,
        error_shape=replies.AnthropicError,
        allowance_headers=writing.allowance_headers,
        limits=Limits(max_batch_items=100_000, max_file_bytes=256_000_000, requests_per_minute=6_000),
        explain_line=explain_line,
        show_request_id=writing.show_request_id,
    ),
    parse_line=parse_line,
    results=ResultsForm(write_result, endpoint=MESSAGES, only_at_the_end=True),
    create_batch=Operation(
        reading.read_batch,
        writing.write_batch,
        OperationDoc(
            "Create a message batch",
            request=requests.CreateMessageBatch,
            headers=_CREATE_HEADERS,
            reply=replies.MessageBatch,
        ),
    ),
    list_batches=Operation(
        reading.read_batches_page,
        writing.write_batches,
        OperationDoc(
            "List message batches, newest first",
            query=_PAGE_QUERY,
            headers=_HEADERS,
            reply=replies.MessageBatchList,
        ),
    ),
    retrieve_batch=Operation(
        reading.read_batch_id,
        writing.write_batch,
        OperationDoc("Retrieve a message batch", headers=_HEADERS, reply=replies.MessageBatch),
    ),
    cancel_batch=Operation(
        reading.read_batch_id,
        writing.write_batch,
        OperationDoc("Cancel a message batch; what is done is kept", headers=_HEADERS, reply=replies.MessageBatch),
    ),
    delete_batch=Operation(
        reading.read_batch_id,
        writing.write_deleted_batch,
        OperationDoc(
            "Delete a message batch that has ended, with its results",
            headers=_HEADERS,
            reply=replies.DeletedMessageBatch,
        ),
    ),
    export_results=Operation(
        reading.read_results,
        as_it_is,
        OperationDoc(
            "Results of a message batch that has ended, in the order of its requests; large ones by a redirect",
            headers=_HEADERS,
            content_types=("application/x-ndjson",),
            redirect=True,
        ),
    ),
)
