"""Files as the steps need them: found by id, checked, and their lines counted.

A file's bytes come with its request, or go straight to the bucket by a presigned URL. In the latter case nobody says so
when they are there: whoever uses the file first looks for them, with `notice`.
"""

from __future__ import annotations

from batchyard.adapters.aws.stores import Stores
from batchyard.core.errors import ConditionFailed, InvalidRequest, NotFound, PayloadTooLarge
from batchyard.core.files import File, FileRef, FileStatus
from batchyard.core.keys import file_key
from batchyard.core.requests import FileRequest

JSONL_SUFFIX = ".jsonl"
_PURPOSE_OF_BATCHES = "batch"
_DAY_SECONDS = 86_400


def find(ref: FileRef, *, now: int, max_file_bytes: int, stores: Stores) -> File:
    """The account's file, as `notice` leaves it. Raises NotFound, also if it has expired."""
    file = stores.files.get(ref, consistent=True)
    if file is None or file.is_expired(now):
        raise missing(ref.file_id)
    return notice(file, max_file_bytes=max_file_bytes, stores=stores)


def notice(file: File, *, max_file_bytes: int, stores: Stores) -> File:
    """`file`, or if its bytes have come by a presigned URL since it was read, the file with its size. Raises NotFound
    if it was deleted meanwhile."""
    if file.status is not FileStatus.UPLOADED or file.upload_id is not None:
        return file
    files = stores.files
    found = stores.objects.head(file_key(file.account_id, file.id))
    if found is None:
        return file
    try:
        if found.size == 0:
            return files.mark_broken(file, "The file is empty.")
        if found.size > max_file_bytes:
            return files.mark_broken(file, f"The file has {found.size} bytes; {max_file_bytes} bytes are allowed.")
        return files.arrive(file, bytes=found.size)
    except ConditionFailed as error:
        raise missing(file.id) from error


def check(request: FileRequest, size: int, max_file_bytes: int) -> None:
    """Raises InvalidRequest or PayloadTooLarge if a file of `size` bytes cannot be what it is for."""
    check_name(request)
    if size <= 0:
        raise InvalidRequest("The file is empty. Send a file with at least one byte.", param="file", code="empty_file")
    if size > max_file_bytes:
        raise PayloadTooLarge(
            f"The file has {size} bytes; {max_file_bytes} bytes are allowed. Split it into several files.",
            param="file",
            code="file_too_large",
        )


def check_name(request: FileRequest) -> None:
    if request.any_name:
        return
    if request.purpose == _PURPOSE_OF_BATCHES and not request.filename.endswith(JSONL_SUFFIX):
        raise InvalidRequest("Invalid file format for Batch API. Must be .jsonl", param="file")


def expiry(seconds: int | None, now: int, keep_days: int) -> int:
    return now + (seconds if seconds is not None else keep_days * _DAY_SECONDS)


def count_lines(data: bytes) -> int:
    """Lines that hold more than white space."""
    return sum(1 for line in data.split(b"\n") if line and not line.isspace())


def missing(file_id: str) -> NotFound:
    return NotFound(f"No such File object: {file_id}", param="id", code="file_not_found")
