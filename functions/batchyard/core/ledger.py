"""The credits of an account: a balance, and the entries that it is the sum of.

    entry         available     reserved      charged
    ------------  ------------  ------------  ----------   ---------------------------------------------------------
    top_up        + amount                                 an operator has been paid, or takes a wrong top-up back
    reservation   - amount      + amount                   a batch is made or validated: what it may cost is set aside
    settlement    - the excess  - what it     + cost       the batch has ended: what was used is charged, out of what
                                  pays of it               was reserved; the excess is what was not
    release       + the rest    - the rest                 the same moment: the rest of the reservation is given back

So `available + reserved + charged` is what was topped up, and `reserved` is 0 while no batch runs. Entries are only
ever added. The id of an entry says what it is for, so that each is made once, and each is written in one transaction
with the change of the balance, and with what it is for: a batch that has ended is settled.

Money is counted in pico-dollars (`core/usage.py`), which never round.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields

from batchyard.core.errors import RateLimited, RequestError
from batchyard.core.fields import known_fields
from batchyard.core.json_types import Row
from batchyard.core.usage import decimal_usd

PICOUSD_PER_USD = 10**12
_BUSY_SECONDS = 2
_DOLLARS = re.compile(r"(-?)([0-9]{1,9})(?:\.([0-9]{1,12}))?")


class InsufficientCredits(RequestError):
    """402: a prepaid account does not have what a batch may cost."""

    status = 402
    type = "insufficient_credits"


class SpendLimitReached(RequestError):
    """402: the account has spent, or has set aside, what its operator lets it spend in a day."""

    status = 402
    type = "spend_limit_reached"


class EntryKind(enum.StrEnum):
    TOP_UP = "top_up"
    RESERVATION = "reservation"
    SETTLEMENT = "settlement"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Credits:
    """A balance, or the change of one. `available`: what new batches may reserve; below 0 it is owed. `reserved`: set
    aside for batches that run. `charged`: what batches that ended have cost."""

    available_picousd: int = 0
    reserved_picousd: int = 0
    charged_picousd: int = 0

    def __add__(self, other: Credits) -> Credits:
        return Credits(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def to_row(self) -> dict[str, int]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_row(cls, row: Row) -> Credits:
        return cls(**known_fields(cls, row))


@dataclass(frozen=True, slots=True)
class Entry:
    """`about`: the id of the batch, or the one that the operator gave a top-up. `at`: unix second."""

    kind: EntryKind
    about: str
    at: int
    change: Credits

    @property
    def id(self) -> str:
        """The entries of a batch stand together in a list."""
        return f"{self.about}#{self.kind}"

    @property
    def amount_picousd(self) -> int:
        match self.kind:
            case EntryKind.TOP_UP | EntryKind.RELEASE:
                return self.change.available_picousd
            case EntryKind.RESERVATION:
                return self.change.reserved_picousd
            case EntryKind.SETTLEMENT:
                return self.change.charged_picousd

    def to_row(self) -> Row:
        return {"kind": str(self.kind), "about": self.about, "at": self.at} | self.change.to_row()

    @classmethod
    def from_row(cls, row: Row) -> Entry:
        return cls(EntryKind(row["kind"]), row["about"], row["at"], Credits.from_row(row))


@dataclass(frozen=True, slots=True)
class Headroom:
    """What an account with a daily limit could still set aside when it was looked at. It holds as long as nothing is
    charged: a batch that ends moves what it cost from `reserved` to what was charged on the day."""

    limit_picousd: int
    charged_today_picousd: int
    balance: Credits

    @property
    def spent_picousd(self) -> int:
        return self.charged_today_picousd + self.balance.reserved_picousd

    def has_room_for(self, needed_picousd: int) -> bool:
        """Whether a batch may be taken on for which so much is reserved (0: that is not known yet)."""
        return self.spent_picousd < self.limit_picousd and self.spent_picousd + needed_picousd <= self.limit_picousd

    def most_reserved_before(self, needed_picousd: int) -> int:
        """What may be reserved by others if `needed_picousd` is to be added to it."""
        return self.limit_picousd - self.charged_today_picousd - needed_picousd


def top_up(top_up_id: str, amount_picousd: int, at: int) -> Entry:
    return Entry(EntryKind.TOP_UP, top_up_id, at, Credits(available_picousd=amount_picousd))


def reservation(batch_id: str, amount_picousd: int, at: int) -> Entry:
    change = Credits(available_picousd=-amount_picousd, reserved_picousd=amount_picousd)
    return Entry(EntryKind.RESERVATION, batch_id, at, change)


def settlement(batch_id: str, reserved_picousd: int, cost_picousd: int, at: int) -> tuple[Entry, ...]:
    """The entries of a batch that ends: empty if nothing was reserved and nothing used."""
    if not reserved_picousd and not cost_picousd:
        return ()
    from_reserved = min(reserved_picousd, cost_picousd)
    excess, rest = cost_picousd - from_reserved, reserved_picousd - from_reserved
    settled = Entry(EntryKind.SETTLEMENT, batch_id, at, Credits(-excess, -from_reserved, cost_picousd))
    if not rest:
        return (settled,)
    return settled, Entry(EntryKind.RELEASE, batch_id, at, Credits(rest, -rest))


def sum_of(entries: Iterable[Entry]) -> Credits:
    """The balance that these entries come to."""
    return sum((entry.change for entry in entries), Credits())


def read_dollars(text: str) -> int | None:
    """`"12.50"` -> 12_500_000_000_000 pico-dollars; None if it is no such number."""
    found = _DOLLARS.fullmatch(text.strip())
    if found is None:
        return None
    sign, whole, fraction = found.groups()
    picousd = int(whole) * PICOUSD_PER_USD + int((fraction or "").ljust(12, "0"))
    return -picousd if sign else picousd


def write_dollars(picousd: int) -> str:
    """With six decimals, rounded: for people."""
    return ("-" if picousd < 0 else "") + decimal_usd(abs(picousd))


def not_enough(available_picousd: int, needed_picousd: int) -> InsufficientCredits:
    """The refusal of a batch that may cost more than the account has."""
    return InsufficientCredits(
        f"This batch may cost {write_dollars(needed_picousd)} dollars, and the account has "
        f"{write_dollars(available_picousd)} available. Ask the operator of this deployment for credits, wait until "
        "running batches give back what they do not use, or send fewer requests or a smaller max_tokens.",
        code="insufficient_credits",
    )


def limit_reached(headroom: Headroom) -> SpendLimitReached:
    """The refusal of a batch that comes when the account has spent enough today."""
    return SpendLimitReached(
        f"The account may spend {write_dollars(headroom.limit_picousd)} dollars a day; "
        f"{write_dollars(headroom.spent_picousd)} are spent or reserved. Batches that run go on. Try again tomorrow "
        "(UTC), or ask the operator of this deployment.",
        code="spend_limit_reached",
    )


def too_busy() -> RateLimited:
    """The refusal of a batch that could not be held against the daily limit, because others ended at each attempt."""
    return RateLimited(
        "The account has a daily limit, and so many of its batches end at this moment that what is left of it could "
        "not be said. Nothing was made. Try again.",
        retry_after_seconds=_BUSY_SECONDS,
        code="spend_limit_busy",
    )
