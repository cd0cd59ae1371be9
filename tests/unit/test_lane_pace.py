"""What the workers of a lane work out together, case by case."""

from __future__ import annotations

import pytest

from batchyard.core.lane_pace import (
    SLOT_SECONDS,
    LanePace,
    RateChange,
    WorkerReport,
    away_seconds,
    by_slot,
    enough_without,
    next_duty_at,
    portions,
    rate_change,
    share,
    slot_of,
    staying,
    workers_needed,
)
from batchyard.core.turns import Turns

NOW = 1_000_004.0
SLOT = slot_of(NOW)


def report(*batches: str, since: float = 999_000, busy_until: int = 2_000_000) -> WorkerReport:
    """Batches are written `account/batch`."""
    named = dict(reversed(batch.split("/")) for batch in batches)
    return WorkerReport(int(NOW) - 1, since, named, busy_until)


@pytest.mark.parametrize(
    ("pace", "rate"),
    [
        (LanePace(good={SLOT - 1: 500}), None),
        (LanePace(good={SLOT - 1: 250}, refused={SLOT - 1: 50}), 99.0),
        (LanePace(rate=120.0, good={SLOT - 1: 200}, refused={SLOT - 1: 100}), 0.99 * 0.85 * 120),
        (LanePace(rate=120.0, good={SLOT - 1: 260}, refused={SLOT - 1: 4}), 0.99 * 120 * 260 / (260 + 5 * 4)),
        (LanePace(rate=120.0, refused_slot=SLOT - 82, good={SLOT - 1: 250}, refused={SLOT - 1: 50}), 120.0),
        (LanePace(rate=100.0, good={SLOT - 1: 248}, refused={SLOT - 1: 10}), 0.99 * 99.2),
        (LanePace(rate=100.0, refused_slot=SLOT - 83, good={SLOT - 1: 245}), 120.5),
        (LanePace(rate=100.0, refused_slot=SLOT - 2, good={SLOT - 1: 245}), 100.25),
        (LanePace(rate=100.0, refused_slot=SLOT - 6, good={SLOT - 1: 245}), 101.25),
        (LanePace(rate=100.0, refused_slot=SLOT - 200, good={SLOT - 1: 245}), 130.0),
        (LanePace(rate=100.0, refused_slot=SLOT - 3, good={SLOT - 1: 100}), 100.0),
        (LanePace(rate=100.0, refused_slot=SLOT - 800, good={SLOT - 1: 100}), None),
    ],
    ids=[
        "nothing refused, no rate",
        "refused for the first time: what got through",
        "refused: no deeper than it was used",
        "refused while little was called: what would have got through, had workers not slowed down",
        "refused before anybody knew the rate: no news",
        "refused while used",
        "by a fifth while the first one is unsure",
        "a careful step up",
        "a larger one",
        "quickly, when that was long ago",
        "unused, it says nothing",
        "forgotten",
    ],
)
def test_the_rate_follows_what_got_through(pace: LanePace, rate: float | None) -> None:
    """Down when calls were refused, up while none is, gone when there is no limit any more."""
    change = rate_change(pace, NOW, None)
    assert change is not None and change.rate == (None if rate is None else pytest.approx(rate))


def test_reports_and_looks_are_due_at_the_same_time_for_all() -> None:
    """At the start of a slot, and when all had time to report it: so the first rate is known to all at once."""
    begin = SLOT * SLOT_SECONDS
    assert [next_duty_at(begin + seconds) for seconds in (0.0, 1.0, 1.25, 2.4)] == [
        begin + 1.25,
        begin + 1.25,
        begin + SLOT_SECONDS,
        begin + SLOT_SECONDS,
    ]


def test_a_slot_is_worked_out_once_and_not_too_early() -> None:
    """Others have to have reported it."""
    assert rate_change(LanePace(changed_slot=SLOT), NOW, None) is None
    assert rate_change(LanePace(), SLOT * SLOT_SECONDS + 1.0, None) is None


def test_the_operators_limit_holds() -> None:
    """Whatever the provider would take."""
    change = rate_change(LanePace(rate=100.0, good={SLOT - 1: 245}), NOW, 50.0)
    assert change is not None and change.rate == 50.0


def test_a_slot_that_has_hardly_begun_shows_no_rate() -> None:
    """Workers that came at its end say little about what a provider takes."""
    came = {"w": WorkerReport(int(NOW), int(SLOT * SLOT_SECONDS), {}, 0)}
    assert rate_change(LanePace(good={SLOT - 1: 9}, refused={SLOT - 1: 50}, workers=came), NOW, None) is None


def test_the_operators_limit_is_used_whole_while_nothing_is_refused() -> None:
    """It may rise when calls take fewer tokens than before. Once the provider refuses, its own limit counts, too."""
    pace = LanePace(rate=10.0, good={SLOT - 1: 50})
    assert rate_change(pace, NOW, 80.0) == RateChange(80.0, SLOT, 0)
    refused = LanePace(rate=10.0, refused_slot=SLOT - 3, good={SLOT - 1: 50})
    change = rate_change(refused, NOW, 80.0)
    assert change is not None and change.rate == pytest.approx(10.05)


def test_the_tokens_of_a_call_are_those_of_the_slots_that_count_them() -> None:
    """A slot of a version that counted no tokens says nothing about them."""
    assert LanePace().tokens_per_call is LanePace(tokens={SLOT: 90}).tokens_per_call is None
    assert LanePace(good={SLOT: 3, SLOT - 1: 4, SLOT - 2: 9}, tokens={SLOT: 90, SLOT - 1: 50}).tokens_per_call == 20


def test_accounts_share_then_their_batches_then_the_workers_that_carry_them() -> None:
    """Two accounts: a half each, though one has two batches and three workers."""
    stay = {"w1": report("a/1", "a/2"), "w2": report("a/1"), "w3": report("b/3")}
    assert portions(stay, "w1") == {"1": pytest.approx(1 / 8), "2": pytest.approx(1 / 4)}
    assert [share(stay, name, NOW) for name in stay] == pytest.approx([3 / 8, 1 / 8, 1 / 2])
    assert share(stay, "gone", NOW) == 0


def test_an_account_of_weight_three_gets_three_times_as_much() -> None:
    """Beside one of weight 1."""
    stay = {
        "w1": WorkerReport(int(NOW), 1, {"1": "a", "2": "b"}, 0, {"a": 3}),
        "w2": WorkerReport(int(NOW), 1, {"1": "a"}, 0, {"a": 3}),
    }
    assert portions(stay, "w1") == {"1": pytest.approx(3 / 8), "2": pytest.approx(1 / 4)}


def test_a_priority_batch_gets_more_of_its_accounts_part() -> None:
    """Four turns for each one of its account's other batch; nothing of what other accounts have."""
    stay = {
        "w1": WorkerReport(int(NOW), 1, {"1": "a", "2": "a", "3": "b"}, 0, {}, {"2": 4}),
        "w2": report("b/3"),
    }
    assert portions(stay, "w1") == {"1": pytest.approx(0.1), "2": pytest.approx(0.4), "3": pytest.approx(0.25)}
    assert WorkerReport.from_row(stay["w1"].to_row()) == stay["w1"]
    assert WorkerReport.from_row(stay["w1"].to_row()[:5]).turns == {}


def test_a_newcomer_waits_until_the_others_have_heard_of_it() -> None:
    """Else both would use the same share for a while."""
    assert share({"w1": report("a/1"), "w2": report("b/2", since=int(NOW))}, "w2", NOW) < 0.1


def test_who_is_not_needed_leaves_unless_it_carries_a_batch_alone() -> None:
    """The one that came last, and only if the others have work for a while. All stay while there is no rate."""
    first, second = report("a/1"), report("a/1", since=999_500)
    pace = LanePace(rate=10.0, workers={"w1": first, "w2": second})
    assert list(staying(pace, NOW, 1.0)) == ["w1"]
    alone = LanePace(rate=10.0, workers={"w1": first, "w2": report("a/1", "a/2", since=999_500)})
    assert list(staying(alone, NOW, 1.0)) == ["w1", "w2"]
    ending = LanePace(rate=10.0, workers={"w1": report("a/1", busy_until=int(NOW) + 2), "w2": second})
    assert list(staying(ending, NOW, 1.0)) == ["w1", "w2"]
    assert list(staying(LanePace(workers=pace.workers), NOW, 1.0)) == ["w1", "w2"], "no rate, no surplus"


def test_the_last_worker_does_not_come_and_go() -> None:
    """2,000 calls a second of one second feed four workers; with three there none comes, and the fourth one stays."""
    came = {f"w{number}": report("a/1") for number in range(4)}
    three = LanePace(rate=2_000.0, workers={name: came[name] for name in ("w0", "w1", "w2")})
    assert enough_without(three, "w3", "1", NOW, 1.0)
    assert list(staying(LanePace(rate=2_000.0, workers=came), NOW, 1.0)) == list(came)


def test_who_came_first_stays_though_others_came_in_the_same_second() -> None:
    """Its calls in flight are the most. Older versions read the whole seconds."""
    first, second = report("a/1", since=999_000.125), report("a/1", since=999_000.5)
    row = {"rate_thousandths": 10_000, "worker_a": second.to_row(), "worker_b": first.to_row()}
    assert list(staying(LanePace.from_row(row), NOW, 1.0)) == ["b"]
    assert WorkerReport.from_row(first.to_row()[:6]) == report("a/1", since=999_000)


def test_a_shard_is_left_to_others_only_if_they_carry_its_batch() -> None:
    """And it comes again before they run out of work, after a minute at the latest."""
    pace = LanePace(rate=10.0, workers={"w1": report("a/1", busy_until=int(NOW) + 40)})
    assert enough_without(pace, "new", "1", NOW, 1.0)
    assert not enough_without(pace, "new", "2", NOW, 1.0)
    assert not enough_without(LanePace(workers=pace.workers), "new", "1", NOW, 1.0)
    assert away_seconds(pace, "new", NOW) == pytest.approx(34)
    assert away_seconds(LanePace(rate=10.0, workers={"w1": report("a/1")}), "new", NOW) == 60
    assert away_seconds(LanePace(rate=10.0), "new", NOW) == 5


def test_a_new_lane_begins_with_a_few_workers() -> None:
    """Whoever comes fifth waits some seconds, unless it carries a batch that the others do not; then all may come, if
    no rate was found."""
    came = {f"w{number}": report("a/1", since=int(NOW)) for number in range(5)}
    new = LanePace(workers=came)
    assert list(staying(new, NOW, 0.0)) == ["w0", "w1", "w2", "w3"]
    assert "w4" in staying(LanePace(workers=came | {"w4": report("a/2", since=int(NOW))}), NOW, 0.0)
    assert enough_without(new, "w5", "1", NOW, 0.0)
    assert not enough_without(new, "w5", "2", NOW, 0.0)
    assert away_seconds(new, "w5", NOW) == 5
    later = NOW + 2 * SLOT_SECONDS
    assert list(staying(new, later, 0.0)) == list(came)
    assert not enough_without(new, "w5", "1", later, 0.0)


def test_calls_are_counted_into_the_slots_in_which_they_came() -> None:
    """As if they had come evenly; none is lost by rounding."""
    begin = SLOT * SLOT_SECONDS
    assert by_slot(10, begin - 1.25, begin + 1.25) == {SLOT - 1: 5, SLOT: 5}
    assert by_slot(7, begin, begin + 1.0) == {SLOT: 7}
    assert sum(by_slot(11, begin - 6.1, begin + 0.3).values()) == 11


@pytest.mark.parametrize(("rate", "seconds", "needed"), [(20, 1, 1), (200, 1, 1), (2000, 1, 4), (20, 60, 2)])
def test_workers_needed(rate: float, seconds: float, needed: int) -> None:
    """Enough to keep the rate in flight."""
    assert workers_needed(rate, seconds) == needed


def test_accounts_take_turns_and_so_do_their_batches() -> None:
    """An account with two batches gets as many turns as one with one."""
    turns: Turns[str] = Turns()
    for number in range(3):
        for account, batch in (("a", "1"), ("a", "2"), ("b", "3")):
            turns.add(account, batch, f"{account}{batch}{number}")
    assert len(turns) == 9
    assert turns.batches() == {"1": "a", "2": "a", "3": "b"}
    taken = [turns.take() for _ in range(9)]
    assert taken == ["a10", "b30", "a20", "b31", "a11", "b32", "a21", "a12", "a22"]
    with pytest.raises(KeyError):
        turns.take()


def test_turns_keep_to_weights() -> None:
    """An account of weight 3 gets three turns of four, its batches by theirs; turns not taken are not saved up."""
    turns: Turns[tuple[str, int]] = Turns()
    turns.weigh({"a": {"1": 0.5, "2": 0.25}, "b": {"3": 0.25}})
    for number in range(40):
        for account, batch in (("a", "1"), ("a", "2"), ("b", "3")):
            turns.add(account, batch, (batch, number))
    taken = [turns.take()[0] for _ in range(40)]
    assert [taken.count(batch) for batch in "123"] == pytest.approx([20, 10, 10], abs=1)


def test_what_no_longer_waits_costs_no_turn() -> None:
    """A hundred that were discarded leave their batch's next one as near as it would be without them, and a batch of
    which all were is no longer there."""
    turns: Turns[str] = Turns()
    for number in range(100):
        for account in "abc":
            turns.add(account, account, f"{account}{number}")
    for number in range(100):
        turns.discard("c", "c", f"c{number}")
        if number < 99:
            turns.discard("a", "a", f"a{number}")
    assert turns.batches() == {"a": "a", "b": "b"}
    assert len(turns) == 101
    turns.add("c", "c", "c100")
    assert {turns.take() for _ in range(3)} == {"a99", "b0", "c100"}
    turns.discard("b", "b", "b0")
    assert [turns.take() for _ in range(2)] == ["b1", "b2"]


def test_a_row_of_a_newer_version_is_read() -> None:
    """What it has more is left alone."""
    row = {
        "worker_w": [1, 2, {"b": "a"}, 3, {"a": 2}, {}, 0, "more"],
        "good_5": 7,
        "refused_5": 1,
        "rate_thousandths": 1500,
        "new": 1,
    }
    pace = LanePace.from_row(row)
    assert (pace.rate, pace.good, pace.refused, pace.workers["w"]) == (
        1.5,
        {5: 7},
        {5: 1},
        WorkerReport(1, 2, {"b": "a"}, 3, {"a": 2}),
    )
