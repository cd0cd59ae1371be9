"""Files as the steps need them: found by id, checked, and their lines counted.

A file's bytes come with the request, or straight to the bucket under a presigned URL; then the first use of the file
notices them here. They are copied to where nobody can send others: a presigned URL works for an hour, whatever has
become of the file meanwhile.
"""

from __future__ import annotations

from batchyard.adapters.aws.objects import ObjectChanged, ObjectMissing
from batchyard.adapters.aws.stores import Stores
from batchyard.core.errors import ConditionFailed, InvalidRequest, NotFound, PayloadTooLarge
from batchyard.core.files import INPUT_PURPOSE, File, FileRef, FileStatus
from batchyard.core.keys import file_key, incoming_key
from batchyard.core.requests import FileRequest

JSONL_SUFFIX = ".jsonl"
_DAY_SECONDS = 86_400


def find(ref: FileRef, *, now: int, max_file_bytes: int, stores: Stores) -> File:
    """The account's file as of `now`, as `notice` leaves it. Raises NotFound, also if it has expired."""
    file = stores.files.get(ref, consistent=True)
    if file is None or file.is_expired(now):
        raise missing(ref.file_id)
    return notice(file.as_of(now), max_file_bytes=max_file_bytes, stores=stores)


def notice(file: File, *, max_file_bytes: int, stores: Stores) -> File:
    """`file`, or if its bytes have come by a presigned URL since it was read, the file with its size. Raises NotFound
    if it was deleted meanwhile."""
    if file.status is not FileStatus.UPLOADED or file.upload_id is not None:
        return file
    objects, incoming = stores.objects, incoming_key(file.account_id, file.id)
    found = objects.head(incoming)
    if found is None:
        return file
    try:
        if 0 < found.size <= max_file_bytes:  # copied are the bytes of this size, or none
            objects.copy_within(incoming, file_key(file.account_id, file.id), found)
            noticed = stores.files.keep(file, bytes=found.size)
        else:
            noticed = stores.files.mark_broken(file, _wrong_size(found.size, max_file_bytes))
    except (ObjectMissing, ObjectChanged, ConditionFailed):
        return _noticed_elsewhere(file, stores)
    objects.delete(incoming)
    return noticed


def _wrong_size(size: int, max_file_bytes: int) -> str:
    return f"The file has {size} bytes; {max_file_bytes} bytes are allowed." if size else "The file is empty."


def _noticed_elsewhere(file: File, stores: Stores) -> File:
    """The file as somebody else has left it, or as it was if its bytes are just being replaced. Raises NotFound if it
    was deleted."""
    found = stores.files.get(file.ref, consistent=True)
    if found is None:
        raise missing(file.id)
    return found


def own_keys(ref: FileRef) -> tuple[str, str]:
    """Where bytes of the file may be."""
    return file_key(ref.account_id, ref.file_id), incoming_key(ref.account_id, ref.file_id)


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
    """SDKs call bytes that have no name `upload`, so a name without an ending is fine."""
    if request.any_name or request.purpose != INPUT_PURPOSE:
        return
    if "." in request.filename and not request.filename.endswith(JSONL_SUFFIX):
        raise InvalidRequest("Invalid file format for Batch API. Must be .jsonl", param="file")


def expiry(seconds: int | None, now: int, keep_days: int) -> int:
    return now + (seconds if seconds is not None else keep_days * _DAY_SECONDS)


def count_lines(data: bytes) -> int:
    """Lines that hold more than white space."""
    return sum(1 for line in data.split(b"\n") if line and not line.isspace())


def missing(file_id: str) -> NotFound:
    return NotFound(f"No such File object: {file_id}", param="id", code="file_not_found")
