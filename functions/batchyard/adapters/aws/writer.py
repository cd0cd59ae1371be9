"""Writing one S3 object of any size in flat memory: parts are uploaded in the background while the next one fills."""

from __future__ import annotations

import contextlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, TypedDict

from botocore.exceptions import BotoCoreError, ClientError

from batchyard.core.errors import BatchyardError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, CopyPartResultTypeDef, UploadPartOutputTypeDef

PART_BYTES = 8 * 1024 * 1024
PARTS_AT_MOST = 10_000
"""S3's limit (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html); with PART_BYTES, 80 GB an object."""

_UPLOADS_AT_ONCE = 3
_CHECKSUM: Literal["CRC32"] = "CRC32"


class Place(TypedDict):
    """Where an object is, as S3's calls name it."""

    Bucket: str
    Key: str


class ContentType(TypedDict, total=False):
    ContentType: str


class ObjectTooLarge(BatchyardError):
    """More than PARTS_AT_MOST parts were written."""


class ObjectWriter:
    """Use as a context manager. Up to PART_BYTES it is a single PUT at the end, above that a multipart upload, which
    is aborted if the block ends with an exception. Holds at most four parts (plus one write) in memory."""

    def __init__(
        self, client: S3Client, bucket: str, key: str, content_type: str | None = None, *, part_bytes: int = PART_BYTES
    ) -> None:
        self._client = client
        self._target = Place(Bucket=bucket, Key=key)
        self._content_type = content_type_header(content_type)
        self._part_bytes = part_bytes
        self._pieces: list[bytes] = []
        self._held = 0
        self._pool: ThreadPoolExecutor | None = None
        self._upload_id = ""  # no multipart upload was begun
        self._uploads: deque[Future[CompletedPartTypeDef]] = deque()
        self._parts: list[CompletedPartTypeDef] = []
        self._next_part = 1
        self.bytes_written = 0

    def __enter__(self) -> Self:
        return self

    def write(self, data: bytes) -> None:
        """Adds `data`. If the upload of an earlier part failed, raises its error."""
        self._pieces.append(data)
        self._held += len(data)
        self.bytes_written += len(data)
        if self._held > self._part_bytes:
            self._send_full_parts()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._finish()
        except BaseException:
            self._abort()
            raise
        else:
            if error is not None:
                self._abort()
        finally:
            if self._pool is not None:
                self._pool.shutdown()

    def _send_full_parts(self) -> None:
        data = memoryview(b"".join(self._pieces))
        full = len(data) // self._part_bytes * self._part_bytes
        for start in range(0, full, self._part_bytes):
            self._send(bytes(data[start : start + self._part_bytes]))
        self._pieces = [bytes(data[full:])]
        self._held = len(data) - full

    def _send(self, data: bytes) -> None:
        if self._next_part > PARTS_AT_MOST:
            raise ObjectTooLarge(f"{self._target['Key']} has more than {PARTS_AT_MOST} parts")
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_UPLOADS_AT_ONCE, thread_name_prefix="upload")
            upload = self._client.create_multipart_upload(
                **self._target, **self._content_type, ChecksumAlgorithm=_CHECKSUM
            )
            self._upload_id = upload["UploadId"]
        if len(self._uploads) == _UPLOADS_AT_ONCE:
            self._parts.append(self._uploads.popleft().result())
        self._uploads.append(self._pool.submit(self._upload_part, self._next_part, data))
        self._next_part += 1

    def _upload_part(self, number: int, data: bytes) -> CompletedPartTypeDef:
        reply = self._client.upload_part(
            **self._target, UploadId=self._upload_id, PartNumber=number, Body=data, ChecksumAlgorithm=_CHECKSUM
        )
        return completed_part(number, reply)

    def _finish(self) -> None:
        rest = b"".join(self._pieces)
        if self._pool is None:
            self._client.put_object(**self._target, Body=rest, **self._content_type)
            return
        if rest:
            self._send(rest)
        self._parts.extend(upload.result() for upload in self._uploads)
        self._client.complete_multipart_upload(
            **self._target, UploadId=self._upload_id, MultipartUpload={"Parts": self._parts}
        )

    def _abort(self) -> None:
        if not self._upload_id:
            return
        for upload in self._uploads:
            upload.cancel()
        if self._pool is not None:
            self._pool.shutdown()
        abort_upload(self._client, self._target, self._upload_id)


def abort_upload(client: S3Client, target: Place, upload_id: str) -> None:
    """Gives up a multipart upload. Raises nothing, because it is called while another exception is handled, which must
    not be replaced. What stays behind if it fails is deleted by the bucket's lifecycle rule."""
    with contextlib.suppress(BotoCoreError, ClientError):
        client.abort_multipart_upload(**target, UploadId=upload_id)


def content_type_header(content_type: str | None) -> ContentType:
    return {"ContentType": content_type} if content_type else {}


def completed_part(number: int, reply: UploadPartOutputTypeDef | CopyPartResultTypeDef) -> CompletedPartTypeDef:
    """A part as CompleteMultipartUpload takes it, made of the reply that stored or copied it."""
    part: CompletedPartTypeDef = {"PartNumber": number, "ETag": reply["ETag"]}
    if checksum := reply.get("ChecksumCRC32"):
        part["ChecksumCRC32"] = checksum
    return part
