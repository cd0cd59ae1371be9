"""A dialect: a table of its operations, the rules that hold for all of them, and how it reads a line of an input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from batchyard.core.accounts import AccountView, ApiKey
from batchyard.core.batch_views import BatchesPage, BatchView, Throughput
from batchyard.core.batches import Batch
from batchyard.core.catalogue import Offer
from batchyard.core.deliveries import Delivery
from batchyard.core.errors import InvalidRequest, RequestError
from batchyard.core.files import File, UploadPart
from batchyard.core.forecast import Forecast
from batchyard.core.item_views import ItemView
from batchyard.core.items import Item, LineError
from batchyard.core.limits import Allowance, Limits, ShownLimits
from batchyard.core.quotes import Quote
from batchyard.core.requests import (
    ApiKeyRequest,
    BatchRequest,
    FileRequest,
    ItemRequest,
    ItemsRequest,
    PageRequest,
    PlanRequest,
    UploadRequest,
    ViewRequest,
)
from batchyard.core.survey import AccountsPage, Survey
from batchyard.core.usage_days import UsageView
from batchyard.core.webhooks import ShownWebhook, WebhookTarget
from batchyard.surfaces.http import Reply, Request
from batchyard.surfaces.operations import (
    ArtifactUrl,
    BatchExport,
    BilledBatch,
    Completion,
    Download,
    NamedOffer,
    NewFile,
    NewUploadPart,
    Operation,
    Page,
    PageFile,
    Presigned,
    ResultsForm,
    ResultsRequest,
    Session,
    ShownApiKey,
    ShownFile,
    ShownUpload,
    ViewedItems,
)


@dataclass(frozen=True, slots=True)
class LineContext:
    """What a line is checked against."""

    endpoint: str
    max_custom_id_chars: int = 512


ExplainLine = Callable[[LineError], InvalidRequest]
"""What is wrong with a line of an input that came with its request -> the answer to that request."""


class ParseLine(Protocol):
    """The item of a line, or what is wrong with it. `raw` has no byte order mark and is not blank; it may end in a line
    end. `line` counts from 1, `index` from 0."""

    def __call__(self, raw: bytes, index: int, line: int, context: LineContext) -> Item | LineError: ...


EndpointOf = Callable[[bytes], str | None]
"""A line of an input -> the endpoint that it is for; None if it does not say."""


@dataclass(frozen=True, slots=True)
class SurfaceRules:
    """What holds for every operation of a dialect."""

    read_api_key: Callable[[Request], str]
    """The caller's API key. Raises Unauthenticated if there is none."""
    write_error: Callable[[RequestError | None], Reply]
    """None stands for an error that is ours; the caller learns nothing else about it."""
    error_shape: Any
    """The TypedDict of an error, for the OpenAPI document."""
    allowance_headers: Callable[[Allowance], Mapping[str, str]]
    """How a reply says what an API key has left."""
    limits: Limits = field(default_factory=Limits)
    """The dialect's own limits, which hold if they are narrower than the deployment's."""
    deleting_a_file_ends_its_batches: bool = False
    """Whether unfinished batches of a file fail when it is deleted through this dialect."""
    explain_line: ExplainLine | None = None
    """If it is given, an input that comes with its request is checked at once, and a wrong line refuses the request.
    None: it fails the batch, later."""
    show_request_id: Callable[[Reply, str], Reply] = lambda reply, request_id: reply
    """Puts the request's id where the dialect's clients look for it; `x-request-id` is there in any case."""
    endpoint_of: EndpointOf | None = None
    """If it is given, lines say themselves what they are for, and the first one decides for its batch; and batches are
    made from quotes, and checked before they are made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """An operation is None if the dialect lacks it; then it has no route either. A dialect with an operation that shows
    single results has `results` as well."""

    name: str
    rules: SurfaceRules
    parse_line: ParseLine
    results: ResultsForm | None = None

    create_file: Operation[NewFile, ShownFile] | None = None
    list_files: Operation[PageRequest, Page[File]] | None = None
    presign_file: Operation[FileRequest, Presigned] | None = None
    retrieve_file: Operation[str, File] | None = None
    delete_file: Operation[str, File] | None = None
    download_file: Operation[str, Reply] | None = None

    create_upload: Operation[UploadRequest, ShownUpload] | None = None
    add_upload_part: Operation[NewUploadPart, UploadPart] | None = None
    complete_upload: Operation[Completion, ShownUpload] | None = None
    cancel_upload: Operation[str, ShownUpload] | None = None

    create_batch: Operation[BatchRequest, Batch] | None = None
    list_batches: Operation[PageRequest, Page[Batch]] | None = None
    retrieve_batch: Operation[str, Batch] | None = None
    cancel_batch: Operation[str, Batch] | None = None
    delete_batch: Operation[str, Batch] | None = None
    download_output: Operation[str, Reply] | None = None
    plan_batch: Operation[PlanRequest, Forecast] | None = None
    quote_batch: Operation[PlanRequest, Quote] | None = None
    show_receipt: Operation[str, BilledBatch] | None = None
    show_artifact: Operation[BatchExport, ArtifactUrl] | None = None
    list_results: Operation[ResultsRequest, Reply] | None = None
    export_results: Operation[BatchExport, Reply] | None = None

    show_account: Operation[None, AccountView] | None = None
    create_api_key: Operation[ApiKeyRequest, ShownApiKey] | None = None
    list_api_keys: Operation[None, list[ApiKey]] | None = None
    revoke_api_key: Operation[str, ApiKey] | None = None
    set_webhook: Operation[WebhookTarget, ShownWebhook] | None = None
    retrieve_webhook: Operation[None, ShownWebhook] | None = None
    delete_webhook: Operation[None, ShownWebhook] | None = None
    list_deliveries: Operation[PageRequest, Page[Delivery]] | None = None
    retrieve_delivery: Operation[str, Delivery] | None = None
    replay_delivery: Operation[str, Delivery] | None = None

    show_page: Operation[PageFile, Reply] | None = None
    show_session: Operation[None, Session] | None = None
    show_download: Operation[str, Download] | None = None
    view_batches: Operation[ViewRequest, BatchesPage] | None = None
    view_batch: Operation[str, BatchView] | None = None
    view_throughput: Operation[str, Throughput] | None = None
    view_items: Operation[ItemsRequest, ViewedItems] | None = None
    view_item: Operation[ItemRequest, ItemView] | None = None
    view_usage: Operation[int, UsageView] | None = None
    view_accounts: Operation[str | None, AccountsPage] | None = None
    view_lanes: Operation[None, Survey] | None = None

    list_models: Operation[None, list[Offer]] | None = None
    retrieve_model: Operation[str, NamedOffer] | None = None
    describe_limits: Operation[None, ShownLimits] | None = None
    describe_api: Operation[None, Reply] | None = None

    def operation(self, name: str) -> Operation[Any, Any]:
        """The operation that a route names. Raises LookupError if the dialect lacks it."""
        found = getattr(self, name, None)
        if not isinstance(found, Operation):
            raise LookupError(f"the surface {self.name} has no operation {name}")
        return found
