"""What Batchyard found -> KushRouter's replies and errors."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from batchyard.core.batches import Batch
from batchyard.core.errors import RateLimited, RequestError
from batchyard.core.files import File
from batchyard.core.limits import Allowance
from batchyard.core.requests import ResultWindow
from batchyard.surfaces.errors import error_detail, fault_detail
from batchyard.surfaces.http import Reply, json_reply
from batchyard.surfaces.kushrouter import replies
from batchyard.surfaces.operations import Page, Presigned, ResultsFrame, ShownFile

_FAULT = "The server had an error while processing your request. It is safe to send it again."


def write_new_file(shown: ShownFile) -> Reply:
    return write_file(shown.file)


def write_file(file: File) -> Reply:
    return json_reply(replies.file_object(file))


def write_files(page: Page[File]) -> Reply:
    return json_reply(replies.listed([replies.file_object(file) for file in page.found], page.has_more))


def write_deleted_file(file: File) -> Reply:
    deleted: replies.KushRouterDeletedFile = {"id": file.id, "object": "file", "deleted": True}
    return json_reply(deleted)


def write_presigned(presigned: Presigned) -> Reply:
    body: replies.KushRouterPresignedFile = {
        "object": "file.presigned",
        "url": presigned.url,
        "method": "PUT",
        "expires_at": presigned.expires_at,
        "file": replies.file_object(presigned.file),
    }
    return json_reply(body)


def write_batch(batch: Batch) -> Reply:
    return json_reply(replies.batch_object(batch))


def write_batches(page: Page[Batch]) -> Reply:
    return json_reply(replies.listed([replies.batch_object(batch) for batch in page.found], page.has_more))


def frame_results(batch: Batch, window: ResultWindow) -> ResultsFrame:
    page = {
        "id": batch.id,
        "status": replies.STATUSES[batch.status],
        "total": batch.total_items,
        "offset": window.offset,
        "limit": window.limit,
        "results": [],
    }
    return ResultsFrame(orjson.dumps(page).removesuffix(b"]}"), b",", b"]}")


def allowance_headers(allowance: Allowance) -> Mapping[str, str]:
    return {
        "x-ratelimit-limit": str(allowance.limit),
        "x-ratelimit-remaining": str(allowance.remaining),
        "x-ratelimit-reset": str(allowance.resets_at),
    }


def write_error(error: RequestError | None) -> Reply:
    if isinstance(error, RateLimited):
        headers = {"retry-after": str(error.retry_after_seconds)}
        return json_reply({"error": "Rate limit exceeded (key)"}, error.status, headers)
    if error is None:
        return json_reply({"error": fault_detail(_FAULT)}, 500)
    return json_reply({"error": error_detail(error)}, error.status)
