"""A provider job: a run of shards that a vendor's own batch API works on, and the row that says how far it is.

               claim              the vendor took it            it has ended              stored, the rest moved
    (no row) ────────▶ submitting ─────────────────▶ running ──────────────▶ collecting ────────────────────────▶ done
                           │                            │                      ▲  ▲
                           └─ refused, or too late ─────┼──────────────────────┘  │ it has ended,
                                                        │ too late,               │ or took too long
                                                        ▼ or the batch is over    │
                                                     stopping ────────────────────┘

Running goes back to submitting if the vendor ends a job for a passing reason before it began (too many tokens queued).
Collecting does, too, if a job was stopped because it ran far longer than such jobs do, or had its share of the time,
and there is enough left for another one with what it left.

Before each submission the row gets the next `attempt` and `asked_at`, and with them the name that the vendor is given.
Whoever takes over after a crash, or after an answer was lost, looks for a job of that name before anything is submitted
again. `version` is the fencing token, as in a shard's row. Times are unix seconds, passed in.
"""

from __future__ import annotations

import enum
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from batchyard.core.batches import BatchRef, Ending
from batchyard.core.errors import BatchyardError
from batchyard.core.fields import known_fields
from batchyard.core.json_types import JsonObject, Row
from batchyard.core.native_limits import NativeLimits
from batchyard.core.sharding import Shard

LOOK_AFTER_SECONDS = 30
"""How long after a submission whose answer was lost its job is sure to be in the vendor's list."""
BLOCKED_SECONDS = 60
"""How often a vendor that needs people to act is asked whether they have, as a blocked lane is probed."""
STOP_PATIENCE_SECONDS = 900
"""A vendor may take ten minutes to stop a job (OpenAI says so). Longer than this nobody waits."""
MISSING_PATIENCE_SECONDS = 300
"""A vendor that does not know a job may have forgotten it, or be in trouble. It is believed after so long: what the job
has done would be paid for a second time."""

_FIRST_POLL_SECONDS = 30
LONGEST_POLL_SECONDS = 600
_STOPPING_POLL_SECONDS = 10
_POLLS_PER_USUAL_TIME = 20
_FIRST_RETRY_SECONDS = 15
_LONGEST_RETRY_SECONDS = 600
_SLOW_TIMES = 8
"""A job that has taken so many times what such jobs take is stuck."""
_LIKELY_TIMES = 1.5
"""In so many times what such jobs take a job is probably done: two in three, if times are lognormal with sigma 1."""
_LEAST_USUAL_SECONDS = 600
"""Jobs that usually take a minute may wait for some."""
_RESTARTS_AT_MOST = 2
_LINE_BYTES = 200
"""What a vendor's line has around an item's body, at most."""
_BYTES_PER_TOKEN = 4


class JobState(enum.StrEnum):
    SUBMITTING = "submitting"
    RUNNING = "running"
    STOPPING = "stopping"
    COLLECTING = "collecting"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class JobRef:
    """Names one job: the entry of its batch's plan that begins with shard `number` and has `shards`."""

    batch: BatchRef
    number: int
    shards: int

    @property
    def numbers(self) -> range:
        return range(self.number, self.number + self.shards)

    def to_json(self) -> str:
        """The event that has the native executor look at the job."""
        fields = {"account_id": self.batch.account_id, "batch_id": self.batch.batch_id}
        return orjson.dumps(fields | {"job": self.number, "shards": self.shards}).decode()

    @classmethod
    def from_event(cls, fields: JsonObject) -> JobRef:
        return cls(BatchRef(fields["account_id"], fields["batch_id"]), fields["job"], fields["shards"])


@dataclass(frozen=True, slots=True)
class JobRow:
    """`attempt`: submissions begun. `asked_at`: when the last one was, while nobody knows what it came to; else 0.
    `tries`: failures in a row. `due_at`: when the job is to be looked at again. `provider`, `model`: of the lane that
    it was submitted on. `is_guess`: the vendor's answer was lost, and this job was found in its list; `strangers`:
    those that were found so, and turned out to be somebody else's. `submitted_at`, `stop_at`: when the vendor took it,
    and was asked to stop it. `restarts`: how often it was stopped to be submitted anew. `reason`: why it ended
    otherwise than well. `fence`: the ending that its batch was stopped for. `unheard`: how many of its items the vendor
    took and said nothing of; it may bill them. `blocked`: why its vendor cannot be asked anything until people act, and
    `blocked_since` when; None if it can. `answered`: how many of its items have a result of its; None until it is over.
    `ended_at`: when the last of those was stored; 0 if it is not over, or an older version wrote it. `missing_since`:
    since when its vendor says that it does not know it; 0 if it does."""

    number: int
    shards: int = 0
    state: JobState = JobState.SUBMITTING
    version: int = 0
    owner: str | None = None
    lease_until: int = 0
    attempt: int = 0
    asked_at: int = 0
    tries: int = 0
    due_at: int = 0
    provider: str | None = None
    model: str | None = None
    provider_job_id: str | None = None
    is_guess: bool = False
    strangers: tuple[str, ...] = ()
    submitted_at: int = 0
    stop_at: int = 0
    restarts: int = 0
    reason: str | None = None
    fence: Ending | None = None
    unheard: int = 0
    blocked: str | None = None
    blocked_since: int = 0
    answered: int | None = None
    ended_at: int = 0
    missing_since: int = 0

    @property
    def numbers(self) -> range:
        """The numbers of its shards."""
        return range(self.number, self.number + self.shards)

    @classmethod
    def from_row(cls, row: Row) -> JobRow:
        fields = known_fields(cls, row)
        fields["state"] = JobState(row.get("state", "submitting"))
        fields["strangers"] = tuple(row.get("strangers", ()))
        fields["fence"] = Ending(row["fence"]) if row.get("fence") else None
        return cls(**fields)

    @property
    def is_done(self) -> bool:
        return self.state is JobState.DONE


class JobHeld(BatchyardError):
    """Somebody else works on the job, or it is done. `row` says which."""

    def __init__(self, row: JobRow) -> None:
        super().__init__(f"job {row.number}: {row.state}, lease until {row.lease_until}")
        self.row = row


def is_due(row: JobRow | None, now: int) -> bool:
    """Whether somebody has to look at a job: it has no row yet, or waited long enough, or whoever held it died."""
    return row is None or (not row.is_done and row.due_at <= now and row.lease_until < now)


def job_name(deployment: str, ref: JobRef, attempt: int) -> str:
    """What the vendor is told, and where the vendor takes metadata, shows: which submission this is."""
    return f"batchyard:{deployment}:{ref.batch.batch_id}:{ref.number}:{attempt}"


def line_prefix(name: str) -> str:
    """What the ids of a submission's lines begin with, so that nobody takes another's results for its own. Ids have 64
    characters at most, letters, digits and hyphens (Anthropic)."""
    return hashlib.blake2b(name.encode(), digest_size=8).hexdigest()


def line_id(prefix: str, shard: int, position: int) -> str:
    return f"{prefix}-{shard}-{position}"


def read_line_id(prefix: str, line_id: str) -> tuple[int, int] | None:
    """(shard, position); None if it is no id of this submission."""
    found, _, rest = line_id.partition("-")
    shard, _, position = rest.partition("-")
    if found != prefix or not (shard.isdecimal() and position.isdecimal()):
        return None
    return int(shard), int(position)


def pack(shards: Sequence[Shard], limits: NativeLimits) -> list[range]:
    """The jobs that `shards`, which follow each other, make: whole shards, as many as a job takes. A shard that is
    larger than a job makes one of its own, which the vendor will refuse."""
    jobs: list[range] = []
    items = size = tokens = 0
    for shard in shards:
        items += shard.items
        size += job_bytes(shard)
        tokens += estimated_tokens(shard)
        fits = (
            items <= limits.max_items
            and size <= limits.max_bytes
            and (limits.max_enqueued_tokens is None or tokens <= limits.max_enqueued_tokens)
        )
        if jobs and fits:
            jobs[-1] = range(jobs[-1].start, shard.number + 1)
        else:
            jobs.append(range(shard.number, shard.number + 1))
            items, size, tokens = shard.items, job_bytes(shard), estimated_tokens(shard)
    return jobs


def job_bytes(shard: Shard) -> int:
    """How long the shard's items are as lines of a vendor's file, at most."""
    return shard.length + shard.items * _LINE_BYTES


def estimated_tokens(shard: Shard) -> int:
    """How many input tokens the shard's items have, roughly."""
    return shard.length // _BYTES_PER_TOKEN


def poll_wait_seconds(row: JobRow, usual_seconds: float | None, now: int, pace: float = 1.0) -> int:
    """Until the job is to be looked at again: often while it may end soon, seldom if such jobs usually take hours.
    `pace`: 1; less makes everything faster."""
    if row.state is JobState.STOPPING:
        wait = float(_STOPPING_POLL_SECONDS)
    else:
        running = max(0, now - row.submitted_at)
        steps = usual_seconds / _POLLS_PER_USUAL_TIME if usual_seconds else running / 4
        wait = min(max(_FIRST_POLL_SECONDS, steps), LONGEST_POLL_SECONDS)
    return max(1, round(wait * pace))


def restart_at(row: JobRow, usual_seconds: float | None, escalate_at: int, pace: float = 1.0) -> float:
    """When a job that still runs is stopped, so that another one does what is left of it: once it has taken far longer
    than such jobs do, or its share of the time. The time until `escalate_at` is divided evenly among as many jobs as
    may be tried, or as are probably done in what each of them gets; the vendor needs some of it to stop those before
    the last. Infinite if there is no time for another one, or if nobody knows how long such jobs take."""
    if usual_seconds is None:
        return math.inf
    usual = max(usual_seconds, _LEAST_USUAL_SECONDS * pace)
    for jobs in range(1 + _RESTARTS_AT_MOST - row.restarts, 1, -1):
        stops = (jobs - 1) * STOP_PATIENCE_SECONDS * pace
        each = (escalate_at - row.submitted_at - stops) / jobs
        if each >= _LIKELY_TIMES * usual:
            return row.submitted_at + min(each, _SLOW_TIMES * usual)
    return math.inf


def may_restart(usual_seconds: float | None, escalate_at: int, now: int, pace: float = 1.0) -> bool:
    """Whether there is still time for another job, once the one that was stuck has stopped."""
    usual = max(usual_seconds or 0.0, _LEAST_USUAL_SECONDS * pace)
    return now + usual <= escalate_at


def retry_wait_seconds(tries: int, asked_for: float | None, pace: float = 1.0) -> int:
    """Until a vendor that was in trouble is asked again."""
    wait = max(asked_for or 0.0, float(_FIRST_RETRY_SECONDS << min(max(tries - 1, 0), 8)))
    return max(1, round(min(wait, _LONGEST_RETRY_SECONDS) * pace))
