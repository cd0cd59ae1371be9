"""What a caller asks for, in no dialect: surfaces make these of their own requests, steps take them."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace

import orjson

from batchyard.core.batches import DropSource


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """A batch to be made. `endpoint` is one of `core.providers.ENDPOINTS`; `concurrency` a ceiling on calls in flight.
    `idempotency_key`: the same key with the same request is the same batch."""

    surface: str
    endpoint: str
    input_file_id: str
    completion_window: str = "24h"
    metadata: dict[str, str] | None = None
    output_expires_after_seconds: int | None = None
    concurrency: int | None = None
    idempotency_key: str | None = None
    drop: DropSource | None = None

    @property
    def fingerprint(self) -> str:
        """Equal for equal requests; the idempotency key itself is no part of it."""
        payload = orjson.dumps(asdict(replace(self, idempotency_key=None)), option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(payload).hexdigest()


@dataclass(frozen=True, slots=True)
class FileRequest:
    """A file to be kept. Its bytes travel beside it, or come later under a presigned URL."""

    filename: str
    purpose: str
    expires_after_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """A file of `bytes` bytes that will come in parts."""

    file: FileRequest
    bytes: int
    mime_type: str


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """The parts of an upload in the order they are to be joined, and the hex MD5 the whole should have, where given."""

    part_ids: tuple[str, ...]
    md5: str | None = None


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A page of a list: up to `limit` objects behind the object `after`. `purpose` filters files."""

    limit: int
    after: str | None = None
    descending: bool = True
    purpose: str | None = None
