"""Receive: make a file from the bytes that came with a request, or one whose bytes will come later.

Joined uploads are `steps/upload.py`'s.
"""

from __future__ import annotations

from batchyard.adapters.aws.repeats import note_of
from batchyard.adapters.aws.stores import Stores
from batchyard.content.files import JSONL_SUFFIX, check, check_name, count_lines, expiry
from batchyard.core.errors import ConditionFailed
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
    """A file whose bytes are here. `ref`: what a new one is called. A repeated request answers the file that it
    made the first time, if that is still there."""
    check(request, len(data), terms.max_bytes)
    fingerprint = request.fingerprint(data)
    if request.is_repeat and (made := _made_by(ref.account_id, fingerprint, now, stores)):
        return made
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
    expected = stores.files.expect(ref, now)
    stores.objects.put(file_key(ref.account_id, ref.file_id), data)
    note = note_of(ref.account_id, fingerprint, ref.file_id, is_repeat=request.is_repeat, now=now)
    try:
        stores.files.put(file, beside=[note, expected])
    except ConditionFailed:
        made = _made_by(ref.account_id, fingerprint, now, stores)
        if made is None:  # it was made by the same request, and deleted since
            stores.files.put(file, beside=[expected])
            return file
        if made.id != file.id:
            stores.objects.delete(file_key(ref.account_id, ref.file_id))
        return made
    return file


def _made_by(account_id: str, fingerprint: str, now: int, stores: Stores) -> File | None:
    """The file that the same request made a short time ago."""
    file_id = stores.repeats.made_by(account_id, fingerprint, now)
    file = stores.files.get(FileRef(account_id, file_id), consistent=True) if file_id else None
    return file if file is not None and not file.is_expired(now) else None


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
