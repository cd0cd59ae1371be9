"""Receive: make a file from the bytes that came with a request, or one whose bytes will come later.

Joined uploads are `steps/upload.py`'s.
"""

from __future__ import annotations

from batchyard.adapters.aws.stores import Stores
from batchyard.content.files import JSONL_SUFFIX, check, check_name, count_lines, expiry
from batchyard.core.files import File, FileRef, FileStatus
from batchyard.core.keys import file_key
from batchyard.core.limits import FileTerms
from batchyard.core.requests import FileRequest


def receive(
    request: FileRequest,
    data: bytes,
    ref: FileRef,
    *,
    now: int,
    terms: FileTerms,
    stores: Stores,
) -> File:
    """The file that `ref` names, whose bytes are here."""
    check(request, len(data), terms.max_bytes)
    file = File(
        id=ref.file_id,
        account_id=ref.account_id,
        filename=request.filename,
        purpose=request.purpose,
        bytes=len(data),
        created_at=now,
        expires_at=expiry(request.expires_after_seconds, now, terms.keep_days),
        lines=count_lines(data) if request.filename.endswith(JSONL_SUFFIX) else None,
    )
    stores.objects.put(file_key(ref.account_id, ref.file_id), data)
    stores.files.put(file)
    return file


def announce(request: FileRequest, ref: FileRef, *, now: int, terms: FileTerms, stores: Stores) -> File:
    """The file that `ref` names, whose bytes will come by a presigned URL."""
    check_name(request)
    file = File(
        id=ref.file_id,
        account_id=ref.account_id,
        filename=request.filename,
        purpose=request.purpose,
        bytes=0,
        created_at=now,
        status=FileStatus.UPLOADED,
        expires_at=expiry(request.expires_after_seconds, now, terms.keep_days),
    )
    stores.files.put(file)
    return file
