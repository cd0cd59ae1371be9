"""What a caller asks for, whatever the dialect: surfaces turn their requests into these, and steps take them."""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace

import orjson

from batchyard.core.batches import Batch, DropSource, Status
from batchyard.core.items import LineError
from batchyard.core.json_types import JsonObject
from batchyard.core.policies import Policy
from batchyard.core.results import Outcome
from batchyard.core.rules import RoutingRules
from batchyard.core.usage import PinnedPrice
from batchyard.core.webhooks import WebhookTarget

_LATER_FIELDS = frozenset({"identical_once", "rules", "quote_id", "max_price_picousd", "webhook", "issues", "policy"})
_SLOWLY = {"n": 2**14, "r": 8, "p": 1}
"""scrypt's cost: 16 MB and some 50 ms (RFC 7914, section 2)."""
_NOT_COUNTED = frozenset({"is_repeat", "sent", "first_reply", "reserve_picousd", "prices"})


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """A batch to be made. `endpoint` is one of `core.providers.ENDPOINTS`; `concurrency` a ceiling on calls in flight.
    `idempotency_key`: the same key with the same request is the same batch. `lines`: the input itself, if it came
    with the request, as the bytes of a file; `input_file_id` is empty then. `is_repeat`: the client says that it has
    sent this request before."""

    surface: str
    endpoint: str
    input_file_id: str
    completion_window: str = "24h"
    metadata: JsonObject | None = None
    output_expires_after_seconds: int | None = None
    concurrency: int | None = None
    identical_once: bool = False
    """Whether items that are like another one are not sent, and have its result."""
    idempotency_key: str | None = None
    drop: DropSource | None = None
    provider: str | None = None
    caller_key: str | None = field(default=None, repr=False)
    """The caller's own key with `provider`. A secret: it is encrypted at once, and sent to nobody but that provider."""
    lines: bytes | None = None
    is_repeat: bool = False
    rules: RoutingRules = field(default_factory=RoutingRules)
    quote_id: str | None = None
    """The quote that its caller has accepted."""
    max_price_picousd: int | None = None
    """What the batch may cost at most; None: whatever it costs."""
    sent: str = ""
    """The fingerprint of the request as it was sent, if more is known of it now."""
    first_reply: Callable[[Batch], bytes] | None = field(default=None, repr=False)
    """Makes the reply that repeats of this request get byte for byte; None: they are told how the batch is by then."""
    reserve_picousd: int | None = None
    """What its account is to set aside for it when it is made; None: what validation finds that it may cost."""
    prices: tuple[PinnedPrice, ...] = ()
    """Those of the quote."""
    webhook: WebhookTarget | None = None
    """Who is told when it is over; None: the webhook of its account, if that has one."""
    policy: Policy = field(default_factory=Policy)
    """What it says itself of how it is run. `rules` have the rest, and defaults for what it says nothing of."""
    issues: tuple[LineError, ...] = ()
    """What its surface has found wrong with it, for preflight to list with the rest. The batch is not made then."""

    @property
    def unread(self) -> frozenset[str]:
        """The members of the body that are wrong in themselves, so that nothing else can be said about them."""
        return frozenset(re.split(r"[.\[]", issue.param)[0] for issue in self.issues if issue.param)

    @property
    def fingerprint(self) -> str:
        """Equal for equal requests. The idempotency key, the caller's own key and what came of the quote are no part of
        it. What came with later versions counts only if it is given, so that a repeat is known again after an upgrade.
        It is kept, so that of the webhook's secret it has what takes long to guess from."""
        if self.sent:
            return self.sent
        webhook = replace(self.webhook, secret="") if self.webhook else None
        counted = replace(
            self, idempotency_key=None, caller_key=None, webhook=webhook, policy=self.policy.beyond(self.rules)
        )
        unsaid = BatchRequest(self.surface, self.endpoint, self.input_file_id)
        members = {
            field.name: getattr(counted, field.name)
            for field in fields(counted)
            if field.name not in _NOT_COUNTED
            and (field.name not in _LATER_FIELDS or getattr(counted, field.name) != getattr(unsaid, field.name))
        }
        if self.lines is not None:
            members["lines"] = hashlib.sha256(self.lines).hexdigest()
        digest = hashlib.sha256(orjson.dumps(members, option=orjson.OPT_SORT_KEYS))
        if self.webhook is not None:
            digest.update(hashlib.scrypt(self.webhook.secret.encode(), salt=digest.digest(), **_SLOWLY))
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class ExpectedItems:
    """Items that a batch may have. `input_tokens`: of all of them together; None: the caller does not know."""

    count: int
    model: str
    provider: str | None = None
    input_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """A batch that may be made, whose plan is asked for. `expected`: its items, if it has no input file yet.
    `output_tokens`: of all items together; None: the caller does not know."""

    batch: BatchRequest
    expected: ExpectedItems | None = None
    output_tokens: int | None = None
    of_items: int | None = None
    """How many items the batch will have, if those in the request are only a sample of them."""


@dataclass(frozen=True, slots=True)
class ApiKeyRequest:
    """An API key that an account wants to have. `expires_at`: the unix second from which it is refused."""

    name: str
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class FileRequest:
    """A file to be kept. Its bytes travel beside it, or come later under a presigned URL. `any_name`: a batch's input
    may be called something else than .jsonl. `is_repeat`: the client says that it has sent this request before."""

    filename: str
    purpose: str
    expires_after_seconds: int | None = None
    any_name: bool = False
    is_repeat: bool = False

    def fingerprint(self, data: bytes) -> str:
        """Equal for equal requests that bring the same bytes."""
        members = ["file", self.filename, self.purpose, self.expires_after_seconds, hashlib.sha256(data).hexdigest()]
        return hashlib.sha256(orjson.dumps(members)).hexdigest()


@dataclass(frozen=True, slots=True)
class UploadRequest:
    """A file of `bytes` bytes that will come in parts."""

    file: FileRequest
    bytes: int


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """The parts of an upload in the order they are to be joined, and the MD5 (in hex) that the whole must have, if the
    caller gave one."""

    part_ids: tuple[str, ...]
    md5: str | None = None


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A page of a list: up to `limit` objects behind the object `after`, or those that stand directly before the batch
    `before`. `purpose` filters files."""

    limit: int
    after: str | None = None
    descending: bool = True
    purpose: str | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True)
class ViewRequest:
    """A page of batches for the dashboard. `statuses`: only batches with one of them; None: all."""

    limit: int
    after: str | None = None
    statuses: frozenset[Status] | None = None

    def has(self, status: Status) -> bool:
        return self.statuses is None or status in self.statuses

    @property
    def has_any(self) -> bool:
        """Whether it takes batches whatever their status."""
        return self.statuses is None


@dataclass(frozen=True, slots=True)
class ItemsRequest:
    """A page of a batch's items: those with one of `outcomes`, or the one called `custom_id`. `cursor`: where an
    earlier page stopped."""

    batch_id: str
    outcomes: frozenset[Outcome]
    custom_id: str | None = None
    cursor: ItemsCursor | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class ItemsCursor:
    """`place`: a shard, or a byte of the work file if a custom_id is searched. `index`: of the last item shown of that
    shard; -1: none. `searched`: how many items stand before `place`."""

    place: int
    index: int
    searched: int


@dataclass(frozen=True, slots=True)
class ItemRequest:
    """One item of a batch, by its index."""

    batch_id: str
    index: int


@dataclass(frozen=True, slots=True)
class ResultWindow:
    """The results of items `offset` to `offset + limit` of the input; None: to its end."""

    offset: int = 0
    limit: int | None = None


class Packing(enum.StrEnum):
    """How an export's rows are packed: as they are, or compressed."""

    PLAIN = "plain"
    GZIP = "gzip"
    ZIP = "zip"


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """Results as one file to download."""

    window: ResultWindow
    packing: Packing
