"""A survey: the lanes that open batches use, as operators look at them. How well each is, how fast it is called, and
which accounts share it in what proportion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from batchyard.core.accounts import AccountView
from batchyard.core.health import LaneHealth
from batchyard.core.lane_pace import SLOT_SECONDS, LanePace, WorkerReport, slot_of
from batchyard.core.lanes import LaneId


@dataclass(frozen=True, slots=True)
class AccountsPage:
    """A page of accounts as operators see them. `open_batches`: account id -> how many of its have not ended."""

    accounts: Sequence[AccountView]
    open_batches: Mapping[str, int]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class AccountShare:
    """What of a lane an account gets while all that have work there want more. `batches`: of its that workers run."""

    account_id: str
    weight: int
    batches: int
    percent: int


@dataclass(frozen=True, slots=True)
class SurveyedLane:
    """`calls_per_second`, `refused_per_second`: in the last slot that all workers have reported. `batches`: open ones
    that have it in their plan."""

    id: LaneId
    health: LaneHealth
    rate: float | None
    calls_per_second: float
    refused_per_second: float
    workers: int
    batches: int
    shares: tuple[AccountShare, ...]


@dataclass(frozen=True, slots=True)
class Survey:
    """`batches`: how many open ones were looked at; `is_complete`: there are no others."""

    lanes: tuple[SurveyedLane, ...]
    batches: int
    is_complete: bool


def surveyed(lane: LaneId, health: LaneHealth, pace: LanePace, batches: int, now: float) -> SurveyedLane:
    present = pace.present(now)
    slot = slot_of(now) - 2
    return SurveyedLane(
        id=lane,
        health=health,
        rate=pace.rate,
        calls_per_second=pace.good.get(slot, 0) / SLOT_SECONDS,
        refused_per_second=pace.refused.get(slot, 0) / SLOT_SECONDS,
        workers=len(present),
        batches=batches,
        shares=shares(present),
    )


def shares(workers: Mapping[str, WorkerReport]) -> tuple[AccountShare, ...]:
    """By account, the largest share first: accounts share a lane by their weights."""
    accounts = {batch_id: account for report in workers.values() for batch_id, account in report.batches.items()}
    weights = {account: weight for report in workers.values() for account, weight in report.weights.items()}
    batches = Counter(accounts.values())
    together = sum(weights.get(account, 1) for account in batches)
    found = [
        AccountShare(account, weights.get(account, 1), count, round(100 * weights.get(account, 1) / together))
        for account, count in batches.items()
    ]
    return tuple(sorted(found, key=lambda share: (-share.percent, share.account_id)))
