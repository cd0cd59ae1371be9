"""An operation of a dialect: how its request is read, how its reply is written, and its documentation.

    request ──read──▶ Wanted ──a handler's function──▶ Found ──write──▶ reply

`read` raises `core.errors.RequestError` for what is wrong with a request. Ids are checked there: the ids in what it
returns are safe to look up. The values between the two, which no dialect owns, are below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from batchyard.core.accounts import AccountView, ApiKey
from batchyard.core.batches import Batch
from batchyard.core.catalogue import Offer
from batchyard.core.files import File, Upload
from batchyard.core.item_views import ItemView
from batchyard.core.limits import Bounds, ShownLimits
from batchyard.core.receipts import Receipt
from batchyard.core.requests import CompletionRequest, ExportRequest, FileRequest, ItemsCursor, ResultWindow
from batchyard.core.results import StoredResult
from batchyard.surfaces.http import Reply, Request

FILE_TYPES = ("application/x-ndjson", "application/octet-stream")
"""The content types of files: of JSON lines, and of anything else."""

Wanted = TypeVar("Wanted")
Found = TypeVar("Found")
Listed = TypeVar("Listed")


@dataclass(frozen=True, slots=True)
class OperationDoc:
    """An operation for the OpenAPI document.

    `request`, `reply`: pydantic models or TypedDicts of its JSON bodies. `form`: a JSON schema, if the body may be
    multipart. `query`: JSON schemas by the parameter's name. `headers`: descriptions by name. `content_types`: the
    types of its reply, if that is not JSON. `redirect`: a large reply is a redirect. `status`: that of success.
    """

    summary: str
    request: Any = None
    form: Any = None
    query: Any = None
    headers: Mapping[str, str] | None = None
    reply: Any = None
    content_types: tuple[str, ...] = ()
    redirect: bool = False
    status: int = 200


@dataclass(frozen=True, slots=True)
class Operation(Generic[Wanted, Found]):
    """An entry in a dialect's table."""

    read: Callable[[Request], Wanted]
    write: Callable[[Found], Reply]
    doc: OperationDoc


def as_it_is(reply: Reply) -> Reply:
    """The `write` of operations whose reply is bytes in no dialect."""
    return reply


def nothing(request: Request) -> None:
    """The `read` of operations that ask for nothing in particular."""


# What requests ask for, beside `core.requests`.


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file whose bytes came with the request."""

    request: FileRequest
    data: bytes


@dataclass(frozen=True, slots=True)
class NewUploadPart:
    upload_id: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Completion:
    upload_id: str
    request: CompletionRequest


@dataclass(frozen=True, slots=True)
class ResultsRequest:
    batch_id: str
    window: ResultWindow


@dataclass(frozen=True, slots=True)
class BatchExport:
    batch_id: str
    request: ExportRequest


@dataclass(frozen=True, slots=True)
class PageFile:
    """A file of the dashboard; `name` is empty for the page itself."""

    name: str
    api_url: str
    takes_gzip: bool


# What replies show, beside the objects of `core`.


@dataclass(frozen=True, slots=True)
class Page(Generic[Listed]):
    """Some objects of a list. `has_more`: others follow, or precede if it was read `backwards`."""

    found: Sequence[Listed]
    has_more: bool
    backwards: bool = False


@dataclass(frozen=True, slots=True)
class ShownFile:
    """`url`: where the bytes of a file that has just come can be read for a while, without an API key."""

    file: File
    url: str


@dataclass(frozen=True, slots=True)
class Presigned:
    """How and to which URL the bytes of `file` are to be sent. `expires_at`: unix second."""

    file: File
    url: str
    method: str
    headers: Mapping[str, str]
    expires_at: int


@dataclass(frozen=True, slots=True)
class ShownUpload:
    """An upload as it is at unix second `now`, and the file that it became."""

    upload: Upload
    now: int
    file: File | None = None


@dataclass(frozen=True, slots=True)
class NamedOffer:
    """An offer of a model under the name that it was asked for by."""

    name: str
    offer: Offer


@dataclass(frozen=True, slots=True)
class BilledBatch:
    batch: Batch
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class ArtifactUrl:
    """`url`: reads all results of the batch until `expires_at` (unix second)."""

    batch: Batch
    url: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class Session:
    """Who has signed in to the dashboard, and what may be sent to this deployment. `dialects`: the limits of a batch
    from a file whose lines are in the form of the dialect of that name."""

    owner: AccountView
    limits: ShownLimits
    window_seconds: int
    dialects: Mapping[str, Bounds]


@dataclass(frozen=True, slots=True)
class Download:
    """`url`: has the bytes of `file` until `expires_at` (unix second)."""

    file: File
    url: str
    expires_at: int


@dataclass(frozen=True, slots=True)
class ViewedItems:
    """A page of a batch's items, without what was asked and answered."""

    items: Sequence[ItemView]
    next_cursor: ItemsCursor | None
    searched: int
    total: int


@dataclass(frozen=True, slots=True)
class ShownApiKey:
    """A new API key. `secret` is shown now and never again."""

    key: ApiKey
    secret: str


@dataclass(frozen=True, slots=True)
class ResultsFrame:
    """What stands before, between and after the results of a page."""

    head: bytes
    separator: bytes
    tail: bytes


@dataclass(frozen=True, slots=True)
class ResultsForm:
    """How a dialect shows results one by one. `write`: one JSON object without a newline. `frame`: for dialects with
    pages of them. `endpoint`: only results of batches for this endpoint can be shown so. `only_at_the_end`: they are
    shown once their batch is over, and then there is one for each item, even if nothing of the batch was ever run."""

    write: Callable[[StoredResult], bytes]
    frame: Callable[[Batch, ResultWindow], ResultsFrame] | None = None
    endpoint: str | None = None
    only_at_the_end: bool = False
