"""A job that is ours for a while, and the tools that the native executor works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from batchyard.adapters.aws.queues import Queues
from batchyard.adapters.aws.stores import Stores
from batchyard.core.batches import Batch, Status
from batchyard.core.candidates import Terms
from batchyard.core.errors import BooksDoNotBalance
from batchyard.core.failover import LaneNow
from batchyard.core.health import LaneHealth
from batchyard.core.jobs import (
    BLOCKED_SECONDS,
    LONGEST_POLL_SECONDS,
    MISSING_PATIENCE_SECONDS,
    STOP_PATIENCE_SECONDS,
    JobRef,
    JobRow,
    job_name,
    poll_wait_seconds,
)
from batchyard.core.lanes import Lane, LaneId, Mode
from batchyard.core.leftovers import lane_of_leftovers
from batchyard.core.messages import ShardMessage
from batchyard.core.sharding import LaneShards, Plan
from batchyard.core.shards import ShardRow
from batchyard.core.usage import Tally
from batchyard.jobs.vendors import Vendor, Vendors

SECRET_MISSING = "secret_missing"
"""Why a job waits whose provider key is not there."""
STUCK = "stuck"
"""Why a job was stopped that ran far longer than such jobs do, or that had its share of the time, while there was time
for another one."""

_MISSING_POLL_SECONDS = 60
TRIES_AT_MOST = 8
"""How often in a row a vendor in trouble is asked for something, which takes some half an hour."""


@dataclass(frozen=True, slots=True)
class JobLimits:
    """`lease_seconds`: how long a dead executor holds a job. `pace`: of polls and retries; 1 is usual, less is faster.
    `deployment`: its name, for the names of its jobs. `polls_every_seconds`: how long there is between two polls at
    most."""

    lease_seconds: int
    deployment: str
    pace: float = 1.0
    polls_every_seconds: int = LONGEST_POLL_SECONDS


@dataclass(frozen=True, slots=True)
class Tools:
    """`settle` is the step of that name, bound to its adapters. `clock`: unix seconds. `new_owner`: a name that no
    claim had before. `look`: what is known of a lane."""

    stores: Stores
    queues: Queues
    vendors: Vendors
    settle: Callable[[ShardMessage, ShardRow], None]
    limits: JobLimits
    clock: Callable[[], float]
    new_owner: Callable[[], str]
    look: Callable[[LaneId], LaneNow] = lambda lane: LaneNow(LaneHealth())
    on_stored: Callable[[str, Tally], None] = lambda provider, tally: None
    """Called with the provider of results that were stored, and what they add up to. No result counts twice."""

    @property
    def now(self) -> int:
        return int(self.clock())


class HeldJob:
    """`row`: as our last write left it. `entry`: the job in its batch's plan; None if its shards were moved.
    `is_blocked`: whether we have found that people have to act."""

    def __init__(self, ref: JobRef, row: JobRow, batch: Batch, tools: Tools) -> None:
        self.ref = ref
        self.row = row
        self.batch = batch
        self.tools = tools
        self.is_blocked = False
        self._written_at = tools.now

    @property
    def plan(self) -> Plan:
        if self.batch.plan is None:
            raise BooksDoNotBalance(f"{self.batch.id} has a provider job and no plan")
        return self.batch.plan

    @property
    def entry(self) -> LaneShards | None:
        return self.plan.job(self.ref.number)

    @property
    def is_wanted(self) -> bool:
        """Whether its batch still runs."""
        batch = self.batch
        running = batch.status is Status.IN_PROGRESS and not batch.starts_nothing and self.row.fence is None
        return running and self.tools.now < batch.expires_at

    @property
    def is_late(self) -> bool:
        """Whether it has to end now, for realtime to be in time."""
        return self.entry is None or self.tools.now >= self.entry.escalate_at

    @property
    def may_wait(self) -> bool:
        """Whether what a vendor in trouble is asked for may be asked for again: not if there is no time for that, or it
        has failed too often in a row. Then others have to do what it leaves."""
        has_time = self.entry is not None and self.tools.now < self.entry.escalate_at + STOP_PATIENCE_SECONDS
        return has_time and self.row.tries < TRIES_AT_MOST

    @property
    def _lanes_with_key(self) -> tuple[Lane, ...]:
        """The lanes that what it leaves may be moved to, without those of its own provider if it was never submitted
        because the deployment has no key for that."""
        others = self.entry.others if self.entry is not None else ()
        is_missing = self.row.reason == SECRET_MISSING and self.row.attempt == 0
        return tuple(lane for lane in others if not (is_missing and lane.provider == self.lane.provider))

    def lane_for(self, items: int) -> tuple[Lane, int]:
        """Where the `items` go that it leaves, and until when they may stay there (`core.leftovers`)."""
        lanes = self._lanes_with_key or (Lane(self.lane.provider, self.lane.model),)
        pace, owner = self.tools.limits.pace, self.lane_id.key_owner
        terms = Terms(self.batch.endpoint, self.tools.now, self.batch.expires_at, pace=pace)

        def look(lane: Lane) -> LaneNow:
            return self.tools.look(LaneId(lane.provider, lane.model, owner, lane.mode))

        return lane_of_leftovers(lanes, items, terms, look)

    @property
    def name(self) -> str:
        """The name of its last submission."""
        return job_name(self.tools.limits.deployment, self.ref, self.row.attempt)

    @property
    def lane_id(self) -> LaneId:
        owner = self.batch.account_id if self.batch.caller_pays else None
        return LaneId(self.lane.provider, self.lane.model, owner)

    @cached_property
    def usual_seconds(self) -> float | None:
        """What half of such jobs took; None if nobody knows."""
        return self.tools.stores.native_lanes.history(self.lane_id).usual_seconds

    @property
    def vendor(self) -> Vendor:
        """Raises SecretMissing or CallerKeyGone."""
        return self.tools.vendors.of(self.batch, self.lane)

    @property
    def lane(self) -> Lane:
        """The one that the job was submitted on, or will be."""
        if self.row.provider is not None and self.row.model is not None:
            return Lane(self.row.provider, self.row.model, Mode.NATIVE)
        return self.plan.lane_of(self.ref.number).lane

    def change(self, **fields: Any) -> None:
        """Write fields of the row, and keep its lease. A job that gets on, or waits for something else, is no longer
        blocked. Raises LeaseLost."""
        if self.row.blocked and not self.is_blocked and ("state" in fields or "due_at" in fields):
            fields |= {"blocked": None, "blocked_since": 0}
        now = self.tools.now
        lease_until = now + self.tools.limits.lease_seconds
        self.row = self.tools.stores.jobs.change(self.batch.id, self.row, **({"lease_until": lease_until} | fields))
        self._written_at = now

    def block(self, reason: str) -> int:
        """Nobody can ask the vendor anything until people act: the key is refused or missing, the account has no money.
        The key is read again the next time. Seconds until then. Raises LeaseLost."""
        self.tools.vendors.forget_key(self.lane.provider)
        self.is_blocked = True
        since = self.row.blocked_since if self.row.blocked else self.tools.now
        self.change(blocked=reason, blocked_since=since)
        return max(1, round(BLOCKED_SECONDS * self.tools.limits.pace))

    def wait_for_missing(self) -> int | None:
        """The vendor does not know the job. Seconds until it is to be asked again; None: it has said so for long
        enough. Raises LeaseLost."""
        now, pace = self.tools.now, self.tools.limits.pace
        since = self.row.missing_since or now
        if now >= since + round(MISSING_PATIENCE_SECONDS * pace):
            return None
        self.change(missing_since=since)
        return max(1, round(_MISSING_POLL_SECONDS * pace))

    def keep(self) -> None:
        """Keep the lease, if a part of it has passed. Raises LeaseLost."""
        if self.tools.now >= self._written_at + self.tools.limits.lease_seconds / 3:
            self.change()

    def seconds_to_next_poll(self) -> int:
        """By how long such jobs usually take."""
        limits = self.tools.limits
        wait = poll_wait_seconds(self.row, self.usual_seconds, self.tools.now, limits.pace)
        return min(wait, limits.polls_every_seconds)

    def reread(self) -> None:
        """The batch as it stands now."""
        self.batch = self.tools.stores.batches.current(self.batch.ref)
