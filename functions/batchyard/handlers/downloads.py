"""A file's bytes as a reply; if it is large, a redirect to a URL that has them."""

from __future__ import annotations

from batchyard.adapters.aws.objects import ObjectMissing
from batchyard.core.errors import InvalidRequest, NotFound
from batchyard.core.files import File, FileStatus
from batchyard.core.keys import file_key
from batchyard.handlers import resources
from batchyard.settings import ApiSettings
from batchyard.surfaces.http import Reply

_NDJSON = "application/x-ndjson"
_CONTENT_TYPES = {".jsonl": _NDJSON, ".ndjson": _NDJSON}


def content(file: File, settings: ApiSettings) -> Reply:
    """The content of `file`. Raises InvalidRequest if there are no bytes yet, or never will be."""
    require_content(file)
    most = settings.max_inline_download_bytes
    if file.bytes <= most:
        return Reply(200, _read(file, most), {"content-type": content_type(file)}, binary=True)
    return Reply(302, headers={"location": storage_url(file, settings)})


def require_content(file: File) -> None:
    """Raises InvalidRequest if there are no bytes of the file yet, or never will be."""
    if file.status is not FileStatus.PROCESSED:
        reason = file.status_details or "Its content has not arrived yet; try again later."
        raise InvalidRequest(f"The file cannot be downloaded. {reason}", param="file_id", code="file_not_ready")


def _read(file: File, at_most: int) -> bytes:
    """Up to `at_most` of the file's bytes. Raises NotFound if they are deleted, which happens before the file's row
    is."""
    try:
        return resources.objects().get(file_key(file.account_id, file.id), 0, at_most)
    except ObjectMissing as error:
        raise NotFound("The file's content does not exist.") from error


def storage_url(file: File, settings: ApiSettings) -> str:
    """A URL that reads the file's bytes for a while. Signing it takes no call."""
    key = file_key(file.account_id, file.id)
    return resources.objects().presigned_get(
        key, file.filename, settings.presigned_url_seconds, content_type=content_type(file)
    )


def content_type(file: File) -> str:
    suffix = file.filename[file.filename.rfind(".") :]
    return _CONTENT_TYPES.get(suffix, "application/octet-stream")
