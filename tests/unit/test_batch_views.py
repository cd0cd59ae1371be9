"""What the dashboard shows of a batch, derived from its rows: rates, lanes, timeline, throughput, usage, shares."""

from __future__ import annotations

from dataclasses import replace

import pytest

from batchyard.core.batch_views import (
    LifeEvent,
    Moment,
    bucket_seconds,
    full_view,
    listed_view,
    throughput_of,
    timeline_of,
)
from batchyard.core.batches import Batch, Status
from batchyard.core.item_views import ItemError, item_view
from batchyard.core.jobs import JobRow, JobState
from batchyard.core.lane_pace import WorkerReport
from batchyard.core.lanes import Lane, LaneStage, Mode
from batchyard.core.results import Outcome, StoredResult
from batchyard.core.sharding import LaneShards, Left, Plan
from batchyard.core.shards import ShardRow, ShardState
from batchyard.core.survey import shares
from batchyard.core.usage import Tally
from batchyard.core.usage_days import DayUsage, usage_view
from batchyard.core.waits import Wait, WaitState

NOW = 1_800_000_000
REALTIME, NATIVE, OTHER = Lane("openai", "m"), Lane("openai", "m", Mode.NATIVE), Lane("groq", "m")


def batch(status: Status = Status.IN_PROGRESS, tally: Tally | None = None, **times: int) -> Batch:
    """A batch of 100 items in a native and a realtime lane, begun a hundred seconds ago."""
    lanes = (LaneShards(NATIVE, 0, 1, 40), LaneShards(REALTIME, 1, 2, 60))
    made = Batch("batch_1", "acct_1", "openai", "/v1/embeddings", "file-1", "24h", status, NOW - 105, NOW + 900)
    plan = Plan("run", 100, 3, lanes, 4, False, None)
    return replace(made, plan=plan, tally=tally or Tally(), status_times={"in_progress": NOW - 100} | times)


def test_a_rate_is_what_was_run_since_validation() -> None:
    """And tells when the rest will be done, while the batch is in progress; nothing is told before anything is done."""
    view = listed_view(batch(tally=Tally(succeeded=18, failed=2)), {}, NOW)
    assert (view.items_per_second, view.expected_end_at) == (0.2, NOW + 400)
    fresh = listed_view(batch(), {}, NOW)
    assert (fresh.items_per_second, fresh.expected_end_at) == (None, None)


def test_a_rate_ends_with_the_batch() -> None:
    """What was never run does not count, nor does the time after the last result."""
    over = batch(Status.EXPIRED, Tally(succeeded=50, expired=50), finalizing=NOW - 50, expired=NOW - 40)
    view = listed_view(over, {}, NOW)
    assert (view.items_per_second, view.expected_end_at) == (1.0, None)
    assert [(each.stage, each.done_items) for each in view.lanes] == [(LaneStage.DONE, 40), (LaneStage.DONE, 60)]


def test_a_life_is_told_in_order() -> None:
    """Validation, jobs, a failover, a wait that goes on, the deadline, the end: each once, oldest first."""
    running = batch()
    assert running.plan is not None
    left = Left(REALTIME, "trouble", NOW - 30)
    entries = (running.plan.lanes[0], LaneShards(OTHER, 1, 1, 30, left=left), LaneShards(OTHER, 2, 1, 30, left=left))
    wait = Wait("groq", "m", WaitState.BLOCKED, NOW - 20, "people have to act")
    told = replace(running, plan=replace(running.plan, lanes=entries), waiting_for=(wait,))
    jobs = {
        0: JobRow(
            0, 1, JobState.RUNNING, provider="openai", model="m", submitted_at=NOW - 90, provider_job_id="batch_abc"
        )
    }
    events = timeline_of(replace(told, status_times=told.status_times | {"cancelling": NOW - 10}), jobs)
    assert [(event.at - NOW, event.moment) for event in events] == [
        (-105, Moment.CREATED),
        (-100, Moment.VALIDATED),
        (-90, Moment.JOB_SUBMITTED),
        (-30, Moment.FAILED_OVER),
        (-20, Moment.WAITING),
        (-10, Moment.CANCELLING),
        (900, Moment.DEADLINE),
    ]
    assert (events[2].lane, events[2].detail, events[3].reason) == (NATIVE, "batch_abc", "trouble")
    ended = timeline_of(batch(Status.COMPLETED, completed=NOW), {})
    assert [event.detail for event in ended if event.moment is Moment.ENDED] == ["completed"]


def test_what_a_job_did_is_shown_as_native_when_it_is_over() -> None:
    """Items that a job left ran in realtime, and the plan says so ever since: where they came from, and that a job was
    submitted for them in native mode, is told from the job's row."""
    over = batch(Status.COMPLETED, Tally(succeeded=100), completed=NOW)
    assert over.plan is not None
    moved = replace(over, plan=replace(over.plan, lanes=(LaneShards(REALTIME, 0, 1, 40), over.plan.lanes[1])))
    row = JobRow(0, 1, JobState.DONE, provider="openai", model="m", submitted_at=NOW - 90, reason="late")
    view = full_view(moved, {0: row}, NOW)
    assert [(each.lane, each.moved_from, each.reason, each.stage, each.done_items) for each in view.lanes] == [
        (REALTIME, Mode.NATIVE, "late", LaneStage.DONE, 40),
        (REALTIME, None, None, LaneStage.DONE, 60),
    ]
    assert [event.lane for event in view.timeline if event.moment is Moment.JOB_SUBMITTED] == [NATIVE]


@pytest.mark.parametrize(
    ("seconds", "width"), [(0, 1), (119, 1), (120, 2), (1199, 10), (3600, 60), (86_400, 1800), (10**7, 84_034)]
)
def test_a_chart_never_has_too_many_points(seconds: int, width: int) -> None:
    """However long the batch ran."""
    assert bucket_seconds(seconds) == width
    assert seconds // width + 1 <= 120


def test_throughput_counts_settled_shards_only() -> None:
    """In the bucket in which they settled; what an older version settled without saying when is left out."""
    rows = [
        ShardRow(0, ShardState.SETTLED, tally=Tally(succeeded=39, failed=1), settled_at=NOW - 100),
        ShardRow(1, ShardState.SETTLED, tally=Tally(succeeded=30), settled_at=NOW - 2),
        ShardRow(2, ShardState.OPEN, tally=Tally(succeeded=5)),
    ]
    chart = throughput_of(batch(), rows, NOW)
    assert (chart.start, chart.bucket_seconds, len(chart.done)) == (NOW - 100, 1, 101)
    assert (chart.done[0], chart.failed[0], chart.done[98], sum(chart.done)) == (40, 1, 30, 70)
    over = throughput_of(batch(Status.COMPLETED, completed=NOW - 1), rows, NOW + 10**6)
    assert (over.bucket_seconds, len(over.done)) == (1, 99)
    assert throughput_of(batch(), [], NOW).done == (0,) * 101


def test_first_calls_and_results_are_events_of_a_life() -> None:
    """The first call of all workers, also while its shard has no result yet, and the first shard that has all."""
    told = batch()
    rows = [
        ShardRow(0, ShardState.OPEN, first_call_at=NOW - 99),
        ShardRow(1, ShardState.SETTLED, tally=Tally(succeeded=30), settled_at=NOW - 70, first_call_at=NOW - 95),
        ShardRow(2, ShardState.SETTLED, tally=Tally(succeeded=30), settled_at=NOW - 60),
    ]
    assert [(each.at, each.moment) for each in throughput_of(told, rows, NOW).timeline] == [
        (NOW - 99, Moment.FIRST_CALL),
        (NOW - 70, Moment.FIRST_RESULTS),
    ]
    assert [each.moment for each in throughput_of(told, rows[:1], NOW).timeline] == [Moment.FIRST_CALL]
    assert throughput_of(told, [], NOW).timeline == ()


def test_a_job_that_is_over_says_what_it_did() -> None:
    """Also if it left items to others: on the lane that the vendor took it on, with the reason; not before that."""
    told = batch()
    assert told.plan is not None
    moved = replace(told, plan=replace(told.plan, lanes=(LaneShards(REALTIME, 0, 1, 40), *told.plan.lanes[1:])))
    row = JobRow(0, 1, JobState.COLLECTING, provider="openai", model="m", submitted_at=NOW - 90, reason="late")
    ended = replace(row, state=JobState.DONE, answered=25, ended_at=NOW - 10)
    assert Moment.JOB_ENDED not in [event.moment for event in timeline_of(moved, {0: row})]
    (event,) = [event for event in timeline_of(moved, {0: ended}) if event.moment is Moment.JOB_ENDED]
    assert event == LifeEvent(NOW - 10, Moment.JOB_ENDED, NATIVE, "late", "25 of 40 items")
    lanes = full_view(replace(moved, status=Status.COMPLETED), {0: ended}, NOW).lanes
    assert [(each.lane, each.moved_from, each.items, each.done_items) for each in lanes[:2]] == [
        (NATIVE, None, 25, 25),
        (REALTIME, Mode.NATIVE, 15, 15),
    ]


def test_usage_adds_up_by_day_and_by_model() -> None:
    """A day and a model may have several rows."""
    counted = [
        DayUsage("2026-11-02", "a", 1, Tally(succeeded=1, cost_picousd=5)),
        DayUsage("2026-11-01", "b", 1, Tally(failed=2, cost_picousd=9)),
        DayUsage("2026-11-02", "a", 2, Tally(succeeded=3, cost_picousd=1)),
        DayUsage("2026-11-02", None, 1, Tally(succeeded=7)),
    ]
    usage = usage_view(counted)
    assert [(each.day, each.batches, each.tally.items) for each in usage.days] == [
        ("2026-11-01", 1, 2),
        ("2026-11-02", 4, 11),
    ]
    assert [(each.model, each.batches) for each in usage.models] == [("b", 1), ("a", 3), (None, 1)]


def test_accounts_share_a_lane_by_their_weights() -> None:
    """Whatever number of batches and workers each has; a lane that nobody works on has no shares."""
    workers = {
        "one": WorkerReport(NOW, NOW, {"b1": "acct_a", "b2": "acct_a"}, NOW, {"acct_b": 3}),
        "two": WorkerReport(NOW, NOW, {"b2": "acct_a", "b3": "acct_b"}, NOW, {"acct_b": 3}),
    }
    found = shares(workers)
    assert [(each.account_id, each.batches, each.percent) for each in found] == [("acct_b", 1, 75), ("acct_a", 2, 25)]
    assert shares({}) == ()


ANSWERS = [
    (b'{"error":{"message":"no","type":"t","code":"c"}}', ItemError("c", "no")),
    (b'{"error":{"message":"no","type":"t","code":null}}', ItemError("t", "no")),
    (b'{"error":{"code":429,"message":["no"]}}', ItemError("429", None)),
    (b'{"error":"plain"}', ItemError("http_400", "plain")),
    (b'{"message":"bare"}', ItemError("http_400", "bare")),
    (b"[1]", ItemError("http_400", None)),
    (b"null", ItemError("http_400", None)),
    (b"<html>", ItemError("http_400", None)),
    (b'{"message":"' + b"x" * 200_000 + b'"}', ItemError("http_400", None)),
]


@pytest.mark.parametrize(("body", "error"), ANSWERS)
def test_an_error_is_told_from_any_answer(body: bytes, error: ItemError) -> None:
    """As far as it has one of the usual forms; nothing that a provider sends is a fault of ours."""
    result = StoredResult(0, "r", "a", Outcome.FAILED, 400, None, None, None, body)
    assert item_view(result).error == error


def test_an_error_without_an_answer_is_ours() -> None:
    """And a success has none."""
    result = StoredResult(0, "r", "a", Outcome.EXPIRED, None, None, "batch_expired", "too late", b"")
    assert item_view(result).error == ItemError("batch_expired", "too late")
    assert item_view(StoredResult(0, "r", "a", Outcome.SUCCEEDED, 200, None, None, None, b"{}")).error is None
