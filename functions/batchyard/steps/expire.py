"""Expire: remove the bytes and the rows of files whose time is over. Running it twice does no harm."""

from __future__ import annotations

from batchyard.adapters.aws.files import Files
from batchyard.adapters.aws.objects import Objects
from batchyard.core.keys import file_key

_AT_MOST = 500
"""Files per call; the next sweep removes the next ones."""


def expire(*, now: int, files: Files, objects: Objects) -> int:
    """How many files were removed. The bytes are deleted first, so that a call which dies between the two is repeated
    by the next sweep."""
    expired = files.expired(now, _AT_MOST)
    objects.delete_many(file_key(file.account_id, file.file_id) for file in expired)
    for file in expired:
        files.remove(file)
    return len(expired)
