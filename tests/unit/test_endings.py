"""Endings: how a batch ends, by its status, its shards' rows, and what was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from batchyard.core.batches import Batch, Ending, Status
from batchyard.core.endings import asked_of, ending_of, errors_of, open_shards, outcome_of_the_rest
from batchyard.core.errors import BooksDoNotBalance
from batchyard.core.items import LineError
from batchyard.core.lanes import Lane
from batchyard.core.results import Outcome
from batchyard.core.sharding import LaneShards, Plan
from batchyard.core.shards import ShardRow, ShardState

COMPLETED, CANCELLED, EXPIRED, FAILED = Ending.COMPLETED, Ending.CANCELLED, Ending.EXPIRED, Ending.FAILED
PRICE_REACHED = Ending.PRICE_REACHED
SHARDS = 2
DELETED = LineError("input_file_deleted", "It is gone.")


def batch(status: Status, *, doomed: bool = False, planned: bool = True) -> Batch:
    plan = Plan("run", 4, SHARDS, (LaneShards(Lane("openai", "m"), 0, SHARDS, 4),), 1, False, None)
    return Batch(
        "batch_1",
        "acct_a",
        "openai",
        "/v1/embeddings",
        "file-1",
        "24h",
        status,
        0,
        86_400,
        errors=(DELETED,) if doomed else (),
        plan=plan if planned else None,
    )


def rows(states: Sequence[str], fence: Ending | None = None) -> dict[int, ShardRow]:
    """`states`: of each shard; "-": nobody has touched it. `fence`: what the sealed ones were sealed for."""
    return {
        number: ShardRow(number, state=ShardState(state), fence=fence if state == "sealed" else None)
        for number, state in enumerate(states)
        if state != "-"
    }


RUNNING, LAST, CANCELLING = batch(Status.IN_PROGRESS), batch(Status.FINALIZING), batch(Status.CANCELLING)
DOOMED, DOOMED_LATE = batch(Status.IN_PROGRESS, doomed=True), batch(Status.FINALIZING, doomed=True)
UNPLANNED, UNPLANNED_CANCELLING = batch(Status.VALIDATING, planned=False), batch(Status.CANCELLING, planned=False)
DEAR = replace(RUNNING, price_reached=True)
SETTLED, HALF, NONE = rows(["settled", "settled"]), rows(["settled", "open"]), rows(["-", "-"])


@pytest.mark.parametrize(
    ("found", "shards", "asked", "ending"),
    [
        # every shard has settled
        (RUNNING, SETTLED, COMPLETED, COMPLETED),
        (LAST, SETTLED, COMPLETED, COMPLETED),
        (RUNNING, SETTLED, EXPIRED, COMPLETED),
        (RUNNING, SETTLED, FAILED, FAILED),
        # stopped on the way
        (RUNNING, HALF, EXPIRED, EXPIRED),
        (RUNNING, NONE, EXPIRED, EXPIRED),
        (RUNNING, HALF, FAILED, FAILED),
        (DEAR, HALF, PRICE_REACHED, PRICE_REACHED),
        (DEAR, SETTLED, PRICE_REACHED, COMPLETED),
        (DEAR, HALF, EXPIRED, EXPIRED),
        (DEAR, rows(["settled", "sealed"], PRICE_REACHED), COMPLETED, PRICE_REACHED),
        (LAST, rows(["settled", "sealed"], EXPIRED), EXPIRED, EXPIRED),
        # an execution took over from one that had sealed
        (LAST, rows(["settled", "sealed"], EXPIRED), COMPLETED, EXPIRED),
        (LAST, rows(["sealed", "open"], FAILED), COMPLETED, FAILED),
        (LAST, rows(["settled", "sealed"], EXPIRED), FAILED, FAILED),
        # cancelled: whatever was asked for
        (CANCELLING, HALF, CANCELLED, CANCELLED),
        (CANCELLING, SETTLED, COMPLETED, CANCELLED),
        (CANCELLING, HALF, EXPIRED, CANCELLED),
        (CANCELLING, HALF, FAILED, CANCELLED),
        (UNPLANNED_CANCELLING, {}, CANCELLED, CANCELLED),
        (UNPLANNED_CANCELLING, {}, COMPLETED, CANCELLED),
        # cancelled after it was doomed: the cancel wins
        (batch(Status.CANCELLING, doomed=True), HALF, CANCELLED, CANCELLED),
        # doomed: whatever was asked for
        (DOOMED, HALF, FAILED, FAILED),
        (DOOMED, SETTLED, COMPLETED, FAILED),
        (DOOMED_LATE, SETTLED, COMPLETED, FAILED),
        (DOOMED, HALF, EXPIRED, FAILED),
        (DOOMED, HALF, CANCELLED, FAILED),
        # never validated
        (UNPLANNED, {}, EXPIRED, EXPIRED),
        (UNPLANNED, {}, FAILED, FAILED),
    ],
)
def test_the_ending_of_a_batch(found: Batch, shards: dict[int, ShardRow], asked: Ending, ending: Ending) -> None:
    """Status and doom come before what was asked for; the shards correct `completed` and `expired`."""
    assert ending_of(found, shards, asked) is ending


@pytest.mark.parametrize(
    ("found", "shards", "asked"),
    [
        (RUNNING, HALF, COMPLETED),
        (RUNNING, NONE, COMPLETED),
        (CANCELLING, HALF, COMPLETED),
        (DOOMED, HALF, COMPLETED),
        (UNPLANNED, {}, COMPLETED),
        (RUNNING, HALF, CANCELLED),
        (RUNNING, HALF, PRICE_REACHED),
        (LAST, SETTLED, CANCELLED),
        (UNPLANNED, {}, CANCELLED),
        (LAST, rows(["settled", "sealed"], CANCELLED), COMPLETED),
    ],
)
def test_an_ending_that_must_not_be(found: Batch, shards: dict[int, ShardRow], asked: Ending) -> None:
    """Nobody completes a batch with an open shard, and nobody cancels one that its customer has not cancelled."""
    with pytest.raises(BooksDoNotBalance):
        ending_of(found, shards, asked)


@pytest.mark.parametrize(
    ("found", "asked"),
    [
        (RUNNING, COMPLETED),
        (LAST, COMPLETED),
        (CANCELLING, CANCELLED),
        (DOOMED, FAILED),
        (DOOMED_LATE, FAILED),
        (DEAR, PRICE_REACHED),
        (replace(DOOMED, price_reached=True), FAILED),
    ],
)
def test_what_an_execution_is_woken_for(found: Batch, asked: Ending) -> None:
    """The batch's row says it: a cancel, a doom, else that all has settled."""
    assert asked_of(found) is asked


def test_the_errors_a_batch_ends_with() -> None:
    """A doomed batch keeps its reason; a failed one without a reason gets one; lost results are said so."""
    assert errors_of(RUNNING, COMPLETED) == errors_of(RUNNING, EXPIRED) == errors_of(CANCELLING, CANCELLED) == ()
    assert errors_of(DOOMED, FAILED) == (DELETED,)
    assert [error.code for error in errors_of(RUNNING, FAILED)] == ["batch_failed"]
    assert [error.code for error in errors_of(DOOMED, FAILED, results_lost=True)] == [
        "input_file_deleted",
        "batch_failed",
    ]
    assert "cannot be published" in errors_of(RUNNING, FAILED, results_lost=True)[0].message


def test_what_was_never_finished_says_how_the_batch_ended() -> None:
    """One outcome for each ending that leaves something unfinished."""
    assert [outcome_of_the_rest(each) for each in (CANCELLED, EXPIRED, FAILED, PRICE_REACHED)] == [
        Outcome.CANCELLED,
        Outcome.EXPIRED,
        Outcome.FAILED,
        Outcome.FAILED,
    ]


def test_open_shards_are_those_that_can_still_change() -> None:
    """Also a shard that nobody has touched yet."""
    assert open_shards(RUNNING.plan or pytest.fail("no plan"), rows(["-", "sealed"])) == [0]
    assert open_shards(RUNNING.plan or pytest.fail("no plan"), SETTLED) == []


def test_every_ending_is_a_terminal_status() -> None:
    """And each terminal status is an ending: nothing else ends a batch."""
    assert {ending.status for ending in Ending} == {status for status in Status if status.is_terminal}
    for ending in Ending:
        ended = replace(batch(ending.status), price_reached=ending is PRICE_REACHED)
        assert ended.ending is ending
    assert RUNNING.ending is None
