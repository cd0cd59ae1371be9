"""Expire: remove the bytes and the rows of files whose time is over, and bytes whose file was never made, and note what
batches hold of them. Running it twice does no harm."""

from __future__ import annotations

from batchyard.adapters.aws.stores import Stores
from batchyard.content.files import own_keys
from batchyard.core.files import FileRef
from batchyard.steps.purge import note_results, note_work

_AT_MOST = 500
"""Files per call; the next sweep removes the next ones."""


def expire(*, now: int, stores: Stores) -> int:
    """How many files were removed."""
    return _remove_expired(now, stores) + _remove_unmade(now, stores)


def _remove_expired(now: int, stores: Stores) -> int:
    """The bytes go first: a call that dies between is made again."""
    expired = stores.files.expired(now, _AT_MOST)
    stores.objects.delete_many(key for file in expired for key in own_keys(file.ref))
    for file in expired:
        _note(file.ref, stores)
        stores.files.remove(file)
    return len(expired)


def _remove_unmade(now: int, stores: Stores) -> int:
    expected = stores.files.expected(now, _AT_MOST)
    unmade = [file for file in expected if stores.files.get(file.ref, consistent=True) is None]
    stores.objects.delete_many(key for file in unmade for key in own_keys(file.ref))
    for file in expected:
        stores.files.expect_no_more(file)
    return len(unmade)


def _note(ref: FileRef, stores: Stores) -> None:
    file = stores.files.get(ref)
    if file is not None:  # of one that was deleted before its time it is noted
        note_results(file, stores=stores)
        note_work(ref, stores=stores)
