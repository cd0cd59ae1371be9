"""Expire: remove the bytes and the rows of files whose time is over, and note what batches hold of them. Running it
twice does no harm."""

from __future__ import annotations

from batchyard.adapters.aws.stores import Stores
from batchyard.content.files import own_keys
from batchyard.core.files import FileRef
from batchyard.steps.purge import note_results, note_work

_AT_MOST = 500
"""Files per call; the next sweep removes the next ones."""


def expire(*, now: int, stores: Stores) -> int:
    """How many files were removed. The bytes go first: a call that dies between is made again."""
    expired = stores.files.expired(now, _AT_MOST)
    refs = [FileRef(file.account_id, file.file_id) for file in expired]
    stores.objects.delete_many(key for ref in refs for key in own_keys(ref))
    for file, ref in zip(expired, refs, strict=True):
        _note(ref, stores)
        stores.files.remove(file)
    return len(expired)


def _note(ref: FileRef, stores: Stores) -> None:
    file = stores.files.get(ref)
    if file is not None:  # of one that was deleted before its time it is noted
        note_results(file, stores=stores)
        note_work(ref, stores=stores)
