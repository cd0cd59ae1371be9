"""What the workers of a lane work out together, case by case."""

from __future__ import annotations

import pytest

from batchyard.core.lane_pace import (
    LanePace,
    RateChange,
    WorkerReport,
    is_surplus,
    rate_change,
    share,
    slot_of,
    workers_needed,
)
from batchyard.core.turns import Turns

NOW = 1_000_003.0
SLOT = slot_of(NOW)


def report(*batches: str, since: int = 999_000, busy_until: int = 2_000_000) -> WorkerReport:
    """Batches are written `account/batch`."""
    named = dict(reversed(batch.split("/")) for batch in batches)
    return WorkerReport(int(NOW) - 1, since, named, busy_until)


@pytest.mark.parametrize(
    ("pace", "rate"),
    [
        (LanePace(good={SLOT - 1: 500}), None),
        (LanePace(good={SLOT - 1: 500}, refused={SLOT - 1: 100}), None),
        (LanePace(good={SLOT - 1: 500}, refused={SLOT - 1: 100, SLOT - 2: 9}), 99.0),
        (LanePace(rate=120.0, good={SLOT - 1: 500}, refused={SLOT - 1: 100}), 0.99 * 0.85 * 120),
        (LanePace(rate=100.0, good={SLOT - 1: 495}, refused={SLOT - 1: 20}), 0.99 * 99),
        (LanePace(rate=100.0, refused_slot=SLOT - 2, good={SLOT - 1: 490}), 102.0),
        (LanePace(rate=100.0, refused_slot=SLOT - 6, good={SLOT - 1: 490}), 110.0),
        (LanePace(rate=100.0, refused_slot=SLOT - 100, good={SLOT - 1: 490}), 130.0),
        (LanePace(rate=100.0, refused_slot=SLOT - 3, good={SLOT - 1: 100}), 100.0),
        (LanePace(rate=100.0, refused_slot=SLOT - 400, good={SLOT - 1: 100}), None),
    ],
    ids=[
        "nothing refused, no rate",
        "refused for the first time",
        "refused again: what got through",
        "refused: no deeper than it was used",
        "refused while used",
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


def test_a_slot_is_worked_out_once_and_not_too_early() -> None:
    """Others have to have reported it."""
    assert rate_change(LanePace(changed_slot=SLOT), NOW, None) is None
    assert rate_change(LanePace(), SLOT * 5 + 1.0, None) is None


def test_the_operators_limit_holds() -> None:
    """Whatever the provider would take."""
    change = rate_change(LanePace(rate=100.0, good={SLOT - 1: 490}), NOW, 50.0)
    assert change is not None and change.rate == 50.0


def test_the_operators_limit_is_used_whole_while_nothing_is_refused() -> None:
    """It may rise when calls take fewer tokens than before. Once the provider refuses, its own limit counts, too."""
    pace = LanePace(rate=10.0, good={SLOT - 1: 50})
    assert rate_change(pace, NOW, 80.0) == RateChange(80.0, SLOT, 0)
    refused = LanePace(rate=10.0, refused_slot=SLOT - 3, good={SLOT - 1: 50})
    change = rate_change(refused, NOW, 80.0)
    assert change is not None and change.rate == pytest.approx(10.4)


def test_the_tokens_of_a_call_are_those_of_the_slots_that_count_them() -> None:
    """A slot of a version that counted no tokens says nothing about them."""
    assert LanePace().tokens_per_call is LanePace(tokens={SLOT: 90}).tokens_per_call is None
    assert LanePace(good={SLOT: 3, SLOT - 1: 4, SLOT - 2: 9}, tokens={SLOT: 90, SLOT - 1: 50}).tokens_per_call == 20


def test_accounts_share_then_their_batches_then_the_workers_that_carry_them() -> None:
    """Two accounts: a half each, though one has two batches and three workers."""
    pace = LanePace(
        workers={"w1": report("a/1", "a/2"), "w2": report("a/1"), "w3": report("b/3"), "gone": report("c/4", since=1)}
    )
    pace = LanePace(workers={n: r for n, r in pace.workers.items() if n != "gone"})
    assert share(pace, "w1", NOW) == pytest.approx(1 / 4 / 2 + 1 / 4)
    assert share(pace, "w2", NOW) == pytest.approx(1 / 4 / 2)
    assert share(pace, "w3", NOW) == pytest.approx(1 / 2)


def test_a_newcomer_waits_until_the_others_have_heard_of_it() -> None:
    """Else both would use the same share for a while."""
    pace = LanePace(workers={"w1": report("a/1"), "w2": report("b/2", since=int(NOW))})
    assert share(pace, "w2", NOW) < 0.1


def test_who_is_not_needed_leaves_unless_it_carries_a_batch_alone() -> None:
    """The one that came last, and only if the others have work for a while."""
    pace = LanePace(rate=10.0, workers={"w1": report("a/1"), "w2": report("a/1", since=999_500)})
    assert is_surplus(pace, "w2", {"1"}, NOW, 1.0)
    assert not is_surplus(pace, "w1", {"1"}, NOW, 1.0)
    assert not is_surplus(pace, "w2", {"1", "2"}, NOW, 1.0)
    ending = LanePace(
        rate=10.0, workers={"w1": report("a/1", busy_until=int(NOW) + 2), "w2": report("a/1", since=999_500)}
    )
    assert not is_surplus(ending, "w2", {"1"}, NOW, 1.0)
    assert not is_surplus(LanePace(workers=pace.workers), "w2", {"1"}, NOW, 1.0), "no rate, no surplus"


@pytest.mark.parametrize(("rate", "seconds", "needed"), [(20, 1, 1), (200, 1, 3), (2000, 1, 24), (20, 60, 5)])
def test_workers_needed(rate: float, seconds: float, needed: int) -> None:
    """Enough to keep the rate in flight, and to have work for half a minute."""
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


def test_a_row_of_a_newer_version_is_read() -> None:
    """What it has more is left alone."""
    row = {"worker_w": [1, 2, {"b": "a"}, 3, "more"], "good_5": 7, "refused_5": 1, "rate_thousandths": 1500, "new": 1}
    pace = LanePace.from_row(row)
    assert (pace.rate, pace.good, pace.refused, pace.workers["w"]) == (
        1.5,
        {5: 7},
        {5: 1},
        WorkerReport(1, 2, {"b": "a"}, 3),
    )
