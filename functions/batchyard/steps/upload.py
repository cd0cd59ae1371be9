"""Upload: a file that comes in parts, because one request could not carry it.

    pending ─▶ completed     the parts are joined into a file: at once if that is quick, else by `assemble`
       ├─────▶ cancelled
       └─────▶ expired       an hour after it was made

S3 joins parts of 5 MB and more by itself, but a request through API Gateway and Lambda carries less, so joining reads
the parts and writes the file. While that lasts the file's status is `uploaded`, and batches wait for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping

from batchyard.adapters.aws.files import Files, Uploads
from batchyard.adapters.aws.objects import ObjectMissing, Objects, Span
from batchyard.adapters.aws.stores import Stores
from batchyard.content.files import check, expiry
from batchyard.core.errors import ConditionFailed, InvalidRequest, NotFound, PayloadTooLarge
from batchyard.core.files import File, FileRef, FileStatus, Upload, UploadPart, UploadRef, UploadStatus
from batchyard.core.ids import derive_id
from batchyard.core.keys import file_key, upload_part_key
from batchyard.core.requests import CompletionRequest, UploadRequest

LIFETIME_SECONDS = 3600
JOIN_AT_ONCE_BYTES = 16_000_000
JOIN_AT_ONCE_PARTS = 100
"""An upload within both limits is joined during its request, which is well within API Gateway's 29 seconds."""
_PARTS_AHEAD = 8
_HELD_BYTES = 64_000_000


def begin(request: UploadRequest, ref: UploadRef, *, now: int, max_file_bytes: int, stores: Stores) -> Upload:
    """A new upload, which waits for its parts."""
    check(request.file, request.bytes, max_file_bytes)
    upload = Upload(
        id=ref.upload_id,
        account_id=ref.account_id,
        filename=request.file.filename,
        purpose=request.file.purpose,
        bytes=request.bytes,
        created_at=now,
        expires_at=now + LIFETIME_SECONDS,
        file_expires_after_seconds=request.file.expires_after_seconds,
    )
    stores.uploads.create(upload)
    return upload


def add_part(ref: UploadRef, data: bytes, *, part_id: str, now: int, max_part_bytes: int, stores: Stores) -> UploadPart:
    """Keeps one part. Parts may come in any order, and several at once."""
    if len(data) > max_part_bytes:
        raise PayloadTooLarge(
            f"The part has {len(data)} bytes; {max_part_bytes} are allowed. Use part_size={max_part_bytes} or less.",
            param="data",
            code="part_too_large",
        )
    upload = _pending(ref, now, stores.uploads)
    if not data:
        raise InvalidRequest("The part is empty. Send at least one byte.", param="data")
    if len(data) > upload.bytes:
        raise InvalidRequest(
            f"The part has {len(data)} bytes, the whole upload was announced with {upload.bytes}.", param="data"
        )
    part = UploadPart(part_id, upload.id, len(data), now)
    stores.objects.put(upload_part_key(upload.account_id, upload.id, part_id), data)
    stores.uploads.add_part(part, ttl=upload.expires_at + LIFETIME_SECONDS)
    return part


def cancel(ref: UploadRef, *, now: int, stores: Stores) -> Upload:
    """The upload, cancelled, and its parts are gone. Raises InvalidRequest if it is completed or has expired."""
    upload = _find(ref, stores.uploads)
    if upload.status is not UploadStatus.CANCELLED:
        _require_pending(upload, now)
        try:
            upload = stores.uploads.cancel(upload)
        except ConditionFailed:  # it is not pending any more, so the next call ends here
            return cancel(ref, now=now, stores=stores)
    part_ids = stores.uploads.parts(upload.id)
    stores.objects.delete_many(upload_part_key(upload.account_id, upload.id, part_id) for part_id in part_ids)
    return upload


def complete(
    ref: UploadRef,
    request: CompletionRequest,
    *,
    now: int,
    keep_days: int,
    stores: Stores,
    assemble_later: Callable[[Upload], None],
) -> tuple[Upload, File]:
    """Closes the upload and makes its file. A repeat of the request has the same reply, and joins the parts if that was
    not finished."""
    uploads = stores.uploads
    upload = _find(ref, uploads)
    if upload.status is not UploadStatus.COMPLETED:
        _require_pending(upload, now)
        parts = uploads.parts(upload.id)
        _check_parts(upload, request.part_ids, parts)
        if _is_quick(upload, request.part_ids) and request.md5:
            _check_md5(request.md5, _read(upload, request.part_ids, stores.objects))
        try:
            file = _file_of(upload, now, keep_days)
            upload = uploads.complete(upload, file, request.part_ids, request.md5)
        except ConditionFailed:
            upload = _find(ref, uploads)
    if upload.status is not UploadStatus.COMPLETED or upload.part_ids != request.part_ids:
        raise _not_pending(upload, upload.status)
    found = stores.files.get(FileRef(upload.account_id, upload.file_id or ""), consistent=True)
    if found is None:
        raise NotFound("The file of this upload was deleted.", param="upload_id")
    if found.status is FileStatus.UPLOADED:
        if _is_quick(upload, upload.part_ids):
            found = assemble(ref, stores=stores)
        else:
            assemble_later(upload)
    return upload, found


def _is_quick(upload: Upload, part_ids: tuple[str, ...]) -> bool:
    return upload.bytes <= JOIN_AT_ONCE_BYTES and len(part_ids) <= JOIN_AT_ONCE_PARTS


def assemble(ref: UploadRef, *, stores: Stores) -> File:
    """Join the parts of a completed upload into its file. Running it again, or twice at once, does no harm."""
    files, objects = stores.files, stores.objects
    upload = _find(ref, stores.uploads)
    file = files.get(FileRef(upload.account_id, upload.file_id or ""), consistent=True)
    if file is None:
        raise NotFound("The upload has no file: it is not completed, or its file was deleted.", param="upload_id")
    if file.status is not FileStatus.UPLOADED:
        return file
    digest = hashlib.md5(usedforsecurity=False)
    lines = _LineCounter()
    try:
        with objects.writer(file_key(file.account_id, file.id)) as writer:
            for data in _read(upload, upload.part_ids, objects):
                digest.update(data)
                lines.add(data)
                writer.write(data)
            if upload.md5 and digest.hexdigest() != upload.md5.lower():
                raise InvalidRequest(_wrong_md5(upload.md5, digest.hexdigest()))
    except InvalidRequest as error:
        return files.mark_broken(file, error.message)
    except ObjectMissing:
        return _joined_elsewhere(file, files)
    file = files.arrive(file, bytes=writer.bytes_written, lines=lines.total)
    objects.delete_many(upload_part_key(upload.account_id, upload.id, part_id) for part_id in upload.part_ids)
    return file


def _joined_elsewhere(file: File, files: Files) -> File:
    """For when a part is gone: somebody else has joined the upload meanwhile, and has deleted the parts. Raises
    NotFound if not."""
    found = files.get(file.ref, consistent=True)
    if found is None or found.status is FileStatus.UPLOADED:
        raise _part_gone()
    return found


def _part_gone() -> NotFound:
    return NotFound("A part of this upload is gone. Send the parts again in a new upload.", param="part_ids")


class _LineCounter:
    """Counts the lines of bytes that come in chunks. Empty lines count, because that is cheap and they are rare."""

    def __init__(self) -> None:
        self._newlines = 0
        self._last = b"\n"

    def add(self, data: bytes) -> None:
        self._newlines += data.count(b"\n")
        self._last = data[-1:] or self._last

    @property
    def total(self) -> int:
        return self._newlines + (self._last != b"\n")


def _find(ref: UploadRef, uploads: Uploads) -> Upload:
    upload = uploads.get(ref)
    if upload is None:
        raise NotFound(f"No such Upload object: {ref.upload_id}", param="upload_id", code="upload_not_found")
    return upload


def _pending(ref: UploadRef, now: int, uploads: Uploads) -> Upload:
    upload = _find(ref, uploads)
    _require_pending(upload, now)
    return upload


def _require_pending(upload: Upload, now: int) -> None:
    status = upload.status_at(now)
    if status is not UploadStatus.PENDING:
        raise _not_pending(upload, status)


def _not_pending(upload: Upload, status: UploadStatus) -> InvalidRequest:
    return InvalidRequest(
        f"The upload {upload.id} is {status}, not pending. Create a new upload.",
        param="upload_id",
        code=f"upload_{status}",
    )


def _check_parts(upload: Upload, part_ids: tuple[str, ...], parts: Mapping[str, UploadPart]) -> None:
    for part_id in part_ids:
        if part_id not in parts:
            raise InvalidRequest(f"The upload {upload.id} has no part {part_id}.", param="part_ids")
    if len(set(part_ids)) != len(part_ids):
        raise InvalidRequest("A part is named twice in part_ids. Name each part once.", param="part_ids")
    total = sum(parts[part_id].bytes for part_id in part_ids)
    if total != upload.bytes:
        raise InvalidRequest(
            f"The parts have {total} bytes together, the upload was announced with {upload.bytes}. Send the missing "
            "parts, or name the right ones in part_ids.",
            param="part_ids",
        )


def _check_md5(expected: str, chunks: Iterator[bytes]) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    try:
        for data in chunks:
            digest.update(data)
    except ObjectMissing as error:
        raise _part_gone() from error
    if digest.hexdigest() != expected.lower():
        raise InvalidRequest(_wrong_md5(expected, digest.hexdigest()), param="md5", code="checksum_mismatch")


def _wrong_md5(expected: str, actual: str) -> str:
    return f"The joined parts have MD5 {actual}, not {expected}. Send the parts again in a new upload."


def _read(upload: Upload, part_ids: tuple[str, ...], objects: Objects) -> Iterator[bytes]:
    spans = [Span(upload_part_key(upload.account_id, upload.id, part_id)) for part_id in part_ids]
    return objects.get_many(spans, at_most=_PARTS_AHEAD, held_bytes=_HELD_BYTES)


def _file_of(upload: Upload, now: int, keep_days: int) -> File:
    return File(
        id=derive_id("file-", upload.id, "file"),
        account_id=upload.account_id,
        filename=upload.filename,
        purpose=upload.purpose,
        bytes=upload.bytes,
        created_at=now,
        status=FileStatus.UPLOADED,
        expires_at=expiry(upload.file_expires_after_seconds, now, keep_days),
        upload_id=upload.id,
    )
