"""What Batchyard found -> Anthropic's replies and errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import orjson

from batchyard.core.batches import Batch
from batchyard.core.errors import RateLimited, RequestError
from batchyard.core.limits import Allowance
from batchyard.surfaces.anthropic import replies
from batchyard.surfaces.anthropic.ids import shown_id, with_shown_ids
from batchyard.surfaces.anthropic.results import error_type
from batchyard.surfaces.http import Reply, json_reply
from batchyard.surfaces.operations import Page

_FAULT = "Internal server error. Send the request again; if it fails again, tell your operator its request id."


def write_batch(batch: Batch) -> Reply:
    return json_reply(replies.batch_object(batch))


def write_batches(page: Page[Batch]) -> Reply:
    data = [replies.batch_object(batch) for batch in page.found]
    body: replies.MessageBatchList = {
        "data": data,
        "has_more": page.has_more,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }
    return json_reply(body)


def write_deleted_batch(batch: Batch) -> Reply:
    deleted: replies.DeletedMessageBatch = {"id": shown_id(batch.id), "type": "message_batch_deleted"}
    return json_reply(deleted)


def allowance_headers(allowance: Allowance) -> Mapping[str, str]:
    return {
        "anthropic-ratelimit-requests-limit": str(allowance.limit),
        "anthropic-ratelimit-requests-remaining": str(allowance.remaining),
        "anthropic-ratelimit-requests-reset": replies.timestamp(allowance.resets_at),
    }


def write_error(error: RequestError | None) -> Reply:
    status = error.status if error is not None else 500
    message = with_shown_ids(error.message) if error is not None else _FAULT
    body: replies.AnthropicError = {
        "type": "error",
        "error": {"type": error_type(status), "message": message},
        "request_id": "",
    }
    return json_reply(body, status, _error_headers(error))


def _error_headers(error: RequestError | None) -> dict[str, str]:
    """Asks the SDKs not to repeat a request that got a 409, because it would get another one."""
    if isinstance(error, RateLimited):
        return {"retry-after": str(error.retry_after_seconds)}
    return {"x-should-retry": "false"} if error is not None and error.status == 409 else {}


def show_request_id(reply: Reply, request_id: str) -> Reply:
    """In the header where the SDKs look for it, and in the body of an error."""
    body = reply.body
    if reply.status >= 400:
        body = orjson.dumps(orjson.loads(body) | {"request_id": request_id})
    return replace(reply, body=body, headers={**reply.headers, "request-id": request_id})
