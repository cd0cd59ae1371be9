"""Expire: remove the bytes and the rows of files whose time is over, and bytes whose file was never made, and note what
batches hold of them. Running it twice does no harm."""

from __future__ import annotations

from batchyard.adapters.aws.files import Expired
from batchyard.adapters.aws.stores import Stores
from batchyard.content.files import own_keys
from batchyard.core.files import File, FileRef
from batchyard.steps.purge import note_results, note_work

_AT_MOST = 500
"""Files per call; the next sweep removes the next ones."""


def expire(*, now: int, stores: Stores) -> int:
    """How many files were removed. The bytes go first: a call that dies between is made again."""
    over: list[tuple[Expired, FileRef, File | None]] = []
    for expired in stores.files.expired(now, _AT_MOST):
        ref = FileRef(expired.account_id, expired.file_id)
        file = stores.files.get(ref, consistent=True)
        if file is not None and not file.is_expired(now):  # its bytes were expected, and it is there
            stores.files.forget(expired)
        else:
            over.append((expired, ref, file))
    stores.objects.delete_many(key for _, ref, _ in over for key in own_keys(ref))
    for expired, ref, file in over:
        if file is not None:  # of one that was deleted before its time it is noted
            note_results(file, stores=stores)
            note_work(ref, stores=stores)
        stores.files.remove(expired)
    return len(over)
