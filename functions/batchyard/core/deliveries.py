"""A delivery: the event of one terminal batch on its way to one webhook, and the attempts to bring it there.

                ┌──────── a failed attempt, and tries are left ───────┐
                ▼                                                     │
    made ──▶ pending ──▶ an attempt, under a lease ──▶ 2xx ──▶ delivered
                ▲                                 └─▶ no try left ──▶ failed
                └───────────────── replay ──────────────────────────────┘

Eight tries within 24 hours: the waits between them are `WAITS_SECONDS`, each shortened by up to a fifth at random, so
that what failed together does not come back together. The id, and with it `webhook-id`, is the same for every attempt,
and so is the body, byte for byte: a receiver that has seen it can leave it.
"""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass, replace

from batchyard.core.fields import known_fields
from batchyard.core.ids import derive_id
from batchyard.core.json_types import Row
from batchyard.core.webhooks import WebhookStyle

MOST_TRIES = 8
WAITS_SECONDS = (60, 300, 1_800, 7_200, 14_400, 21_600, 39_600)
"""After the first try, the second …: 23.6 hours in all."""
KEPT_SECONDS = 30 * 86_400
LEASE_SECONDS = 60
"""How long an attempt holds others off. If its function dies, the delivery is due again then."""
_JITTER = 0.2
_ATTEMPTS_KEPT = 24
_LONGEST_SLOW_SECONDS = 900
_FIRST_SLOW_SECONDS = 30
_GIVEN_UP_AFTER_SECONDS = 86_400
OF_ACCOUNT = "account"
"""The `owner` of a delivery to the webhook of the account; else it is the batch's id."""


class DeliveryState(enum.StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class DeliveryProblem(enum.StrEnum):
    """Why an attempt came to nothing."""

    STATUS = "http_status"
    """An answer, and not 2xx. A redirect is one too: it is not followed."""
    TIMED_OUT = "timed_out"
    UNRESOLVED = "name_not_found"
    REFUSED = "address_refused"
    """The URL, or an address that its name leads to, is none that anything is delivered to."""
    CONNECTION = "connection_failed"
    TLS = "tls_failed"
    GARBAGE = "no_http_reply"
    REMOVED = "webhook_removed"
    OURS = "not_attempted"
    """A fault of this deployment."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one attempt came to. `at`: unix second. `status`: of the HTTP reply, if there was one; `reply`: how its body
    begins. `problem`: None if it was delivered."""

    at: int
    milliseconds: int = 0
    status: int | None = None
    problem: DeliveryProblem | None = None
    detail: str = ""
    reply: str = ""

    def to_row(self) -> Row:
        return asdict(self)

    @classmethod
    def from_row(cls, row: Row) -> Attempt:
        problem = row.get("problem")
        return cls(**known_fields(cls, row) | {"problem": DeliveryProblem(problem) if problem else None})


@dataclass(frozen=True, slots=True)
class DeliveryRef:
    account_id: str
    delivery_id: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """`due_at`: when it is to be tried (again). `tries`: since it was made or replayed; `version` moves with each
    write. `owner`: whose webhook it goes to."""

    id: str
    account_id: str
    batch_id: str
    owner: str
    event: str
    style: WebhookStyle
    url: str
    body: bytes
    created_at: int
    due_at: int
    give_up_at: int
    state: DeliveryState = DeliveryState.PENDING
    tries: int = 0
    replays: int = 0
    version: int = 0
    attempts: tuple[Attempt, ...] = ()
    """The last ones, oldest first."""

    @property
    def ref(self) -> DeliveryRef:
        return DeliveryRef(self.account_id, self.id)

    @property
    def is_pending(self) -> bool:
        return self.state is DeliveryState.PENDING

    def to_row(self) -> Row:
        row = {name: getattr(self, name) for name in Delivery.__slots__}
        return row | {
            "style": str(self.style),
            "state": str(self.state),
            "attempts": [attempt.to_row() for attempt in self.attempts],
            "ttl": max(self.created_at, self.due_at) + KEPT_SECONDS,
        }

    @classmethod
    def from_row(cls, row: Row) -> Delivery:
        read = {
            "style": WebhookStyle(row["style"]),
            "state": DeliveryState(row["state"]),
            "body": bytes(row["body"]),
            "attempts": tuple(Attempt.from_row(each) for each in row["attempts"]),
        }
        return cls(**known_fields(cls, row) | read)


def delivery_id(batch_id: str, owner: str) -> str:
    """Always the same for a batch and the owner of a webhook: there is one delivery, however often it is made."""
    return derive_id("evt_", batch_id, f"webhook of {owner}")


def new_give_up_at(now: int) -> int:
    return now + _GIVEN_UP_AFTER_SECONDS


def leased(delivery: Delivery, now: int, seconds: int = LEASE_SECONDS) -> Delivery:
    """The delivery while somebody attempts it: for `seconds` nobody else does."""
    return replace(delivery, due_at=now + seconds, version=delivery.version + 1)


def tried(delivery: Delivery, attempt: Attempt, now: int, random: float, pace: float = 1.0) -> Delivery:
    """The delivery after `attempt`. `random`: 0 to 1. `pace`: a factor for the waits. A wait that would outlast the day
    is cut short, so that what was put off for its receiver's sake is tried as often as anything else."""
    after = replace(
        delivery,
        tries=delivery.tries + 1,
        version=delivery.version + 1,
        attempts=(*delivery.attempts, attempt)[-_ATTEMPTS_KEPT:],
    )
    if attempt.problem is None:
        return replace(after, state=DeliveryState.DELIVERED, due_at=now)
    wait = wait_seconds(after.tries, random, pace)
    if wait is None or attempt.problem is DeliveryProblem.REMOVED or now >= delivery.give_up_at:
        return replace(after, state=DeliveryState.FAILED, due_at=now)
    return replace(after, due_at=min(now + wait, delivery.give_up_at))


def wait_seconds(tries: int, random: float, pace: float = 1.0) -> int | None:
    """How long to wait after so many tries; None after the last one."""
    if tries >= MOST_TRIES:
        return None
    return round(WAITS_SECONDS[tries - 1] * (1 - _JITTER * random) * pace)


def postponed(delivery: Delivery, until: int, random: float) -> Delivery | None:
    """The delivery, put off without a try because its receiver lets others wait until unix second `until`. None if it
    cannot wait that long."""
    due_at = until + round(random * _FIRST_SLOW_SECONDS)
    return replace(delivery, due_at=due_at, version=delivery.version + 1) if due_at < delivery.give_up_at else None


def replayed(delivery: Delivery, now: int) -> Delivery:
    """The delivery once somebody has asked for it again: due now, with all its tries."""
    return replace(
        delivery,
        state=DeliveryState.PENDING,
        due_at=now,
        give_up_at=new_give_up_at(now),
        tries=0,
        replays=delivery.replays + 1,
        version=delivery.version + 1,
    )


def slow_seconds(times: int) -> int:
    """How long a receiver that has let us wait `times` times in a row is left alone by other deliveries."""
    return int(min(_LONGEST_SLOW_SECONDS, _FIRST_SLOW_SECONDS << min(times, 10)))
