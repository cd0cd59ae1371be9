"""What a dialect has to know. `read_*` turns its requests into Batchyard's and raises `core.errors.RequestError`;
`write_*` turns what came of them into its replies; `parse_line` reads its lines.

A surface that lacks an operation has no route to it, and need not have the methods for it.
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
from batchyard.core.limits import Allowance, Limits
from batchyard.core.requests import (
    BatchRequest,
    CompletionRequest,
    ExportRequest,
    FileRequest,
    PageRequest,
    ResultWindow,
    UploadRequest,
)
from batchyard.core.results import StoredResult
from batchyard.surfaces.http import Reply, Request

Kind = Literal["file", "batch", "upload", "model"]
FILE_TYPES = ("application/x-ndjson", "application/octet-stream")
"""The content types of files: of JSON lines, and of anything else."""


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
class ResultsFrame:
    """What stands before, between and after the rows of a page of results."""

    head: bytes
    separator: bytes
    tail: bytes


@dataclass(frozen=True, slots=True)
class OperationDoc:
    """An operation for the OpenAPI document: pydantic models or TypedDicts of its JSON bodies; `form` where the body
    may be multipart; `query` parameters as JSON schemas by name. `content_types`: what it replies with where that is no
    JSON. `redirect`: a large reply is one."""

    summary: str
    request: Any = None
    form: Any = None
    query: Any = None
    headers: Mapping[str, str] | None = None
    reply: Any = None
    content_types: tuple[str, ...] = ()
    redirect: bool = False


class Surface(Protocol):
    name: str
    docs: Mapping[str, OperationDoc]
    """By operation."""
    error_doc: Any
    """The shape of an error."""
    limits: Limits
    """Of its own, where they are narrower than the deployment's."""
    deleting_a_file_ends_its_batches: bool
    """Whether batches that are not finished fail when the file they were made from is deleted through this surface."""

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

    def read_window(self, request: Request) -> ResultWindow: ...

    def read_export(self, request: Request) -> ExportRequest: ...

    def parse_line(self, raw: bytes, index: int, line: int, context: LineContext) -> Item | LineError:
        """The item of a line, or why it is none. `raw` has no byte order mark and is not blank; a line end at its end
        does no harm. `line` counts from 1, `index` from 0."""
        ...

    def write_file(self, file: File, url: str | None = None) -> Reply:
        """`url`: where the bytes of a file that has just come can be read for a while, without an API key."""
        ...

    def write_files(self, files: Sequence[File], has_more: bool) -> Reply: ...

    def write_deleted_file(self, file: File) -> Reply: ...

    def write_presigned(self, presigned: Presigned) -> Reply: ...

    def write_upload(self, upload: Upload, now: int, file: File | None = None) -> Reply: ...

    def write_part(self, part: UploadPart) -> Reply: ...

    def write_batch(self, batch: Batch) -> Reply: ...

    def write_batches(self, batches: Sequence[Batch], has_more: bool) -> Reply: ...

    def write_result(self, result: StoredResult) -> bytes:
        """The row of a result: one JSON object without a newline."""
        ...

    def frame_results(self, batch: Batch, window: ResultWindow) -> ResultsFrame: ...

    def allowance_headers(self, allowance: Allowance) -> Mapping[str, str]: ...

    def write_models(self, offers: Sequence[Offer]) -> Reply: ...

    def write_model(self, name: str, offer: Offer) -> Reply: ...

    def write_error(self, error: RequestError | None) -> Reply:
        """None: a fault of ours, of which the caller learns no more than that."""
        ...
