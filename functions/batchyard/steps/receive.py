"""Receive: make a file of the bytes that came with a request, or announce one whose bytes will come later.

Joined uploads are `steps/upload.py`'s.
"""

from __future__ import annotations

from batchyard.adapters.aws.files import Files
from batchyard.adapters.aws.objects import Objects
from batchyard.content.files import JSONL_SUFFIX, check, check_name, count_rows, expiry
from batchyard.core.files import File, FileStatus
from batchyard.core.keys import file_key
from batchyard.core.requests import FileRequest


def receive(
    request: FileRequest,
    data: bytes,
    *,
    account_id: str,
    file_id: str,
    now: int,
    keep_days: int,
    max_file_bytes: int,
    files: Files,
    objects: Objects,
) -> File:
    """A file whose bytes are here. `keep_days`: how long a file is kept that asks for nothing else."""
    check(request, len(data), max_file_bytes)
    file = File(
        id=file_id,
        account_id=account_id,
        filename=request.filename,
        purpose=request.purpose,
        bytes=len(data),
        created_at=now,
        expires_at=expiry(request.expires_after_seconds, now, keep_days),
        rows=count_rows(data) if request.filename.endswith(JSONL_SUFFIX) else None,
    )
    objects.put(file_key(account_id, file_id), data)
    files.put(file)
    return file


def announce(request: FileRequest, *, account_id: str, file_id: str, now: int, keep_days: int, files: Files) -> File:
    """A file whose bytes will come under a presigned URL."""
    check_name(request)
    file = File(
        id=file_id,
        account_id=account_id,
        filename=request.filename,
        purpose=request.purpose,
        bytes=0,
        created_at=now,
        status=FileStatus.UPLOADED,
        expires_at=expiry(request.expires_after_seconds, now, keep_days),
    )
    files.put(file)
    return file
