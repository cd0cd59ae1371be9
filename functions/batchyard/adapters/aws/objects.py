"""Objects of one S3 bucket: whole, by range, as streams and by server-side copy, all in flat memory.

Only a role that may list the bucket (`s3:ListBucket`) learns that an object is missing: without it S3 answers 403, as
for one that may not be read.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, NotRequired
from urllib.parse import quote

from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError, ResponseStreamingError

from batchyard.adapters.aws.object_copy import DEFAULT_COPY_SIZES, CopySizes, CopySource, copy_object
from batchyard.adapters.aws.readahead import read_ahead
from batchyard.adapters.aws.writer import ObjectWriter, Place, content_type_header
from batchyard.core.errors import BatchyardError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import (
        CopySourceTypeDef,
        GetObjectOutputTypeDef,
        HeadObjectOutputTypeDef,
        ObjectIdentifierTypeDef,
    )

CHUNK_BYTES = 8 * 1024 * 1024
"""One ranged GET of a stream: large enough that requests cost little, small enough to hold several."""

_CHUNKS_AHEAD = 4
_READ_ATTEMPTS = 3
_DELETES_PER_CALL = 1000
_MISSING = frozenset({"NoSuchKey", "NoSuchVersion", "404", "NotFound"})
_BROKEN_BODY = (HTTPClientError, IncompleteReadError, ResponseStreamingError)


class ObjectMissing(BatchyardError):
    """There is no object under `key` (or no such version of it)."""

    def __init__(self, key: str) -> None:
        super().__init__(f"there is no object {key}")
        self.key = key


class ObjectChanged(BatchyardError):
    """The object was overwritten while it was being read. Read it again from the start."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """`etag` as S3 writes it, quotes included. `modified_at`: unix second. `version_id`: if versions are kept."""

    size: int
    etag: str
    modified_at: int = 0
    version_id: str | None = None


class Span(NamedTuple):
    """An object, or the `length` bytes of it from `start`."""

    key: str
    start: int | None = None
    length: int | None = None


class _Reading(Place):
    """What a GET or HEAD asks for."""

    VersionId: NotRequired[str]
    Range: NotRequired[str]
    IfMatch: NotRequired[str]


class Objects:
    """The objects of `bucket`. `client` is a boto3 S3 client; calls may come from several threads."""

    def __init__(self, client: S3Client, bucket: str, *, copy_sizes: CopySizes = DEFAULT_COPY_SIZES) -> None:
        self._client = client
        self.bucket = bucket
        self._copy_sizes = copy_sizes

    def put(self, key: str, data: bytes, content_type: str | None = None) -> None:
        self._client.put_object(Bucket=self.bucket, Key=key, Body=data, **content_type_header(content_type))

    def get(
        self, key: str, start: int | None = None, length: int | None = None, *, version_id: str | None = None
    ) -> bytes:
        """The object, or those of the `length` bytes from `start` that exist. Raises ObjectMissing."""
        if length == 0:
            return b""
        request = self._request(key, version_id)
        if start is not None or length is not None:
            first = start or 0
            request["Range"] = f"bytes={first}-" + ("" if length is None else str(first + length - 1))
        return self._read(request)[0]

    def head(self, key: str, *, version_id: str | None = None) -> ObjectInfo | None:
        """Size and version of the object; None if there is none."""
        try:
            reply = self._client.head_object(**self._request(key, version_id))
        except ClientError as error:
            if _code(error) in _MISSING:
                return None
            raise
        return _info(reply)

    def delete(self, key: str) -> None:
        """Afterwards there is no such object; no error if there was none."""
        self._client.delete_object(Bucket=self.bucket, Key=key)

    def delete_many(self, keys: Iterable[str]) -> None:
        names: list[ObjectIdentifierTypeDef] = [{"Key": key} for key in keys]
        for start in range(0, len(names), _DELETES_PER_CALL):
            listed = names[start : start + _DELETES_PER_CALL]
            reply = self._client.delete_objects(Bucket=self.bucket, Delete={"Objects": listed, "Quiet": True})
            if failures := reply.get("Errors"):
                raise BatchyardError(f"{len(failures)} objects could not be deleted, first: {failures[0].get('Code')}")

    def keys(self, prefix: str, *, at_most: int) -> list[str]:
        """Keys that start with `prefix`, in order, `at_most` of them."""
        if at_most < 1:
            return []
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=prefix, PaginationConfig={"MaxItems": at_most}
        )
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def stream(self, key: str, chunk_bytes: int = CHUNK_BYTES) -> Generator[bytes]:
        """The object in chunks, all of one version: raises ObjectChanged if it is overwritten meanwhile, ObjectMissing
        if there is none or it is deleted meanwhile. Up to five chunks are in memory at once."""
        request = self._request(key, None)
        request["Range"] = f"bytes=0-{chunk_bytes - 1}"
        first, reply = self._read(request)
        if first:
            yield first
        size = _whole_size(reply, len(first))
        if reply is None or size <= chunk_bytes:
            return
        read = partial(self._read_chunk, key, reply["ETag"], chunk_bytes, size)
        with ThreadPoolExecutor(_CHUNKS_AHEAD, thread_name_prefix="stream") as pool:
            reads = (partial(read, start) for start in range(chunk_bytes, size, chunk_bytes))
            yield from read_ahead(pool, reads, at_most=_CHUNKS_AHEAD, held_bytes=_CHUNKS_AHEAD * chunk_bytes)

    def get_many(self, spans: Iterable[Span], *, at_most: int, held_bytes: int) -> Generator[bytes]:
        """What `spans` name, in that order, read ahead by up to `at_most` threads and about `held_bytes`."""
        with ThreadPoolExecutor(at_most, thread_name_prefix="get") as pool:
            reads = (partial(self.get, *span) for span in spans)
            yield from read_ahead(pool, reads, at_most=at_most, held_bytes=held_bytes)

    def writer(self, key: str, content_type: str | None = None) -> ObjectWriter:
        """A context manager with `write(data)` and `bytes_written`. The object exists, complete, when the `with` block
        has ended without an exception; else there is none."""
        return ObjectWriter(self._client, self.bucket, key, content_type)

    def copy_from(
        self, bucket: str, key: str, version_id: str | None, to_key: str, content_type: str | None = None
    ) -> ObjectInfo:
        """Copies one version of another bucket's object to `to_key` of this one, inside S3."""
        place: CopySourceTypeDef = {"Bucket": bucket, "Key": key}
        if version_id:
            place["VersionId"] = version_id
        return self._copy(place, Place(Bucket=self.bucket, Key=to_key), content_type)

    def copy_to(self, key: str, bucket: str, to_key: str, content_type: str | None = None) -> ObjectInfo:
        """Copies `key` of this bucket to `to_key` of another, inside S3."""
        return self._copy({"Bucket": self.bucket, "Key": key}, Place(Bucket=bucket, Key=to_key), content_type)

    def copy_within(self, key: str, to_key: str, found: ObjectInfo) -> None:
        """Copies `key` to `to_key`, inside S3, if it is still the object that was `found`. Raises ObjectChanged."""
        self._copy({"Bucket": self.bucket, "Key": key}, Place(Bucket=self.bucket, Key=to_key), found=found)

    def presigned_get(self, key: str, filename: str, seconds: int, content_type: str | None = None) -> str:
        """A URL that downloads `key` as `filename` for the next `seconds`, as `content_type` if one is given. Made
        here, without a call."""
        parameters = {"Bucket": self.bucket, "Key": key, "ResponseContentDisposition": attachment(filename)}
        if content_type:
            parameters["ResponseContentType"] = content_type
        return str(self._client.generate_presigned_url("get_object", Params=parameters, ExpiresIn=seconds))

    def presigned_put(self, key: str, seconds: int, content_type: str | None = None) -> str:
        """A URL that takes `key`'s bytes by one PUT (5 GB at most) within `seconds`. If `content_type` is given, the
        PUT must send it as its header."""
        parameters = {"Bucket": self.bucket, "Key": key, **content_type_header(content_type)}
        return str(self._client.generate_presigned_url("put_object", Params=parameters, ExpiresIn=seconds))

    def _request(self, key: str, version_id: str | None) -> _Reading:
        request: _Reading = {"Bucket": self.bucket, "Key": key}
        if version_id:
            request["VersionId"] = version_id
        return request

    def _read(self, request: _Reading) -> tuple[bytes, GetObjectOutputTypeDef | None]:
        """One GET, repeated when its body breaks off (botocore repeats only what fails before the body). No bytes and
        no reply if the range begins behind the object's end."""
        for attempt in range(1, _READ_ATTEMPTS + 1):
            try:
                reply = self._client.get_object(**request)
                return reply["Body"].read(), reply
            except ClientError as error:
                if _code(error) == "InvalidRange":
                    return b"", None
                raise _translated(error, request["Key"]) from error
            except _BROKEN_BODY:
                if attempt == _READ_ATTEMPTS:
                    raise
        raise AssertionError("the loop returns or raises")

    def _read_chunk(self, key: str, etag: str, chunk_bytes: int, size: int, start: int) -> bytes:
        last = min(start + chunk_bytes, size) - 1
        request = self._request(key, None)
        request["Range"] = f"bytes={start}-{last}"
        request["IfMatch"] = etag
        data, _ = self._read(request)
        if len(data) != last - start + 1:
            raise ObjectChanged(f"{key}: {len(data)} bytes at {start}, expected {last - start + 1}")
        return data

    def _copy(
        self, place: CopySourceTypeDef, target: Place, content_type: str | None = None, found: ObjectInfo | None = None
    ) -> ObjectInfo:
        try:
            info = found or _info(self._client.head_object(**place))
            source = CopySource(place, info.size, info.etag)
            copy_object(self._client, source, target, content_type_header(content_type), self._copy_sizes)
        except ClientError as error:
            raise _translated(error, place["Key"]) from error
        return info


def attachment(filename: str) -> str:
    """A Content-Disposition header that saves as `filename`: an ASCII fallback, then the exact name (RFC 6266)."""
    fallback = "".join(c if c.isascii() and c.isprintable() and c not in '"\\/%;' else "_" for c in filename)
    return f"attachment; filename=\"{fallback}\"; filename*=UTF-8''{quote(filename, safe='')}"


def _info(head: HeadObjectOutputTypeDef) -> ObjectInfo:
    modified_at = int(head["LastModified"].timestamp())
    return ObjectInfo(head["ContentLength"], head["ETag"], modified_at, head.get("VersionId"))


def _whole_size(reply: GetObjectOutputTypeDef | None, received: int) -> int:
    """The object's size by the reply to a ranged GET: `Content-Range: bytes 0-9/42`."""
    _, _, size = reply.get("ContentRange", "").rpartition("/") if reply else ("", "", "")
    return int(size) if size.isdigit() else received


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _translated(error: ClientError, key: str) -> BatchyardError | ClientError:
    code = _code(error)
    if code in _MISSING:
        return ObjectMissing(key)
    if code in ("PreconditionFailed", "412"):
        return ObjectChanged(f"{key} was overwritten while it was read")
    return error
