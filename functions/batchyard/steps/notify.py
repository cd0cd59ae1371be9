"""Notify: bring the results of a batch that came through the drop folder back there."""

from __future__ import annotations

from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.stores import Stores
from batchyard.content.delivery import Delivery, deliver, keys_for
from batchyard.core.batches import Batch, BatchRef, DropSource
from batchyard.core.dropfolder import ResultKeys
from batchyard.core.errors import BooksDoNotBalance, NotReady
from batchyard.core.json_types import JsonObject
from batchyard.core.keys import file_key
from batchyard.core.usage import decimal_usd


def notify(ref: BatchRef, *, stores: Stores, drop: Objects | None) -> ResultKeys | None:
    """Where the results are now; None for a batch that came another way. `drop`: the drop folder's bucket, if the
    deployment has one."""
    batch = stores.batches.get(ref, consistent=True)
    if batch is None or batch.drop is None:  # its owner may have deleted it the moment it ended
        return None
    if not batch.status.is_terminal:
        raise NotReady(f"{batch.id} is {batch.status}")
    if drop is None:
        raise BooksDoNotBalance(f"{batch.id} came through a drop folder that this deployment does not have")
    keys = keys_for(batch.drop, batch.id, batch.id, drop)
    delivery = Delivery(
        status=_status(batch, batch.drop),
        output_key=_key(batch, batch.output_file_id),
        error_key=_key(batch, batch.error_file_id),
        errors=batch.errors,
    )
    deliver(delivery, keys, objects=stores.objects, drop=drop)
    return keys


def _key(batch: Batch, file_id: str | None) -> str | None:
    return file_key(batch.account_id, file_id) if file_id else None


def _status(batch: Batch, source: DropSource) -> JsonObject:
    tally = batch.tally
    return {
        "status": str(batch.status),
        "batch_id": batch.id,
        "source": {"key": source.key, "version_id": source.version_id},
        "endpoint": batch.endpoint,
        "model": batch.model,
        "metadata": batch.metadata,
        "created_at": batch.created_at,
        f"{batch.status}_at": batch.status_times.get(batch.status),
        "items": {
            "total": batch.total_items,
            "succeeded": tally.succeeded,
            "failed": tally.failed,
            "cancelled": tally.cancelled,
            "expired": tally.expired,
        },
        "usage": {
            "input_tokens": tally.input_tokens,
            "cached_tokens": tally.cached_tokens,
            "output_tokens": tally.output_tokens,
            "reasoning_tokens": tally.reasoning_tokens,
        },
        "cost_usd": decimal_usd(tally.cost_picousd),
    }
