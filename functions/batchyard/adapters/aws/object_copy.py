"""Server-side copies: S3 copies one version of an object, in one request or in parts side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from batchyard.adapters.aws.writer import ContentType, Place, abort_upload, completed_part

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, CopySourceTypeDef

_THREADS = 8


@dataclass(frozen=True, slots=True)
class CopySizes:
    """Objects with more than `whole_bytes` are copied in parts of `part_bytes`. S3's own limit for CopyObject is 5 GB,
    but copying that much takes longer than one request should."""

    whole_bytes: int = 512 * 1024**2
    part_bytes: int = 256 * 1024**2


DEFAULT_COPY_SIZES = CopySizes()


@dataclass(frozen=True, slots=True)
class CopySource:
    """What is copied: the object at `place`, as long as it has this `etag`."""

    place: CopySourceTypeDef
    size: int
    etag: str


def copy_object(
    client: S3Client, source: CopySource, target: Place, content_type: ContentType, sizes: CopySizes
) -> None:
    """Raises botocore's ClientError, with the code `PreconditionFailed` if the source was overwritten meanwhile."""
    if source.size > sizes.whole_bytes:
        _copy_in_parts(client, source, target, content_type, sizes.part_bytes)
        return
    client.copy_object(
        **target,
        CopySource=source.place,
        CopySourceIfMatch=source.etag,
        MetadataDirective="REPLACE",
        TaggingDirective="REPLACE",
        **content_type,
    )


def _copy_in_parts(
    client: S3Client, source: CopySource, target: Place, content_type: ContentType, part_bytes: int
) -> None:
    upload_id = client.create_multipart_upload(**target, **content_type)["UploadId"]

    def copy_part(number: int, start: int) -> CompletedPartTypeDef:
        last = min(start + part_bytes, source.size) - 1
        reply = client.upload_part_copy(
            **target,
            UploadId=upload_id,
            PartNumber=number,
            CopySource=source.place,
            CopySourceRange=f"bytes={start}-{last}",
            CopySourceIfMatch=source.etag,
        )
        return completed_part(number, reply["CopyPartResult"])

    try:
        starts = range(0, source.size, part_bytes)
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="copy") as pool:
            parts = list(pool.map(copy_part, range(1, len(starts) + 1), starts))
        client.complete_multipart_upload(**target, UploadId=upload_id, MultipartUpload={"Parts": parts})
    except Exception:
        abort_upload(client, target, upload_id)
        raise
