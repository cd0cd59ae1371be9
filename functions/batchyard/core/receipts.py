"""A receipt: what a batch has cost so far, which lanes its items were given to, and which its quote had rejected."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from batchyard.core.batches import Batch
from batchyard.core.jobs import JobRow
from batchyard.core.lanes import Lane
from batchyard.core.quotes import Quote, QuotedLane
from batchyard.core.shards import ShardRow
from batchyard.core.usage import Tally, Usage


@dataclass(frozen=True, slots=True)
class RanLane:
    """`items`: that were given to it; `tally`: of those of their shards that have results."""

    lane: Lane
    items: int
    tally: Tally


@dataclass(frozen=True, slots=True)
class Receipt:
    """`charged_picousd`: what the items that are done have cost; final if the batch `is_settled`. `reserved_picousd`:
    what its account had set aside for it, of which the rest was released when it ended. `unheard_items`: that provider
    jobs took and said nothing of. `lost_owners`: workers that were never heard of again. Both may have had answers that
    their provider bills, and that are not among the results; the items were run again, or their batch was over."""

    is_settled: bool
    quote_id: str | None
    reserved_picousd: int
    charged_picousd: int
    released_picousd: int
    realtime_picousd: int
    usage: Usage
    ran: tuple[RanLane, ...]
    rejected: tuple[QuotedLane, ...]
    unheard_items: int = 0
    lost_owners: int = 0


def receipt_of(
    batch: Batch, quote: Quote | None, rows: Iterable[ShardRow] = (), jobs: Iterable[JobRow] = ()
) -> Receipt:
    """`quote`: the one that the batch was made from; `rows`: of its shards; `jobs`: of its provider jobs. What was
    moved to another lane counts there with all its results."""
    items: Counter[Lane] = Counter()
    tallies: defaultdict[Lane, Tally] = defaultdict(Tally)
    lost_owners = 0
    if batch.plan is not None:
        for entry in batch.plan.lanes:
            items[entry.lane] += entry.items
        for row in rows:
            tallies[batch.plan.lane_of(row.number).lane] += row.tally
            lost_owners += row.lost_owners
    tally = batch.tally
    return Receipt(
        is_settled=batch.status.is_terminal,
        quote_id=batch.quote_id,
        reserved_picousd=batch.reserved_picousd,
        charged_picousd=tally.cost_picousd,
        released_picousd=max(0, batch.reserved_picousd - tally.cost_picousd) if batch.status.is_terminal else 0,
        realtime_picousd=tally.realtime_picousd,
        usage=tally.usage,
        ran=tuple(RanLane(lane, count, tallies[lane]) for lane, count in items.items()),
        rejected=tuple(each for each in quote.lanes if not each.is_selected and each.lane not in items)
        if quote
        else (),
        unheard_items=sum(job.unheard for job in jobs),
        lost_owners=lost_owners,
    )
