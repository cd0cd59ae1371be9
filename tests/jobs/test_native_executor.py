"""The native executor: jobs are submitted once, their results stored once, and what they leave runs in realtime."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, cast

import orjson
import pytest

from batchyard.adapters.aws.job_starter import JobStarter
from batchyard.adapters.aws.secrets import SecretMissing
from batchyard.adapters.aws.table import Key
from batchyard.adapters.providers.provider_jobs import (
    JobLine,
    JobMissing,
    JobRefused,
    JobResult,
    JobView,
    Submission,
    VendorTrouble,
)
from batchyard.core import families
from batchyard.core.batches import Ending
from batchyard.core.jobs import JobRef, JobState
from batchyard.core.lanes import Lane, LaneId, Mode
from batchyard.core.parts import encode_part, lane_of
from batchyard.core.results import Outcome, Result
from batchyard.core.retry import FailureReason
from batchyard.jobs import collect
from batchyard.jobs.executor import attend
from batchyard.steps.recover import start_due_jobs
from tests.jobs.yard import ESCALATE_AT, MODEL, NATIVE, REALTIME, Yard
from tests.steps.running import NOW

ALL_12 = dict.fromkeys(range(12), Outcome.SUCCEEDED)


def test_a_job_that_ends_well_settles_its_shards() -> None:
    """Every item has its result from the vendor, at half the price, and nothing is called in realtime."""
    yard = Yard()
    yard.run()
    assert yard.results() == ALL_12
    assert not yard.realtime_paid
    assert set(yard.paid().values()) == {1}
    assert [row.state for row in yard.job_rows] == [JobState.DONE]
    assert yard.workflow.woken == [("token", Ending.COMPLETED)]
    tally = yard.stores.progress.total(yard.batch.id)
    assert tally.realtime_picousd == 2 * tally.cost_picousd > 0
    assert all(job.is_deleted for job in yard.vendor.jobs.values())
    assert yard.stores.native_lanes.history(LaneId("openai", MODEL)).seconds


def test_stored_results_are_counted_by_provider() -> None:
    """As workers count theirs: each once, whether it succeeded or not."""
    yard = Yard(status_of=lambda body: 400 if b'"n":3' in body else 200)
    told: list[tuple[str, int, int]] = []
    yard.tools = replace(yard.tools, on_stored=lambda name, tally: told.append((name, tally.succeeded, tally.failed)))
    yard.run()
    assert {name for name, _, _ in told} == {"openai"}
    assert (sum(good for _, good, _ in told), sum(bad for _, _, bad in told)) == (11, 1)


@pytest.mark.parametrize(("every_seconds", "expected"), [(600, 30), (1, 1)])
def test_polls_are_as_close_as_a_deployment_wants(every_seconds: int, expected: int) -> None:
    """A local cloud looks at each job whenever Sweep comes."""
    yard = Yard()
    limits = replace(yard.tools.limits, polls_every_seconds=every_seconds)
    row = attend(yard.refs[0], replace(yard.tools, limits=limits))
    assert row is not None and (row.state, row.due_at) == (JobState.RUNNING, yard.tools.now + expected)


def test_lines_that_begin_alike_stand_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the vendor's prompt cache, shard by shard; each result finds its item by its id all the same."""
    monkeypatch.setattr(families, "SHORTEST_BYTES", 8)
    monkeypatch.setattr(families, "prompt_of", lambda body: b"odd or even"[:: 1 + orjson.loads(body)["n"] % 2] * 8)
    yard = Yard((2,))
    yard.run()
    (job,) = yard.vendor.jobs.values()
    assert [orjson.loads(line.body)["n"] for line in job.lines] == [0, 2, 1, 3, 4, 6, 5, 7]
    assert yard.results() == dict.fromkeys(range(8), Outcome.SUCCEEDED)
    assert set(yard.paid().values()) == {1}


def test_large_results_are_stored_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held of a shard's answers is bounded: each few are a part of their own, and all of them settle it."""
    held: list[int] = []

    def encode(batch_id: str, results: list[Result], lane: Lane | None = None) -> bytes:
        held.append(sum(len(result.body or b"") for result in results))
        return encode_part(batch_id, results, lane)

    usual = Yard((2,))
    usual.run()
    monkeypatch.setattr(collect, "encode_part", encode)
    monkeypatch.setattr(collect, "_PART_BYTES", 1)
    yard = Yard((2,))
    yard.run()
    assert yard.results() == usual.results() == dict.fromkeys(range(8), Outcome.SUCCEEDED)
    assert len(held) == 8 and max(held) < 1000
    assert yard.stores.progress.total(yard.batch.id) == usual.stores.progress.total(usual.batch.id)
    assert yard.workflow.woken == usual.workflow.woken


@pytest.mark.parametrize("error", [ValueError, KeyError, TypeError, AttributeError, OverflowError])
def test_a_result_that_nobody_can_read_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """Its item runs again, in realtime."""
    yard = Yard()
    actual = yard.vendor.read

    def read(line: bytes) -> JobResult:
        found: JobResult = actual(line)
        if found.id.endswith("-1-2"):
            raise error("no JSON, or no result's")
        return found

    monkeypatch.setattr(yard.vendor, "read", read)
    yard.run()
    assert yard.results() == ALL_12
    assert list(yard.realtime_paid) == [yard.body(6)]


def test_items_that_failed_for_good_are_results() -> None:
    """An invalid item fails as it would in realtime; one that failed in passing runs again, there."""

    def status(body: bytes) -> int:
        return {b'{"model":"gpt-4o-mini","n":3}': 400, b'{"model":"gpt-4o-mini","n":5}': 500}.get(body, 200)

    yard = Yard(status_of=status)
    yard.run()
    assert yard.results() == ALL_12 | {3: Outcome.FAILED}
    assert list(yard.realtime_paid) == [b'{"model":"gpt-4o-mini","n":5}']
    assert yard.workflow.woken


def test_items_that_the_vendor_lost_run_in_realtime() -> None:
    """They are in none of its results."""
    yard = Yard((2, 3), status_of=lambda body: None if b"7" in body else 200)
    yard.run()
    assert set(yard.results()) == set(range(20))
    assert len(yard.realtime_paid) == 2
    assert set(yard.paid().values()) == {1}
    assert [row.unheard for row in yard.job_rows] == [1, 1]


@pytest.mark.parametrize(("share", "answered"), [(1.0, 12), (0.5, 6)])
def test_a_job_that_is_over_says_when_and_what_it_did(share: float, answered: int) -> None:
    """Its own results, not those that realtime made of the rest since."""
    yard = Yard(seconds=None if share < 1 else 100.0, done_share=share)
    yard.run()
    assert yard.results() == ALL_12
    (row,) = yard.job_rows
    assert row.answered == answered and NOW < row.ended_at <= yard.now
    parts = [key for shard in yard.stores.shards.rows(yard.batch.id) for key in shard.parts]
    assert NATIVE in {lane_of(yard.stores.objects.get(key)) for key in parts}


def test_a_job_that_expires_with_half_its_results_keeps_them() -> None:
    """The other half runs in realtime, and nothing is paid twice."""
    yard = Yard((8,), done_share=0.5)
    yard.run()
    assert yard.results() == dict.fromkeys(range(32), Outcome.SUCCEEDED)
    assert sum(yard.realtime_paid.values()) == 16
    assert set(yard.paid().values()) == {1}
    assert [entry.lane for entry in yard.batch.plan.lanes] == [REALTIME]  # type: ignore[union-attr]


def test_a_job_that_stalls_is_stopped_in_time() -> None:
    """At `escalate_at`, not before; what it had finished is kept, the rest is done long before the deadline."""
    yard = Yard((8,), seconds=None, done_share=0.25)
    yard.run()
    assert yard.results() == dict.fromkeys(range(32), Outcome.SUCCEEDED)
    assert set(yard.paid().values()) == {1}
    assert sum(yard.realtime_paid.values()) == 24
    assert ESCALATE_AT <= yard.now < ESCALATE_AT + 120
    assert [row.reason for row in yard.job_rows] == ["late"]


def test_a_key_that_is_gone_for_a_while_loses_no_paid_result() -> None:
    """It was removed while the job ran and is back when the job is late: what the vendor had finished is collected, and
    nothing is paid a second time in realtime."""
    yard = Yard((8,))
    yard.no_key = (NOW + 1, ESCALATE_AT + 300)
    yard.run()
    assert yard.now >= ESCALATE_AT + 300
    assert yard.results() == dict.fromkeys(range(32), Outcome.SUCCEEDED)
    assert set(yard.paid().values()) == {1}
    assert not yard.realtime_paid


ELSEWHERE = Lane("elsewhere", "m")


def test_what_a_job_leaves_goes_where_calls_get_through() -> None:
    """The first of its other lanes that is well; if none is, the first one."""
    for broken, wanted in (((), REALTIME), ((REALTIME,), ELSEWHERE), ((REALTIME, ELSEWHERE), REALTIME)):
        yard = Yard(forgets=True, others=(REALTIME, ELSEWHERE))
        yard.broken = {LaneId(lane.provider, lane.model) for lane in broken}
        yard.run()
        assert yard.results() == ALL_12
        assert {entry.lane for entry in yard.batch.plan.lanes} == {wanted}


FLEX = Lane("openai", MODEL, Mode.FLEX)


@pytest.mark.parametrize(("is_well", "mode"), [(True, Mode.FLEX), (False, Mode.REALTIME)])
def test_what_a_job_leaves_runs_in_flex_if_there_is_time(is_well: bool, mode: Mode) -> None:
    """At half the price, until realtime has to begin. If flex is in trouble, realtime takes it at once."""
    yard = Yard(forgets=True, others=(FLEX, REALTIME))
    if not is_well:
        yard.broken = {LaneId("openai", MODEL, mode=Mode.FLEX)}
    yard.run()
    assert yard.results() == ALL_12
    assert set(yard.called_in) == {mode}
    (entry,) = yard.batch.plan.lanes if yard.batch.plan else ()
    assert (entry.lane, entry.others) == (Lane("openai", MODEL, mode), (REALTIME,) if is_well else ())
    assert (NOW < entry.escalate_at < yard.batch.expires_at) is is_well


def test_a_job_that_never_had_a_key_goes_to_another_provider() -> None:
    """When it is late, and if there is one: realtime at its own provider would miss the same key."""
    for others, wanted in (((REALTIME, ELSEWHERE), ELSEWHERE), ((REALTIME,), REALTIME)):
        yard = Yard(others=others)
        yard.no_key = (NOW, math.inf)
        yard.run()
        assert yard.results() == ALL_12
        assert (yard.now >= ESCALATE_AT, set(yard.paid().values())) == (True, {1})
        assert {entry.lane for entry in yard.batch.plan.lanes} == {wanted}


USUAL, LATER = 600, NOW + 40_000
"""What jobs took so far, and an `escalate_at` that leaves time for several of them."""


def test_a_job_that_is_stuck_is_submitted_anew() -> None:
    """After eight times what such jobs take: what it had finished is kept, another job does the rest, and nothing runs
    in realtime."""
    yard = Yard((8,), stuck=1, done_share=0.25, usual_seconds=USUAL, escalate_at=LATER)
    yard.run()
    assert yard.results() == dict.fromkeys(range(32), Outcome.SUCCEEDED)
    assert set(yard.paid().values()) == {1}
    assert not yard.realtime_paid
    assert [len(job.lines) for job in yard.vendor.jobs.values()] == [32, 24]
    assert all(job.is_deleted for job in yard.vendor.jobs.values())
    assert [(row.reason, row.restarts, row.unheard) for row in yard.job_rows] == [(None, 1, 24)]
    assert NOW + 8 * USUAL <= yard.now < NOW + 8 * USUAL + 600


@pytest.mark.parametrize(
    ("settings", "jobs"),
    [
        ({"usual_seconds": USUAL, "escalate_at": LATER}, 3),  # jobs are stuck again and again
        ({"usual_seconds": USUAL, "escalate_at": NOW + 8 * USUAL}, 3),  # early, so that there is time for another one
        ({"usual_seconds": USUAL, "escalate_at": NOW + 8 * USUAL, "cancel_seconds": 1e9}, 3),
        ({"usual_seconds": USUAL, "escalate_at": NOW + 5 * USUAL}, 2),
        ({"usual_seconds": USUAL, "escalate_at": NOW + 4 * USUAL}, 1),  # no time for another one
        ({"usual_seconds": None, "escalate_at": LATER}, 1),  # nobody knows what is long
    ],
)
def test_what_is_stuck_to_the_end_runs_in_realtime(settings: dict[str, int], jobs: int) -> None:
    """So many jobs are tried; at `escalate_at` the last one is given up, and nothing is paid twice."""
    yard = Yard((8,), stuck=9, done_share=0.25, **settings)  # type: ignore[arg-type]
    yard.run()
    assert yard.results() == dict.fromkeys(range(32), Outcome.SUCCEEDED)
    assert set(yard.paid().values()) == {1}
    assert len(yard.vendor.jobs) == jobs
    assert sum(yard.realtime_paid.values()) > 0
    assert settings["escalate_at"] <= yard.now < settings["escalate_at"] + 1000


def test_a_job_that_is_stuck_when_all_is_done_is_not_submitted_anew() -> None:
    """Nothing is left."""
    yard = Yard(stuck=1, usual_seconds=USUAL, escalate_at=LATER)
    yard.run()
    assert yard.results() == ALL_12
    assert len(yard.vendor.jobs) == 1
    assert not yard.realtime_paid


def test_a_restarted_job_keeps_to_the_price_limit() -> None:
    """What the first one has settled is not counted again, so the second one fits."""
    each = 10_000_000
    yard = Yard((4,), stuck=1, done_share=0.5, prices=(16 * each, 16 * each), usual_seconds=USUAL, escalate_at=LATER)
    yard.run()
    assert yard.results() == dict.fromkeys(range(16), Outcome.SUCCEEDED)
    assert len(yard.vendor.jobs) == 2 and not yard.realtime_paid
    assert yard.stores.progress.total(yard.batch.id).cost_picousd == 16 * each


def test_a_vendor_that_never_stops_is_not_waited_for() -> None:
    """Its job is collected as it is when patience ends; everything runs in realtime."""
    yard = Yard(seconds=None, cancel_seconds=1e9, done_share=0.0)
    yard.run()
    assert yard.results() == ALL_12
    assert yard.now < ESCALATE_AT + 1000
    assert [row.unheard for row in yard.job_rows] == [12]


@pytest.mark.parametrize("call", ["look", "results"])
@pytest.mark.parametrize("error", [JobMissing, JobRefused])
def test_a_job_that_is_not_known_for_a_while_is_not_paid_twice(
    monkeypatch: pytest.MonkeyPatch, call: str, error: type[Exception]
) -> None:
    """A vendor that is in trouble says for four minutes that there is no such job: it is asked again."""
    yard = Yard()
    actual = getattr(yard.vendor, call)

    def answer(job_id: str) -> Any:
        if yard.now < NOW + 240:
            raise error("404")
        return actual(job_id)

    monkeypatch.setattr(yard.vendor, call, answer)
    yard.run()
    assert yard.results() == ALL_12
    assert not yard.realtime_paid
    assert [(row.reason, row.unheard, row.missing_since > 0) for row in yard.job_rows] == [(None, 0, call == "results")]


def test_failures_that_do_not_follow_each_other_do_not_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every second look at a long job fails: each time the vendor is asked again as soon as after the first failure."""
    yard = Yard(seconds=None, escalate_at=LATER)
    actual, looks = yard.vendor.look, itertools.count()

    def look(job_id: str) -> JobView:
        if next(looks) % 2 == 0:
            raise VendorTrouble(FailureReason.SERVER_ERROR, is_unknown=False)
        return actual(job_id)

    monkeypatch.setattr(yard.vendor, "look", look)
    waits = []
    for _ in range(20):
        row = attend(yard.refs[0], yard.tools)
        assert row is not None
        if row.tries:
            waits.append(row.due_at - yard.now)
        yard.now = float(row.due_at)
    assert waits == [15] * 10


def test_a_vendor_that_is_down_makes_no_job_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between two looks that fail grow to ten minutes, but end when the job has to give way to realtime."""
    yard = Yard(seconds=None)

    def fail(_: str) -> JobView:
        raise VendorTrouble(FailureReason.SERVER_ERROR, is_unknown=False)

    monkeypatch.setattr(yard.vendor, "look", fail)
    row = attend(yard.refs[0], yard.tools)
    while row is not None and row.state is JobState.RUNNING:
        yard.now = float(row.due_at)
        row = attend(yard.refs[0], yard.tools)
    assert row is not None and (row.state, row.stop_at) == (JobState.STOPPING, ESCALATE_AT)


def test_a_page_for_people_is_no_results(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the status 200, in the place of the results, for some minutes: they are asked for again."""
    yard = Yard()
    actual = yard.vendor.results

    def results(job_id: str) -> Iterator[bytes]:
        return iter([b"<html>", b"Back soon"]) if yard.now < NOW + 240 else actual(job_id)

    monkeypatch.setattr(yard.vendor, "results", results)
    yard.run()
    assert yard.results() == ALL_12
    assert not yard.realtime_paid


@pytest.mark.parametrize("is_broken_off", [True, False])
def test_half_of_the_results_are_not_all_of_them(monkeypatch: pytest.MonkeyPatch, is_broken_off: bool) -> None:
    """The vendor hands over five of twelve for some minutes, and then the download breaks off or just ends, in the
    middle of a line: what came counts at once, the rest is asked for again, and nothing is paid twice."""
    yard = Yard()
    actual = yard.vendor.results

    def results(job_id: str) -> Iterator[bytes]:
        for number, line in enumerate(actual(job_id)):
            if number == 5 and yard.now < NOW + 240:
                if is_broken_off:
                    raise VendorTrouble(FailureReason.CONNECTION, is_unknown=True)
                yield line[:-4]
                return
            yield line

    monkeypatch.setattr(yard.vendor, "results", results)
    yard.run(until=NOW + 200)
    assert len(yard.results()) == 5
    yard.run()
    assert yard.results() == ALL_12
    assert not yard.realtime_paid
    assert [(row.reason, row.unheard) for row in yard.job_rows] == [(None, 0)]


@pytest.mark.parametrize("is_broken_off", [True, False])
def test_results_that_never_come_are_not_waited_for(monkeypatch: pytest.MonkeyPatch, is_broken_off: bool) -> None:
    """After half an hour, or when it gets late, the rest runs in realtime, and what came of them is paid once."""
    yard = Yard()
    actual = yard.vendor.results

    def results(job_id: str) -> Iterator[bytes]:
        lines = list(actual(job_id))
        yield from lines[:5]
        if is_broken_off:
            raise VendorTrouble(FailureReason.CONNECTION, is_unknown=True)

    monkeypatch.setattr(yard.vendor, "results", results)
    yard.run()
    assert yard.results() == ALL_12
    assert len(yard.realtime_paid) == 7
    assert NOW + 600 < yard.now < ESCALATE_AT + 1_200
    assert [row.unheard for row in yard.job_rows] == [7]


def test_a_job_that_vanished_runs_in_realtime() -> None:
    """Once its vendor has not known it for five minutes, nobody waits for it."""
    yard = Yard(forgets=True)
    yard.run()
    assert yard.results() == ALL_12
    assert NOW + 300 <= yard.now < NOW + 600
    assert len(yard.realtime_paid) == 12
    assert [(row.reason, row.unheard) for row in yard.job_rows] == [("vanished", 12)]


def test_results_that_came_are_kept_though_their_job_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The vendor hands over five of twelve, and then knows nothing of the job: the rest runs in realtime at once, and
    nothing says that there were no results."""
    yard = Yard()
    look, results = yard.vendor.look, yard.vendor.results
    handed_over: list[str] = []

    def results_once(job_id: str) -> Iterator[bytes]:
        handed_over.append(job_id)
        yield from list(results(job_id))[:5]

    def look_until_then(job_id: str) -> JobView:
        if handed_over:
            raise JobMissing("404")
        return look(job_id)

    monkeypatch.setattr(yard.vendor, "results", results_once)
    monkeypatch.setattr(yard.vendor, "look", look_until_then)
    yard.run()
    assert yard.results() == ALL_12
    assert len(yard.realtime_paid) == 7 and len(handed_over) == 1
    assert [(row.reason, row.unheard) for row in yard.job_rows] == [(None, 7)]


def test_a_job_that_is_found_and_has_no_results_is_not_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its submission was not answered, and its vendor does not hand its results over: another job is made, instead of
    the same one being looked for until the deadline."""
    yard = Yard()
    submit, results = yard.vendor.submit, yard.vendor.results

    def lose_first_answer(submission: Submission, lines: Iterable[JobLine]) -> str:
        job_id = str(submit(submission, lines))
        if job_id == "vb_0":
            raise VendorTrouble(FailureReason.CONNECTION, is_unknown=True)
        return job_id

    def miss_first_results(job_id: str) -> Iterator[bytes]:
        if job_id == "vb_0":
            raise JobMissing("404")
        return iter(results(job_id))

    monkeypatch.setattr(yard.vendor, "submit", lose_first_answer)
    monkeypatch.setattr(yard.vendor, "results", miss_first_results)
    yard.run()
    assert yard.results() == ALL_12
    assert yard.now < ESCALATE_AT and not yard.realtime_paid
    assert [(row.provider_job_id, row.strangers) for row in yard.job_rows] == [("vb_1", ("vb_0",))]


@pytest.mark.parametrize("error", [VendorTrouble(FailureReason.INVALID_RESPONSE, is_unknown=True), JobRefused("no")])
@pytest.mark.parametrize("until", [NOW + 900, math.inf])
def test_a_vendor_that_cannot_say_what_it_has_is_not_asked_for_ever(
    monkeypatch: pytest.MonkeyPatch, error: Exception, until: float
) -> None:
    """A submission was not answered, and instead of a list of jobs garbage comes. If that ends in time the job is found
    and paid once. If not its items run in realtime while there is time for that, and the receipt says that the vendor
    may bill them, too."""
    yard = Yard()
    submit, find = yard.vendor.submit, yard.vendor.find

    def lose_answer(submission: Submission, lines: Iterable[JobLine]) -> str:
        submit(submission, lines)
        raise VendorTrouble(FailureReason.CONNECTION, is_unknown=True)

    def find_later(submission: Submission) -> list[str]:
        if yard.now < until:
            raise error
        return list(find(submission))

    monkeypatch.setattr(yard.vendor, "submit", lose_answer)
    monkeypatch.setattr(yard.vendor, "find", find_later)
    yard.run()
    assert yard.results() == ALL_12
    (row,) = yard.job_rows
    if until < ESCALATE_AT:
        assert not yard.realtime_paid and row.unheard == 0
    else:
        assert len(yard.realtime_paid) == 12 and (row.reason, row.unheard) == ("late", 12)
        assert ESCALATE_AT <= yard.now < ESCALATE_AT + 1_200


def test_a_provider_without_a_batch_api_is_remembered() -> None:
    """Its items run in realtime at once, and the lane's row says so for the next batch."""
    yard = Yard(is_unsupported=True)
    yard.run()
    assert yard.results() == ALL_12
    assert yard.now < NOW + 60
    assert yard.stores.native_lanes.history(LaneId("openai", MODEL)).is_unsupported(NOW + 60)


@pytest.mark.parametrize(
    ("vendor", "reason"),
    [
        ({"refuses_lane": "submit"}, "not_available_for_plan"),
        ({"refuses_lane": "look"}, "model_not_found"),
        ({"status_of": lambda body: 404}, None),
    ],
    ids=["submission", "job", "items"],
)
def test_a_batch_api_that_refuses_the_model_is_remembered(vendor: dict[str, Any], reason: str | None) -> None:
    """Or the account's plan: when a job is submitted, when it is looked at, or item by item, as OpenAI does for models
    that calls know and jobs do not. The items run in realtime, where they are no failures, and for a day no plan tries
    the lane; how long the refused job took is not learned."""
    yard = Yard(**vendor)
    yard.run()
    assert yard.results() == ALL_12
    assert len(yard.realtime_paid) == 12
    assert [row.reason for row in yard.job_rows] == [reason]
    history = yard.stores.native_lanes.history(LaneId("openai", MODEL))
    assert (history.is_unsupported(NOW + 80_000), history.is_unsupported(NOW + 90_000)) == (True, False)
    assert history.seconds == ()


def test_other_refusals_say_nothing_of_the_lane() -> None:
    """One batch's bad job must not cost the others their half price."""
    yard = Yard(status_of=lambda body: 400)
    yard.run()
    assert yard.results() == dict.fromkeys(range(12), Outcome.FAILED)
    assert not yard.stores.native_lanes.history(LaneId("openai", MODEL)).is_unsupported(NOW + 60)


@pytest.mark.parametrize(("fails", "rounds"), [(1, 1), (2, 1), (3, 2), (8, 3)])
def test_what_a_vendor_keeps_is_deleted_in_three_tries_or_later(fails: int, rounds: int) -> None:
    """At once, because often nobody comes again; if three tries in a row fail, the job stays open, with all its results
    stored, and is attended to later."""
    yard = Yard(keeps=fails)
    yard.run(until=NOW + 130)
    assert yard.results() == ALL_12
    assert [row.is_done for row in yard.job_rows] == [rounds == 1]
    yard.run()
    (row,) = yard.job_rows
    assert (row.is_done, row.reason, row.tries) == (True, None, rounds - 1)
    assert yard.vendor.calls.count("clean_up") == fails + 1
    assert [job.is_deleted for job in yard.vendor.jobs.values()] == [True]


def test_what_a_vendor_never_deletes_is_told() -> None:
    """The job ends all the same, and its row, which the log shows, says that something was left behind."""
    yard = Yard(keeps=1_000_000)
    yard.run()
    (row,) = yard.job_rows
    assert (row.is_done, row.reason) == (True, "not_deleted")
    assert yard.vendor.calls.count("clean_up") == 3 * 9
    assert (yard.results(), set(yard.paid().values())) == (ALL_12, {1})


@pytest.mark.parametrize("is_forbidden", [True, False])
def test_a_key_that_may_not_make_jobs_is_not_waited_for(is_forbidden: bool) -> None:
    """It may call models: the items run in realtime at once. A key that is not accepted at all is waited for, because
    realtime would not get through either."""
    trouble = VendorTrouble(FailureReason.KEY_REFUSED, is_unknown=False, is_forbidden=is_forbidden)
    yard = Yard(refuses_key=trouble)
    yard.run()
    assert yard.results() == ALL_12 and yard.vendor.jobs == {}
    assert (yard.now < NOW + 60) is is_forbidden
    assert (yard.now >= ESCALATE_AT) is not is_forbidden


@pytest.mark.parametrize("call", ["submit", "look", "results"])
@pytest.mark.parametrize("reason", [FailureReason.KEY_REFUSED, FailureReason.OUT_OF_MONEY, None])
def test_a_vendor_that_needs_people_blocks_a_job_until_they_have_acted(
    call: str, reason: FailureReason | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For an hour the key is refused, the account has no money, or the secret is gone (None): the row says since when,
    the key is read again each minute, nothing is given up for it, and it goes on within two minutes."""
    yard = Yard(escalate_at=LATER)
    mended_at = NOW + 3600
    refused_at: list[float] = []
    actual = getattr(yard.vendor, call)

    def refuse(*given: object) -> object:
        if yard.now < mended_at:
            refused_at.append(yard.now)
            raise VendorTrouble(reason, is_unknown=False) if reason else SecretMissing("openai")
        return actual(*given)

    monkeypatch.setattr(yard.vendor, call, refuse)
    yard.run(until=mended_at - 1)
    (row,) = yard.job_rows
    assert row.blocked == (str(reason) if reason else "secret_missing")
    assert row.blocked_since == int(refused_at[0])
    assert 30 < len(refused_at) <= 61 and yard.vendors.forgotten == ["openai"] * len(refused_at)
    assert row.due_at <= mended_at + 60
    yard.run()
    assert yard.results() == ALL_12
    assert not yard.realtime_paid and set(yard.paid().values()) == {1}
    assert [(row.blocked, row.state) for row in yard.job_rows] == [(None, JobState.DONE)]


def test_a_callers_key_that_is_refused_blocks_nothing() -> None:
    """It is the caller's error: the items run in realtime at once, where they are told so."""
    yard = Yard(refuses_key=VendorTrouble(FailureReason.KEY_REFUSED, is_unknown=False))
    batch = yard.batch
    yard.stores.batches._table.update(  # type: ignore[attr-defined]
        Key(f"account#{batch.account_id}", f"batch#{batch.id}"), set={"caller_pays": True}
    )
    yard.run()
    assert yard.now < NOW + 60
    assert [row.blocked for row in yard.job_rows] == [None]


def test_a_job_for_which_there_is_no_room_is_submitted_again() -> None:
    """Too many tokens are queued: it waits, and is submitted under another name."""
    yard = Yard(refused=2)
    yard.run()
    assert yard.results() == ALL_12
    assert not yard.realtime_paid
    assert [job.name[-1] for job in yard.vendor.jobs.values()] == ["1", "2", "3"]


def test_a_job_that_its_vendor_says_has_failed_answered_nothing() -> None:
    """Nothing of it is billed, so that no receipt has to speak of it."""
    yard = Yard(refused=1_000_000)
    yard.run()
    assert yard.results() == ALL_12
    assert [(row.reason, row.unheard) for row in yard.job_rows] == [("token_limit_exceeded", 0)]


@pytest.mark.parametrize("done_share", [0.0, 0.5])
def test_a_cancelled_batch_keeps_what_its_job_had_finished(done_share: float) -> None:
    """The vendor is asked to stop, its results are stored, and only then are the other shards sealed."""
    yard = Yard((8,), seconds=None, done_share=done_share)
    yard.run(until=NOW + 100)
    yard.cancel()
    yard.run(until=NOW + 2000)
    assert len(yard.results()) == 32 * done_share
    assert not yard.realtime_paid
    assert [row.is_done for row in yard.job_rows] == [True]
    assert {str(row.state) for row in yard.stores.shards.rows(yard.batch.id)} <= {"settled", "sealed"}
    assert yard.now < NOW + 600


def test_a_job_that_was_stopped_early_does_not_make_its_lane_look_fast() -> None:
    """A batch that is cancelled after two minutes says nothing about how long jobs take; one that ends well does."""
    cancelled, done = Yard(seconds=None, usual_seconds=USUAL), Yard(usual_seconds=USUAL)
    cancelled.run(until=NOW + 100)
    cancelled.cancel()
    cancelled.run(until=NOW + 2000)
    done.run()
    lane = LaneId(NATIVE.provider, NATIVE.model)
    assert cancelled.job_rows[0].is_done
    assert cancelled.stores.native_lanes.history(lane).seconds == (USUAL,)
    assert len(done.stores.native_lanes.history(lane).seconds) == 2


def test_a_batch_cancelled_before_its_job_was_submitted_costs_nothing() -> None:
    """Nobody submits it afterwards."""
    yard = Yard()
    yard.cancel()
    yard.run(until=NOW + 2000)
    assert yard.results() == {}
    assert not yard.vendor.jobs


def test_a_job_whose_start_got_lost_is_found() -> None:
    """Sweep finds a job that was never taken, and one that nobody looks at any more."""
    yard = Yard()
    yard.mail.waiting.clear()
    yard.run()
    assert yard.results() == ALL_12


@pytest.mark.parametrize("when", ["before", "after", "fails"])
@pytest.mark.parametrize("story", ["well", "half", "stall", "none"])
def test_an_executor_may_die_at_any_call(story: str, when: str) -> None:
    """Or that call fails: at each of its calls to AWS and to the vendor, before and after that had its effect, with
    nobody but Sweep to start the next one: nothing is lost, nothing is there twice, nothing is paid twice, and the
    vendor has one job, whose files are gone."""
    vendors = {
        "well": {},
        "half": {"done_share": 0.5},
        "stall": {"seconds": None, "done_share": 0.25, "usual_seconds": 20 * 300},  # looked at every 300 seconds
        "none": {"is_unsupported": True},
    }
    met = 0
    for nth in range(1, 200):
        yard = Yard((2,), nth=nth, when=when, **vendors[story])
        yard.run()
        note = f"{story}, call {nth}: {yard.fuse.names[nth - 1 : nth]}"
        assert yard.results() == dict.fromkeys(range(8), Outcome.SUCCEEDED), note
        assert set(yard.paid().values()) == {1}, note
        assert sum(job.error is None for job in yard.vendor.jobs.values()) == (story != "none"), note
        assert yard.workflow.woken, note
        assert all(job.is_deleted for job in yard.vendor.jobs.values()), note
        if not yard.fuse.burnt:
            break
        met += 1
    assert 15 <= met < 199, f"{met} calls"


@pytest.mark.parametrize("when", ["before", "after", "fails"])
def test_an_executor_may_die_while_it_submits_a_job_anew(when: str) -> None:
    """At each of its calls from when it is found to be stuck: there are two jobs, and nothing is paid twice."""
    met = 0
    for nth in range(1, 200):
        yard = Yard((2,), stuck=1, done_share=0.25, usual_seconds=USUAL, escalate_at=LATER)
        yard.run(until=NOW + 40)
        yard.now += 8 * USUAL  # nobody has looked for so long
        yard.fuse.nth, yard.fuse.when, yard.fuse.seen = nth, when, 0
        yard.run()
        note = f"call {nth}: {yard.fuse.names[-1:]}"
        assert yard.results() == dict.fromkeys(range(8), Outcome.SUCCEEDED), note
        assert set(yard.paid().values()) == {1}, note
        assert [len(job.lines) for job in yard.vendor.jobs.values()] == [8, 6], note
        assert not yard.realtime_paid, note
        assert yard.workflow.woken, note
        assert all(job.is_deleted for job in yard.vendor.jobs.values()), note
        if not yard.fuse.burnt:
            break
        met += 1
    assert 30 <= met < 190, f"{met} calls"


@pytest.mark.parametrize(("limit", "submitted"), [(200, 1), (119, 0)])
def test_a_job_that_does_not_fit_into_the_price_limit_is_not_submitted(limit: int, submitted: int) -> None:
    """It runs in realtime, where each shard asks for itself; one that fits is submitted and settled."""
    yard = Yard(prices=(limit, 120))
    yard.run()
    assert yard.results() == ALL_12
    assert len(yard.vendor.jobs) == submitted
    assert [row.reason for row in yard.job_rows] == ([None] if submitted else ["max_price"])


def test_a_job_waits_for_what_other_jobs_do_not_cost() -> None:
    """Two that do not fit together: the second is submitted when the first has settled for less."""
    each = 10_000_000
    yard = Yard((2, 2), prices=(25 * each, 32 * each))
    yard.run()
    assert set(yard.results()) == set(range(16))
    assert len(yard.vendor.jobs) == 2 and not yard.realtime_paid
    assert yard.stores.progress.total(yard.batch.id).cost_picousd == 16 * each


@pytest.mark.parametrize("at_once", [None, 2])
def test_an_account_with_little_concurrency_looks_after_few_jobs_at_a_time(at_once: int | None) -> None:
    """Those that have waited longest, and new ones before all: each comes to its turn, and all end."""
    yard = Yard((1,) * 7, escalate_at=LATER)
    yard.mail.waiting.clear()
    yard.now += 120
    together: list[int] = []

    class Lambda:
        def invoke(self, **named: Any) -> None:
            together[-1] += 1
            yard.mail.start([JobRef.from_event(orjson.loads(named["Payload"]))])

    starter = JobStarter(cast(Any, Lambda), "jobs", at_once)
    while not yard._is_over() and len(together) < 200:
        together.append(0)
        start_due_jobs(yard.batch, now=int(yard.now), stores=yard.stores, job_starter=starter)
        yard.run(until=yard.now + 1)
        yard.now += 60
    assert yard.results() == dict.fromkeys(range(28), Outcome.SUCCEEDED)
    assert not yard.realtime_paid
    assert max(together) == (at_once or 7)
