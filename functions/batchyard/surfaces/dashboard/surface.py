"""The dashboard as a table of operations. It makes no batches, so that it has no lines of its own; its errors are
OpenAI's.

Requests are read in `reading.py`; what the page reads is in `batches.py`, `items.py` and `usage.py`, what only
operators do in `operators.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

import orjson

from batchyard.core.limits import Limits
from batchyard.surfaces.dashboard import batches, items, operators, reading, usage
from batchyard.surfaces.http import JSON_TYPE, Reply
from batchyard.surfaces.openai import writing
from batchyard.surfaces.openai.lines import parse_line
from batchyard.surfaces.openai.reading import read_api_key
from batchyard.surfaces.openai.replies import ErrorObject
from batchyard.surfaces.operations import (
    Found,
    Operation,
    OperationDoc,
    as_it_is,
    nothing,
)
from batchyard.surfaces.surface import Surface, SurfaceRules

_REQUESTS_PER_MINUTE = 1_200
"""Of one API key: a few people with a few tabs each, which ask every two seconds at most."""
_ETAG_BYTES = 12
_CURSOR = {"type": "string", "description": "The 'next_cursor' of an earlier page."}
_BATCHES_QUERY = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 25},
    "cursor": _CURSOR,
    "status": {"type": "string", "enum": list(reading.STATUSES)},
}
_ITEMS_QUERY = {
    "outcome": {"type": "string", "enum": list(reading.OUTCOMES), "default": "unsuccessful"},
    "custom_id": {"type": "string", "description": "Only the item of this name, whatever came of it."},
    "cursor": _CURSOR,
    "limit": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
}
_DAYS_QUERY = {"days": {"type": "integer", "minimum": 1, "maximum": 366, "default": 30}}
_FILE_TYPES = ("text/html", "text/css", "text/javascript", "image/svg+xml")


def _shown(shape: Callable[[Found], Mapping[str, Any]]) -> Callable[[Found], Reply]:
    """A reply that nobody keeps, with a tag by which a page that asks again learns that nothing has changed."""

    def write(found: Found) -> Reply:
        body = orjson.dumps(shape(found))
        tag = blake2b(body, digest_size=_ETAG_BYTES).hexdigest()
        return Reply(200, body, {"content-type": JSON_TYPE, "cache-control": "no-store", "etag": f'"{tag}"'})

    return write


SURFACE = Surface(
    name="dashboard",
    rules=SurfaceRules(
        read_api_key=read_api_key,
        write_error=writing.write_error,
        error_shape=ErrorObject,
        allowance_headers=writing.allowance_headers,
        limits=Limits(requests_per_minute=_REQUESTS_PER_MINUTE),
    ),
    parse_line=parse_line,
    show_page=Operation(
        reading.read_page_file,
        as_it_is,
        OperationDoc("The dashboard: a page for people, and its files", content_types=_FILE_TYPES, redirect=True),
    ),
    show_session=Operation(
        nothing,
        _shown(operators.session_object),
        OperationDoc("Who has signed in, and what may be sent", reply=operators.SessionObject),
    ),
    show_download=Operation(
        reading.read_file_id,
        _shown(usage.download_link),
        OperationDoc("Get a URL that has the bytes of a file", reply=usage.DownloadLink),
    ),
    view_batches=Operation(
        reading.read_views,
        _shown(batches.batch_cards),
        OperationDoc("Batches of every dialect, newest first", query=_BATCHES_QUERY, reply=batches.BatchCards),
    ),
    view_batch=Operation(
        reading.read_batch_id,
        _shown(batches.batch_page),
        OperationDoc("One batch, with its timeline", reply=batches.BatchPage),
    ),
    view_throughput=Operation(
        reading.read_batch_id,
        _shown(batches.throughput_chart),
        OperationDoc("How many items of a batch were done when", reply=batches.ThroughputChart),
    ),
    view_items=Operation(
        reading.read_items,
        _shown(items.item_cards),
        OperationDoc("Items of a batch by what came of them, or by name", query=_ITEMS_QUERY, reply=items.ItemCards),
    ),
    view_item=Operation(
        reading.read_item,
        _shown(items.item_page),
        OperationDoc("What was asked for one item, beside what was answered", reply=items.ItemPage),
    ),
    view_usage=Operation(
        reading.read_days,
        _shown(usage.usage_charts),
        OperationDoc("What batches came to, by day and by model", query=_DAYS_QUERY, reply=usage.UsageCharts),
    ),
    view_accounts=Operation(
        reading.read_after_account,
        _shown(operators.accounts_object),
        OperationDoc("For operators: all accounts", query={"cursor": _CURSOR}, reply=operators.OperatorsAccounts),
    ),
    view_lanes=Operation(
        nothing,
        _shown(operators.lanes_object),
        OperationDoc("For operators: the lanes of open batches", reply=operators.OperatorsLanes),
    ),
)
