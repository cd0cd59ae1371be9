"""What a dialect has to know. `read_*` turns its requests into Batchyard's and raises `core.errors.RequestError`;
`write_*` turns what came of them into its replies; `parse_line` reads its lines.

A surface that lacks an operation has no route to it, and says so with NotImplementedError if it is asked all the same.
Ids are checked and translated here: what `read_id` returns is safe to look up, what `write_*` shows is the dialect's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from batchyard.core.batches import Batch
from batchyard.core.catalogue import Offer
from batchyard.core.errors import RequestError
from batchyard.core.files import File, Upload, UploadPart
from batchyard.core.items import Item, LineError
from batchyard.core.requests import BatchRequest, CompletionRequest, FileRequest, PageRequest, UploadRequest
from batchyard.surfaces.http import Reply, Request

Kind = Literal["file", "batch", "upload", "model"]


@dataclass(frozen=True, slots=True)
class LineContext:
    """What a line is checked against."""

    endpoint: str
    max_custom_id_chars: int = 512


@dataclass(frozen=True, slots=True)
class Presigned:
    """Where and how the bytes of `file` are to be sent. `expires_at`: unix second."""

    file: File
    url: str
    method: str
    headers: Mapping[str, str]
    expires_at: int


@dataclass(frozen=True, slots=True)
class OperationDoc:
    """An operation for the OpenAPI document: pydantic models or TypedDicts of its JSON bodies; `form` instead of
    `request` where the body is multipart; `query` parameters as JSON schemas by name. `binary`: it replies bytes."""

    summary: str
    request: Any = None
    form: Any = None
    query: Any = None
    headers: Mapping[str, str] | None = None
    reply: Any = None
    binary: bool = False


class Surface(Protocol):
    name: str
    docs: Mapping[str, OperationDoc]
    """By operation."""
    error_doc: Any
    """The shape of an error."""

    def read_key(self, request: Request) -> str:
        """The caller's API key. Raises Unauthenticated where there is none."""
        ...

    def read_id(self, request: Request, kind: Kind) -> str:
        """The id in the path. Raises NotFound where it cannot be one."""
        ...

    def read_page(self, request: Request, kind: Kind) -> PageRequest: ...

    def read_file(self, request: Request) -> tuple[FileRequest, bytes]: ...

    def read_presigned(self, request: Request) -> FileRequest: ...

    def read_upload(self, request: Request) -> UploadRequest: ...

    def read_part(self, request: Request) -> bytes: ...

    def read_completion(self, request: Request) -> CompletionRequest: ...

    def read_batch(self, request: Request) -> BatchRequest: ...

    def parse_line(self, raw: bytes, index: int, line: int, context: LineContext) -> Item | LineError:
        """The item of a line, or why it is none. `raw` has no byte order mark and is not blank; a line end at its end
        does no harm. `line` counts from 1, `index` from 0."""
        ...

    def write_file(self, file: File) -> Reply: ...

    def write_files(self, files: Sequence[File], has_more: bool) -> Reply: ...

    def write_deleted_file(self, file: File) -> Reply: ...

    def write_presigned(self, presigned: Presigned) -> Reply: ...

    def write_upload(self, upload: Upload, now: int, file: File | None = None) -> Reply: ...

    def write_part(self, part: UploadPart) -> Reply: ...

    def write_batch(self, batch: Batch) -> Reply: ...

    def write_batches(self, batches: Sequence[Batch], has_more: bool) -> Reply: ...

    def write_models(self, offers: Sequence[Offer]) -> Reply: ...

    def write_model(self, name: str, offer: Offer) -> Reply: ...

    def write_error(self, error: RequestError | None) -> Reply:
        """None: a fault of ours, of which the caller learns no more than that."""
        ...
