"""More large batches than workers can carry: each gets on, and one that comes late begins within seconds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from batchyard.adapters.aws.rosters import Rosters
from batchyard.core.roster import Listed
from simulation.yard import Yard

BATCHES = 40
SECONDS = 30


@contextmanager
def crowd(rate: int, workers: int, seconds: float = 1.0) -> Iterator[Yard]:
    """Forty large batches of as many accounts, for as long as it takes to begin all of them."""
    yard = Yard(rate, workers, seconds)
    try:
        for number in range(BATCHES):
            yard.add(f"large{number}", 10_000, f"acct_{number}")
        yard.run(SECONDS)
        yield yard
    finally:
        yard.close()


@pytest.mark.parametrize("workers", [1, 5])
def test_all_of_them_get_on_and_a_small_one_begins_at_once(workers: int) -> None:
    """Forty batches on five workers, or on a single one, at 200 calls a second: all begin within half a minute, each
    gets at least a third of its share, and the lane is used."""
    with crowd(200, workers) as yard:
        assert len(yard.provider.first_call_at) == BATCHES
        before = Counter(yard.provider.good)
        yard.add("small", 20, "acct_small")
        yard.run(40)
        gained = yard.provider.good - before
        assert yard.provider.first_call_at["small"] < SECONDS + 8
        assert min(gained[f"large{number}"] for number in range(BATCHES)) > 40 * 200 / BATCHES / 3
        assert gained.total() > 0.95 * 40 * 200


def test_a_slow_lane_starves_nobody() -> None:
    """At 20 calls a second a shard lasts for minutes: it is not run in one go."""
    with crowd(20, 2) as yard:
        assert len(yard.provider.first_call_at) == BATCHES
        yard.add("small", 20, "acct_small")
        yard.run(10)
        assert yard.provider.first_call_at["small"] < SECONDS + 8


def test_long_calls_do_not_keep_a_newcomer_out() -> None:
    """A run that makes room gives up its place at once, though its calls take half a minute."""
    with crowd(20, 2, 30.0) as yard:
        yard.add("small", 20, "acct_small")
        yard.run(15)
        assert yard.provider.first_call_at["small"] < SECONDS + 10


def test_workers_without_a_limit_begin_what_is_new() -> None:
    """No rate is known where nothing is ever refused: workers that are busy for minutes take up a new batch, too."""
    with crowd(100_000, 2, 5.0) as yard:
        yard.add("small", 20, "acct_small")
        yard.run(20)
        assert yard.provider.first_call_at["small"] < SECONDS + 10


def test_workers_go_on_without_the_roster(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a hint: while it cannot be read, a batch that runs ends all the same, and nothing is called twice."""

    def refuse(rosters: Rosters, provider: str) -> list[Listed]:
        refused.append(provider)
        raise RuntimeError("throttled")

    refused: list[str] = []
    monkeypatch.setattr(Rosters, "of", refuse)
    yard = Yard(200, 2)
    try:
        yard.add("batch", 4_000)
        yard.run(60)
        assert refused
        assert "batch" in yard.ended_at
        assert yard.provider.good["batch"] == 4_000
    finally:
        yard.close()
