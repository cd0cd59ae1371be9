"""A shard's row: who works on it, what is done, where its results are.

                 claim (owner, lease, version + 1)              flush: names a part, in the same write
     (no row) ──────────────────────────────────▶ open ──────────────────────────────────▶ open
         │                                         │  │  last flush
         │                                         │  └─────────────▶ settled   every item has its result
         └──────────────── seal ───────────────────┴────────────────▶ sealed    batch over: what is done stays

A *fence* asks the owner to stop: nobody may claim any more, the owner may flush what it holds. A *seal* shuts the
owner out. `version` is the fencing token: each write of an owner names the version of its claim.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from batchyard.core.batches import Ending
from batchyard.core.errors import BatchyardError
from batchyard.core.json_types import Row
from batchyard.core.usage import Tally


class ShardState(enum.StrEnum):
    OPEN = "open"
    SETTLED = "settled"
    SEALED = "sealed"


@dataclass(frozen=True, slots=True)
class ShardRow:
    """`lease_until`: unix second, 0 when nobody holds it. `attempts`: claims since the last flush. `begun`: how many of
    them went on to run items, without the first one, of which that is not known. `done`: a bitmap by position within
    the shard. `fence`: the ending that the batch was stopped for. `suspect`: the position that an owner
    which ran one item at a time was running when it was last heard of; `suspicions`: how many owners in a row were last
    heard of there. `handed_back`: how many owners gave it back with nothing in flight. `settled_at`: when it settled; 0
    if it has not, or an older version wrote it. `first_call_at`: when the first call of its items began, known from its
    first flush on; 0 if there was none.
    """

    number: int
    state: ShardState = ShardState.OPEN
    version: int = 0
    owner: str | None = None
    lease_until: int = 0
    attempts: int = 0
    begun: int = 0
    done: bytes = b""
    parts: tuple[str, ...] = ()
    tally: Tally = field(default_factory=Tally)
    fence: Ending | None = None
    suspect: int | None = None
    suspicions: int = 0
    settled_at: int = 0
    handed_back: int = 0
    first_call_at: int = 0

    @property
    def lost_owners(self) -> int:
        """How many owners neither settled the shard nor gave it back: they were never heard of again, or sealed out,
        and may have left calls whose answers nobody has. `version` counts all owners, and the seal."""
        claims = self.version - (self.state is ShardState.SEALED)
        has_owner = self.state is ShardState.SETTLED or (self.state is ShardState.OPEN and self.lease_until > 0)
        return max(0, claims - self.handed_back - has_owner)

    @classmethod
    def from_row(cls, row: Row) -> ShardRow:
        return cls(
            number=row["number"],
            state=ShardState(row.get("state", "open")),
            version=row.get("version", 0),
            owner=row.get("owner"),
            lease_until=row.get("lease_until", 0),
            attempts=row.get("attempts", 0),
            begun=row.get("begun", 0),
            done=row.get("done", b""),
            parts=tuple(row.get("parts", ())),
            tally=Tally.from_row(row),
            fence=Ending(row["fence"]) if row.get("fence") else None,
            suspect=row.get("suspect"),
            suspicions=row.get("suspicions", 0),
            settled_at=row.get("settled_at", 0),
            handed_back=row.get("handed_back", 0),
            first_call_at=row.get("first_call_at", 0),
        )


LOST_AFTER_SECONDS = 5
"""How long after the end of its lease an owner counts as lost. Within them whoever waits for the lease claims it: a
message that was refused comes back a second after it."""


def is_free(row: ShardRow) -> bool:
    """Whether anybody may claim the shard and nobody has it: handed back, or its lease was taken away."""
    return row.state is not ShardState.SEALED and row.fence is None and row.lease_until == 0


def owner_is_lost(row: ShardRow, now: int) -> bool:
    """Whether the shard has to be sent again: its owner let the lease end, and nobody claimed it since. Of a settled
    shard, whose results count but may not be reported, the same is true. A shard that was handed back (no lease) has a
    message on its way, a fenced or sealed one needs none."""
    may_be_sent = row.state is not ShardState.SEALED and row.fence is None
    return may_be_sent and 0 < row.lease_until < now - LOST_AFTER_SECONDS


class ClaimRefused(BatchyardError):
    """The shard cannot be claimed. `row` says why."""

    def __init__(self, row: ShardRow) -> None:
        super().__init__(f"shard {row.number}: {row.state}, fence {row.fence}, lease until {row.lease_until}")
        self.row = row


class ShardSettled(ClaimRefused):
    """Every item of it has its result already."""


class ShardFenced(ClaimRefused):
    """The batch is being cancelled or has expired (also: sealed)."""


class LeaseHeld(ClaimRefused):
    """Another owner works on it until `row.lease_until`."""


def is_done(done: bytes, position: int) -> bool:
    return position >> 3 < len(done) and bool(done[position >> 3] >> (position & 7) & 1)


def mark_done(done: bytes, positions: list[int], items: int) -> bytes:
    """`done` with `positions` added, as a bitmap of `items` bits."""
    bits = bytearray(done.ljust((items + 7) // 8, b"\0"))
    for position in positions:
        bits[position >> 3] |= 1 << (position & 7)
    return bytes(bits)


def done_count(done: bytes) -> int:
    return int.from_bytes(done, "big").bit_count()
