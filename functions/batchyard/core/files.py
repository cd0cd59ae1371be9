"""A file: bytes of an account in the data bucket, under `keys.file_key(account_id, id)`; and an upload on its way
to become one.

A row carries `ttl`, after which DynamoDB may delete it. DynamoDB takes its time, so readers look at `expires_at`.
"""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass, replace

from batchyard.core.fields import known_fields
from batchyard.core.json_types import Row


class FileStatus(enum.StrEnum):
    """`UPLOADED`: the bytes are still on their way (presigned, or parts being joined). `PROCESSED`: readable."""

    UPLOADED = "uploaded"
    PROCESSED = "processed"
    ERROR = "error"


INPUT_PURPOSE = "batch"
"""What a file is for that a batch can be made from."""
_KEEP_UPLOAD_ROW_SECONDS = 7 * 86_400
_JOINED_WITHIN_SECONDS = 4_500
"""Joining an upload's parts is begun for the last time within an hour (infra/uploads.py), and takes 15 minutes at
most."""
_NEVER_JOINED = "The parts of this upload could not be joined in time. Send them again in a new upload."


@dataclass(frozen=True, slots=True)
class FileRef:
    """Names one file. An id is only ever looked up within its account."""

    account_id: str
    file_id: str


@dataclass(frozen=True, slots=True)
class UploadRef:
    """Names one upload. An id is only ever looked up within its account."""

    account_id: str
    upload_id: str


@dataclass(frozen=True, slots=True)
class File:
    """Times are unix seconds. `lines`: how many there are, if that is known. `upload_id`: the upload whose parts are
    joined into this file, or were; an `UPLOADED` file without one waits for its bytes under a presigned URL.
    `batch_id`: the batch whose results it holds."""

    id: str
    account_id: str
    filename: str
    purpose: str
    bytes: int
    created_at: int
    status: FileStatus = FileStatus.PROCESSED
    expires_at: int | None = None
    lines: int | None = None
    status_details: str | None = None
    upload_id: str | None = None
    batch_id: str | None = None

    @property
    def ref(self) -> FileRef:
        return FileRef(self.account_id, self.id)

    def is_expired(self, now: int) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def as_of(self, now: int) -> File:
        """The file as it is to be seen at unix second `now`: broken if joining its parts was given up. Its row is not
        written for that, so an operator who has the parts joined after all mends it."""
        is_late = self.upload_id is not None and now >= self.created_at + _JOINED_WITHIN_SECONDS
        if self.status is FileStatus.UPLOADED and is_late:
            return replace(self, status=FileStatus.ERROR, status_details=_NEVER_JOINED)
        return self

    def to_row(self) -> Row:
        ttl = {"ttl": self.expires_at} if self.expires_at is not None else {}
        return asdict(self) | {"status": str(self.status)} | ttl

    @classmethod
    def from_row(cls, row: Row) -> File:
        fields = known_fields(cls, row) | {"status": FileStatus(row["status"])}
        fields.setdefault("lines", row.get("rows"))  # the name that older versions wrote
        return cls(**fields)


class UploadStatus(enum.StrEnum):
    PENDING = "pending"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Upload:
    """OpenAI's Upload: parts sent one by one, joined in the order that `complete` names (`part_ids`, and the `md5` that
    the whole is to have, if the caller gave one)."""

    id: str
    account_id: str
    filename: str
    purpose: str
    bytes: int
    created_at: int
    expires_at: int
    status: UploadStatus = UploadStatus.PENDING
    file_id: str | None = None
    file_expires_after_seconds: int | None = None
    part_ids: tuple[str, ...] = ()
    md5: str | None = None

    @property
    def ref(self) -> UploadRef:
        return UploadRef(self.account_id, self.id)

    def status_at(self, now: int) -> UploadStatus:
        """`expired` for a pending upload whose time is over: its row is not written again when that happens."""
        if self.status is UploadStatus.PENDING and self.expires_at <= now:
            return UploadStatus.EXPIRED
        return self.status

    def to_row(self) -> Row:
        return asdict(self) | {"status": str(self.status), "ttl": self.expires_at + _KEEP_UPLOAD_ROW_SECONDS}

    @classmethod
    def from_row(cls, row: Row) -> Upload:
        fields = known_fields(cls, row)
        fields |= {"status": UploadStatus(row["status"]), "part_ids": tuple(row.get("part_ids") or ())}
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class UploadPart:
    id: str
    upload_id: str
    bytes: int
    created_at: int

    def to_row(self) -> Row:
        return asdict(self)

    @classmethod
    def from_row(cls, row: Row) -> UploadPart:
        return cls(row["id"], row["upload_id"], row["bytes"], row["created_at"])
