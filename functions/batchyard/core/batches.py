"""A batch and its life.

                                    doomed* ──────────────▶ failed       (its input file was deleted)
                                       ▲
                       ┌───────────────┤
    validating ──▶ in_progress ──▶ finalizing ────────────▶ completed    (every item has its result)
        │              │               │
        ├──────────────┼───────────────┼──────────────────▶ expired      (the completion window ended)
        ├──────────────┼───────────────┴──────────────────▶ failed       (bad input, or a fault that nothing mends)
        └──────────────┴────▶ cancelling ─────────────────▶ cancelled    (somebody cancelled it)

    A batch that reaches its price limit is in_progress, marked so, and then finalizing: what has not run by then fails.

    * No status of its own: a batch that runs (in_progress, finalizing) and has `errors` already. It keeps its status
      until it ends, and it ends as failed; only a cancel that comes before it is finalizing still wins.

Whatever the ending, results that are there are kept. The statuses are OpenAI's; a surface maps them to its own words.
`<status>_at` is the second a status was entered. Which `Ending` a batch comes to is decided in `core/endings.py`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

import orjson

from batchyard.core import exact_json
from batchyard.core.accounts import Billing
from batchyard.core.fields import known_fields
from batchyard.core.items import LineError
from batchyard.core.json_types import Row
from batchyard.core.lanes import Lane, LaneProgress, Mode
from batchyard.core.rules import RoutingRules
from batchyard.core.sharding import Plan
from batchyard.core.usage import PinnedPrice, Price, Tally
from batchyard.core.waits import Wait


class Ending(enum.StrEnum):
    """How a batch ends. The state machine, and the `fence` of a shard's row, use the same words. `price_reached`: it is
    completed, but what it may cost was used up before all items had run."""

    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    FAILED = "failed"
    PRICE_REACHED = "price_reached"

    @property
    def status(self) -> Status:
        """The terminal status of a batch that ended so."""
        return Status.COMPLETED if self is Ending.PRICE_REACHED else Status(self.value)


class Stage(enum.StrEnum):
    """How far a batch that is validating has come. `queued`: validation has begun, and waits for the input if that is
    still on its way. `routing`: each item is read and given its lane."""

    QUEUED = "queued"
    ROUTING = "routing"


class Status(enum.StrEnum):
    VALIDATING = "validating"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        return self in _TERMINAL


_TERMINAL = frozenset(ending.status for ending in Ending)

FROM = {
    Status.IN_PROGRESS: (Status.VALIDATING,),
    Status.FINALIZING: (Status.IN_PROGRESS,),
    Status.CANCELLING: (Status.VALIDATING, Status.IN_PROGRESS),
    Status.COMPLETED: (Status.FINALIZING,),
    Status.CANCELLED: (Status.CANCELLING,),
    Status.EXPIRED: (Status.VALIDATING, Status.IN_PROGRESS, Status.FINALIZING),
    Status.FAILED: (Status.VALIDATING, Status.IN_PROGRESS, Status.FINALIZING),
}
"""The statuses from which a status may be entered. Terminal ones are in nobody's list: nothing leaves them."""


@dataclass(frozen=True, slots=True)
class BatchRef:
    """Names one batch. An id is only ever looked up within its account."""

    account_id: str
    batch_id: str


@dataclass(frozen=True, slots=True)
class DropSource:
    """The version of a file in the drop folder from which a batch was made. Its results go back beside it."""

    key: str
    version_id: str


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch row, as every step and surface sees it. Times are unix seconds."""

    id: str
    account_id: str
    surface: str
    endpoint: str
    input_file_id: str
    completion_window: str
    status: Status
    created_at: int
    expires_at: int
    metadata: Row | None = None
    """What the customer wrote. Most surfaces take a text for each name, some take any JSON object."""
    output_expires_after_seconds: int | None = None
    concurrency: int | None = None
    """The customer's ceiling on calls in flight for this batch."""
    drop: DropSource | None = None
    identical_once: bool = False
    """Whether items that are like another one have its result, and are not sent (`core.copies`)."""
    provider: str | None = None
    """The provider of every item; None: each item's own, or the cheapest."""
    caller_pays: bool = False
    """It runs with a provider key that the caller brought, so its cost is on the caller's bill."""
    expected_items: int | None = None
    """How many items its input has, if that was known when it was made."""
    weight: int = 1
    """How large its account's share of a busy lane was when it was made (`core.accounts`)."""
    rules: RoutingRules = field(default_factory=RoutingRules)
    modes: tuple[Mode, ...] = ()
    """Those that its items may run in; empty: all that their providers have."""
    early_failover: bool = False
    """Whether its items leave a lane in trouble at once, whatever its rules."""
    quote_id: str | None = None
    """The quote that its caller has accepted."""
    max_price_picousd: int | None = None
    """What it may cost at most; None: whatever it costs."""
    prices: tuple[PinnedPrice, ...] = ()
    """Those of its quote, which count instead of the catalogue's."""
    billing: Billing = Billing.FREE
    """How its account paid when it was made; `free` too if its caller pays."""
    reserved_picousd: int = 0
    """What is set aside for it in its account's ledger until it ends."""
    estimate_picousd: int = 0
    """What it is expected to cost, by its quote or else by its validation, if anybody has to know; else 0."""
    price_reached: bool = False
    """Nothing of it is started any more, because it may not cost more."""

    stage: Stage | None = None
    """How far validation has come; None before it begins, and for batches of older versions."""
    model: str | None = None
    """The model of every item, if they share one."""
    errors: tuple[LineError, ...] = ()
    plan: Plan | None = None
    revision: int = 0
    """How often the plan was changed since validation."""
    tally: Tally = field(default_factory=Tally)
    """Of settled shards while the batch runs, of every item once it is terminal."""
    output_file_id: str | None = None
    error_file_id: str | None = None
    task_token: str | None = None
    results_hidden: bool = False
    """A file of its results was deleted or has expired: they are shown nowhere any more."""
    executions: int = 0
    """Executions that Sweep started after the first one died."""
    status_times: dict[str, int] = field(default_factory=dict)
    """Status -> unix second it was entered; `validating` is `created_at`."""
    waiting_for: tuple[Wait, ...] | None = None
    """Why it stands still or is slow, if somebody has looked (`steps.explain`); never in the row."""
    lanes: tuple[LaneProgress, ...] | None = None
    """How far they are, if somebody has looked; never in the row."""
    api_url: str = ""
    """Where the API is that shows it, for replies with addresses; never in the row."""
    is_begun: bool | None = None
    """Whether anything of it was begun, if somebody has looked; never in the row."""
    first_reply: bytes | None = None
    """The reply that the request got which made it, if it has to be repeated as it was; never in the row."""

    def pinned_price(self, lane: Lane) -> Price | None:
        """What its quote said that the lane costs in realtime; None if it said nothing of it."""
        known = (lane.provider, lane.model)
        return next((each.price for each in self.prices if (each.provider, each.model) == known), None)

    @property
    def avoids_trouble(self) -> bool:
        """Whether its items leave a lane in trouble at once, and not only when waiting endangers the deadline."""
        return self.early_failover or self.rules.avoids_trouble

    def may_run(self, mode: Mode) -> bool:
        return mode is Mode.REALTIME or not self.modes or mode in self.modes

    @property
    def ref(self) -> BatchRef:
        return BatchRef(self.account_id, self.id)

    @property
    def text_metadata(self) -> dict[str, str] | None:
        """Metadata for surfaces that know only texts: any other value becomes its JSON."""
        if self.metadata is None:
            return None
        return {n: v if isinstance(v, str) else orjson.dumps(v).decode() for n, v in self.metadata.items()}

    @property
    def is_doomed(self) -> bool:
        """Whether it is marked to end as failed, for the reason in `errors`, and has not ended yet."""
        return bool(self.errors) and not self.status.is_terminal

    @property
    def starts_nothing(self) -> bool:
        """Whether it runs and is about to be stopped."""
        return self.is_doomed or self.price_reached

    @property
    def ending(self) -> Ending | None:
        """How it ended; None while it has not."""
        if self.status is Status.COMPLETED and self.price_reached:
            return Ending.PRICE_REACHED
        return Ending(self.status.value) if self.status.is_terminal else None

    @property
    def total_items(self) -> int:
        return self.plan.items if self.plan else 0

    def to_row(self) -> Row:
        return {
            "id": self.id,
            "account_id": self.account_id,
            "surface": self.surface,
            "endpoint": self.endpoint,
            "input_file_id": self.input_file_id,
            "completion_window": self.completion_window,
            "status": str(self.status),
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "metadata": _packed(self.metadata),
            "output_expires_after_seconds": self.output_expires_after_seconds,
            "concurrency": self.concurrency,
            "identical_once": self.identical_once,
            "drop": [self.drop.key, self.drop.version_id] if self.drop else None,
            "provider": self.provider,
            "caller_pays": self.caller_pays,
            "expected_items": self.expected_items,
            "weight": self.weight,
            "rules": self.rules.to_row(),
            "modes": [str(mode) for mode in self.modes],
            "early_failover": self.early_failover,
            "quote_id": self.quote_id,
            "max_price_picousd": self.max_price_picousd,
            "prices": [price.to_row() for price in self.prices],
            "billing": str(self.billing),
            "reserved_picousd": self.reserved_picousd,
            "estimate_picousd": self.estimate_picousd,
            "price_reached": self.price_reached,
            "stage": str(self.stage) if self.stage else None,
            "model": self.model,
            "errors": [error.to_row() for error in self.errors],
            "plan": self.plan.to_row() if self.plan else None,
            "revision": self.revision,
            "tally": self.tally.to_row(),
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "task_token": self.task_token,
            "results_hidden": self.results_hidden,
            "executions": self.executions,
        } | {f"{status}_at": at for status, at in self.status_times.items()}

    @classmethod
    def from_row(cls, row: Row) -> Batch:
        fields = known_fields(cls, row)
        fields["status"] = Status(row["status"])
        fields["prices"] = tuple(map(PinnedPrice.from_row, row.get("prices") or ()))
        fields["billing"] = Billing(row.get("billing", Billing.FREE))
        metadata = row.get("metadata")
        fields["metadata"] = exact_json.loads(metadata.encode()) if isinstance(metadata, str) else metadata
        fields["drop"] = DropSource(*row["drop"][:2]) if row.get("drop") else None
        fields["rules"] = RoutingRules.from_row(row["rules"]) if row.get("rules") else RoutingRules()
        fields["modes"] = tuple(map(Mode, row.get("modes") or ()))
        fields["stage"] = Stage(row["stage"]) if row.get("stage") else None
        fields["errors"] = tuple(map(LineError.from_row, row.get("errors") or ()))
        fields["plan"] = Plan.from_row(row["plan"]) if row.get("plan") else None
        fields["tally"] = Tally.from_row(row.get("tally") or {})
        fields["status_times"] = {str(s): row[f"{s}_at"] for s in Status if f"{s}_at" in row}
        return cls(**fields)


def _packed(metadata: Row | None) -> Row | str | None:
    """Metadata as a row holds it: as JSON if any value is more than a text, because a row cannot hold fractions."""
    if metadata is None or all(isinstance(value, str) for value in metadata.values()):
        return metadata
    return orjson.dumps(metadata).decode()
