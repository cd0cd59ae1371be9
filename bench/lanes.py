"""Lanes with a limit and many workers, simulated (`simulation.yard`): how much of the limit is used, what that costs,
and who gets it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from bench.cost import bill
from simulation.yard import Yard

_LIMITS = {20: (1.0, 300), 200: (1.0, 300), 2_000: (0.3, 100)}
"""Calls a second that the provider takes -> how many seconds each takes, and for how many seconds there is work."""
_WORKERS = (1, 5, 20)
_WORKER_GB = 1.0
_DAY_SECONDS = 86_400

_SHARED_RATE = 200
_BIG, _SMALL = 1_000_000, 50
_SETTLED_SECONDS = 60
"""How long the big batch, or all accounts, run before anything is measured."""
_MEASURED_SECONDS = 120
_ACCOUNTS = 10
_BATCHES_OF_THE_FIRST = 5
_ITEMS_OF_EACH = 6_000


@dataclass(frozen=True, slots=True)
class LimitCase:
    """`rate`: calls a second that the provider takes; each takes `call_seconds`. There is work for `seconds`."""

    rate: int
    workers: int
    call_seconds: float
    seconds: int


@dataclass(frozen=True, slots=True)
class LimitRun:
    """`used`: part of the rate that got through; `refused`: part of the calls. `usd_per_million_items`: what the
    workers and their AWS calls cost, Dispatch and Settle included."""

    rate: int
    workers: int
    call_seconds: float
    items: int
    lost: int
    used: float
    refused: float
    gigabyte_seconds: float
    usd_per_million_items: float


@dataclass(frozen=True, slots=True)
class SmallRun:
    """A small batch beside a big one. Seconds are counted from the small one's validation."""

    beside: str
    workers: int
    first_call_seconds: float
    ended_seconds: float
    alone_seconds: float


@dataclass(frozen=True, slots=True)
class SharesRun:
    """The smallest and the largest share of an account, 1 being an equal one. The first account has several batches."""

    accounts: int
    workers: int
    first: float
    smallest: float
    largest: float


def limit_cases(*, quick: bool) -> list[LimitCase]:
    cases = [LimitCase(rate, workers, *rest) for rate, rest in _LIMITS.items() for workers in _WORKERS]
    return [LimitCase(case.rate, case.workers, case.call_seconds, 60) for case in cases[:3]] if quick else cases


def run_limit(case: LimitCase) -> LimitRun:
    """One batch that all workers may take shards of."""
    items = case.rate * case.seconds
    yard = Yard(case.rate, case.workers, case.call_seconds)
    yard.add("batch", items)
    yard.run(_DAY_SECONDS)
    yard.close()
    provider = yard.provider
    return LimitRun(
        case.rate,
        case.workers,
        case.call_seconds,
        items,
        lost=items - yard.tally.succeeded,
        used=items / yard.ended_at["batch"] / case.rate,
        refused=provider.refused / provider.received,
        gigabyte_seconds=yard.worker_seconds * _WORKER_GB,
        usd_per_million_items=bill(_meter(yard), items).usd_per_million_items,
    )


def run_small(workers: int, account_id: str) -> SmallRun:
    """Fifty items, once alone, once beside a million: `account_id` owns the small batch, "acct_a" the big one."""
    alone = Yard(_SHARED_RATE, workers)
    alone.add("small", _SMALL, account_id)
    alone.run(_DAY_SECONDS)
    alone.close()
    yard = Yard(_SHARED_RATE, workers)
    yard.add("big", _BIG)
    yard.run(_SETTLED_SECONDS)
    begun = yard.now
    yard.add("small", _SMALL, account_id)
    while "small" not in yard.ended_at and yard.now < begun + _DAY_SECONDS:
        yard.run(1)
    yard.close()
    return SmallRun(
        "the same account" if account_id == "acct_a" else "another account",
        workers,
        yard.provider.first_call_at.get("small", math.inf) - begun,
        yard.ended_at.get("small", math.inf) - begun,
        alone.ended_at["small"],
    )


def run_shares(workers: int) -> SharesRun:
    """Ten accounts that want everything, the first one with several batches."""
    yard = Yard(_SHARED_RATE, workers)
    for number in range(_ACCOUNTS):
        for batch in range(_BATCHES_OF_THE_FIRST if number == 0 else 1):
            yard.add(f"{number}x{batch}", _ITEMS_OF_EACH, f"acct_{number}")
    yard.run(_SETTLED_SECONDS)
    before = Counter(yard.provider.good)
    yard.run(_MEASURED_SECONDS)
    yard.close()
    by_account: Counter[int] = Counter()
    for batch_id, good in (yard.provider.good - before).items():
        by_account[int(batch_id.partition("x")[0])] += good
    shares = [by_account[number] / by_account.total() * _ACCOUNTS for number in range(_ACCOUNTS)]
    return SharesRun(_ACCOUNTS, workers, shares[0], min(shares), max(shares))


def _meter(yard: Yard) -> dict[str, Any]:
    """What the run used, as `local.meter` counts it. Every row and object counts as one unit; a message costs its
    sending, its part of a receive and its deletion."""
    calls = [(*call, count) for call, count in yard.aws_calls.items()]
    calls.append(("sqs", "SendMessageBatch", yard.queue.sent))
    calls.append(("sqs", "ReceiveMessage", yard.invocations))
    calls.append(("sqs", "DeleteMessageBatch", yard.invocations))
    return {
        "calls": [{"service": s, "operation": o, "calls": count, "units": count} for s, o, count in calls],
        "functions": {
            "work": {
                "invocations": yard.invocations,
                "billed_seconds": yard.worker_seconds,
                "gigabyte_seconds": yard.worker_seconds * _WORKER_GB,
                "init_seconds": 0.0,
            }
        },
        "api_requests": 0,
        "state_transitions": 0,
    }
