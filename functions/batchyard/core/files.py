"""A file: bytes of an account in the data bucket, under `keys.file_key(account_id, id)`; and an upload on its way
to become one."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass
from typing import Any


class FileStatus(enum.StrEnum):
    """`UPLOADED`: the bytes are still on their way (presigned, or parts being joined). `PROCESSED`: readable."""

    UPLOADED = "uploaded"
    PROCESSED = "processed"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class File:
    """Times are unix seconds. `rows` is the number of lines where known."""

    id: str
    account_id: str
    filename: str
    purpose: str
    bytes: int
    created_at: int
    status: FileStatus = FileStatus.PROCESSED
    expires_at: int | None = None
    rows: int | None = None
    status_details: str | None = None

    def to_row(self) -> dict[str, Any]:
        return asdict(self) | {"status": str(self.status)}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> File:
        names = cls.__dataclass_fields__
        fields = {name: value for name, value in row.items() if name in names}
        return cls(**fields | {"status": FileStatus(row["status"])})


class UploadStatus(enum.StrEnum):
    PENDING = "pending"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Upload:
    """OpenAI's Upload: parts sent one by one, joined in the order that `complete` names."""

    id: str
    account_id: str
    filename: str
    purpose: str
    bytes: int
    mime_type: str
    created_at: int
    expires_at: int
    status: UploadStatus = UploadStatus.PENDING
    file_id: str | None = None
    file_expires_after_seconds: int | None = None

    def to_row(self) -> dict[str, Any]:
        return asdict(self) | {"status": str(self.status)}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Upload:
        names = cls.__dataclass_fields__
        fields = {name: value for name, value in row.items() if name in names}
        return cls(**fields | {"status": UploadStatus(row["status"])})
