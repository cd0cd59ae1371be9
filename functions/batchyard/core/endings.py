"""Endings: how a batch ends, decided by what its rows say and what was asked for.

The state machine asks for an ending when a run stops: every shard has settled (completed), somebody cancelled the batch
(cancelled), its completion window ended (expired), it may not cost more (price_reached), or it cannot go on (failed).
Between that moment and Finalize the
batch may move on, and executions may die and be started again, so Finalize decides by the rows:

    the rows say                              asked for                  ending
    ----------------------------------------  -------------------------  ---------------------------------------
    a shard is still open, none was sealed    completed                  none: BooksDoNotBalance
    the batch is cancelling                   anything                   cancelled
    the batch is doomed                       anything                   failed, for the reason in its `errors`
    it has no plan                            completed                  none: BooksDoNotBalance
    a shard was sealed for an ending          completed                  that ending: the run was stopped before
    every shard has settled                   expired, price_reached     completed: there was enough of it
    it has not reached its price limit        price_reached              none: BooksDoNotBalance
    anything else                             expired, failed,           as asked
                                              price_reached
    anything else                             cancelled                  none: BooksDoNotBalance
"""

from __future__ import annotations

from collections.abc import Mapping

from batchyard.core.batches import Batch, Ending, Status
from batchyard.core.errors import BooksDoNotBalance
from batchyard.core.items import LineError
from batchyard.core.results import Outcome
from batchyard.core.sharding import Plan
from batchyard.core.shards import ShardRow, ShardState

Rows = Mapping[int, ShardRow]
"""The rows of a batch's shards by number. A shard that nobody has claimed, fenced or sealed has none."""

_FAULT = LineError(
    "batch_failed", "The batch stopped because of an internal fault. Finished requests keep their results."
)
_LOST = LineError(
    "batch_failed", "The batch stopped because of an internal fault, and its results cannot be published."
)
_OUTCOMES = {
    Ending.CANCELLED: Outcome.CANCELLED,
    Ending.EXPIRED: Outcome.EXPIRED,
    Ending.FAILED: Outcome.FAILED,
    Ending.COMPLETED: Outcome.FAILED,
    Ending.PRICE_REACHED: Outcome.FAILED,
}


def ending_of(batch: Batch, rows: Rows, asked: Ending) -> Ending:
    """How a batch that is not over ends, by the table above. Raises BooksDoNotBalance if it must not end so."""
    stopped_for = _stopped_for(rows)
    if asked is Ending.COMPLETED and stopped_for is None and batch.plan is not None:
        _require_settled(batch.id, batch.plan, rows)
    if batch.status is Status.CANCELLING:
        return Ending.CANCELLED
    if batch.is_doomed:
        return Ending.FAILED
    if asked is Ending.COMPLETED:
        if batch.plan is None:
            raise BooksDoNotBalance(f"{batch.id} cannot be completed without a plan")
        ending = stopped_for or Ending.COMPLETED
    elif asked in (Ending.EXPIRED, Ending.PRICE_REACHED) and batch.plan is not None and _all_settled(batch.plan, rows):
        ending = Ending.COMPLETED
    else:
        ending = asked
    if ending is Ending.CANCELLED:
        raise BooksDoNotBalance(f"{batch.id} is {batch.status} and cannot end as cancelled")
    if ending is Ending.PRICE_REACHED and not batch.price_reached:
        raise BooksDoNotBalance(f"{batch.id} has not reached its price limit")
    return ending


def asked_of(batch: Batch) -> Ending:
    """The ending that a batch's execution is asked for when it is woken: what its row calls for, else completed."""
    if batch.status is Status.CANCELLING:
        return Ending.CANCELLED
    if batch.is_doomed:
        return Ending.FAILED
    return Ending.PRICE_REACHED if batch.price_reached else Ending.COMPLETED


def errors_of(batch: Batch, ending: Ending, *, results_lost: bool = False) -> tuple[LineError, ...]:
    """Why the batch ends so, as its customer reads it. `results_lost`: its results cannot be published."""
    if results_lost:
        return (*batch.errors, _LOST)
    return batch.errors or ((_FAULT,) if ending is Ending.FAILED else ())


def outcome_of_the_rest(ending: Ending) -> Outcome:
    """The outcome of the items that were never finished."""
    return _OUTCOMES[ending]


def open_shards(plan: Plan, rows: Rows) -> list[int]:
    """The shards that are neither settled nor sealed."""
    return [number for number in range(plan.shards) if number not in rows or rows[number].state is ShardState.OPEN]


def _stopped_for(rows: Rows) -> Ending | None:
    """The ending for which an earlier run, whose execution then died, sealed a shard."""
    return next((row.fence for row in rows.values() if row.state is ShardState.SEALED and row.fence), None)


def _require_settled(batch_id: str, plan: Plan, rows: Rows) -> None:
    if unsettled := open_shards(plan, rows):
        raise BooksDoNotBalance(f"{batch_id} is complete, yet {len(unsettled)} shards are not, first: {unsettled[0]}")


def _all_settled(plan: Plan, rows: Rows) -> bool:
    return sum(row.state is ShardState.SETTLED for row in rows.values()) == plan.shards
