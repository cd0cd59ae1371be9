"""A folder that answers the calls of `Objects` and its writer as S3 does, so that a step is timed without S3."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.writer import PART_BYTES

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def objects_in(folder: Path) -> Objects:
    """The adapter, on files below `folder` instead of S3."""
    return Objects(cast("S3Client", FolderS3(folder)), "bench")


class FolderS3:
    """Stands for a boto3 S3 client. The parts of a multipart upload are written to their places in the object."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get_object(self, **request: Any) -> dict[str, Any]:
        path = self._path(request)
        size = path.stat().st_size
        first, last = 0, size - 1
        if "Range" in request:
            start, _, end = request["Range"].removeprefix("bytes=").partition("-")
            first, last = int(start), min(int(end or last), last)
        with path.open("rb") as file:
            file.seek(first)
            data = file.read(last - first + 1)
        reply = {"Body": io.BytesIO(data), "ContentLength": len(data), "ETag": '"folder"'}
        return reply | ({"ContentRange": f"bytes {first}-{last}/{size}"} if "Range" in request else {})

    def head_object(self, **request: Any) -> dict[str, Any]:
        return {"ContentLength": self._path(request).stat().st_size, "ETag": '"folder"'}

    def put_object(self, *, Body: bytes, **request: Any) -> dict[str, Any]:  # noqa: N803
        self._path(request).write_bytes(Body)
        return {"ETag": '"folder"'}

    def delete_objects(self, *, Delete: dict[str, Any], **request: Any) -> dict[str, Any]:  # noqa: N803
        for deleted in Delete["Objects"]:
            self._path(deleted).unlink(missing_ok=True)
        return {}

    def create_multipart_upload(self, **request: Any) -> dict[str, Any]:
        self._path(request).write_bytes(b"")
        return {"UploadId": "folder"}

    def upload_part(self, *, PartNumber: int, Body: bytes, **request: Any) -> dict[str, Any]:  # noqa: N803
        number = os.open(self._path(request), os.O_WRONLY)
        try:
            os.pwrite(number, Body, (PartNumber - 1) * PART_BYTES)
        finally:
            os.close(number)
        return {"ETag": '"folder"'}

    def complete_multipart_upload(self, **request: Any) -> dict[str, Any]:
        return {"ETag": '"folder"'}

    def abort_multipart_upload(self, **request: Any) -> dict[str, Any]:
        self._path(request).unlink()
        return {}

    def _path(self, request: dict[str, Any]) -> Path:
        path = self._folder / str(request["Key"])
        path.parent.mkdir(parents=True, exist_ok=True)
        return path
