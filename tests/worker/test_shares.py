"""Many workers on one lane: together they use what its provider takes and no more, and everybody gets a share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from simulation.yard import Yard


@pytest.fixture
def yards() -> Iterator[Callable[..., Yard]]:
    made: list[Yard] = []

    def make(rate: float, workers: int, seconds: float = 1.0, *, tells: bool = False) -> Yard:
        made.append(Yard(rate, workers, seconds, tells=tells))
        return made[-1]

    yield make
    for yard in made:
        yard.close()


@pytest.mark.parametrize("workers", [1, 5, 20])
@pytest.mark.parametrize("rate", [20, 200])
def test_a_limited_lane_is_used_and_not_overrun(yards: Callable[..., Yard], rate: int, workers: int) -> None:
    """However many workers come to a lane of which nothing is known: most of what the provider takes, few refusals, and
    hardly more than the price of one worker."""
    yard = yards(rate, workers)
    items = rate * 100
    yard.add("big", items)
    yard.run(1000)
    took = yard.ended_at["big"]
    report = (items / took / rate, yard.provider.refused / items, yard.worker_seconds / (items / rate))
    assert report[0] >= 0.95, report
    assert report[1] <= 0.03, report
    assert report[2] <= 1.5, report


@pytest.mark.parametrize(("rate", "workers"), [(20, 1), (20, 5), (200, 1), (200, 5)])
def test_what_a_provider_says_comes_before_its_refusals(yards: Callable[..., Yard], rate: int, workers: int) -> None:
    """Its headers tell the rate with the first answer: nothing is refused but the calls that started before, and the
    rate is used as well as one that had to be found out."""
    yard = yards(rate, workers, tells=True)
    items = rate * 100
    yard.add("big", items)
    yard.run(1000)
    report = (items / yard.ended_at["big"] / rate, yard.provider.refused)
    assert report[0] >= 0.94, report
    assert report[1] <= 64, report


def test_a_fast_lane_is_used_by_several_workers(yards: Callable[..., Yard]) -> None:
    """Two thousand calls a second are more than one worker has in flight."""
    yard = yards(2_000, 20)
    yard.add("big", 2_000 * 20)
    yard.run(1000)
    report = (20 / yard.ended_at["big"], yard.provider.refused / 40_000)
    assert report[0] >= 0.75, report
    assert report[1] <= 0.2, report


@pytest.mark.parametrize("account_id", ["acct_a", "acct_b"])
@pytest.mark.parametrize("workers", [2, 5])
def test_a_small_batch_is_not_held_up(yards: Callable[..., Yard], workers: int, account_id: str) -> None:
    """Fifty items beside tens of thousands, of another account or of the same: as if they were nearly alone, and the
    large batch does not stand still."""
    yard = yards(200, workers)
    yard.add("big", 20_000)
    yard.run(30)
    yard.add("small", 50, account_id)
    before = yard.provider.good["big"]
    yard.run(20)
    assert yard.provider.first_call_at["small"] < 30 + 5
    assert yard.ended_at["small"] < 30 + 12
    assert yard.provider.good["big"] - before > 20 * 200 / 2


@pytest.mark.parametrize("workers", [1, 5, 20])
def test_accounts_share_equally(yards: Callable[..., Yard], workers: int) -> None:
    """Ten accounts that all want everything: each gets a tenth, within ten per cent of that, and the one with five
    batches no more than each of the others."""
    yard = yards(200, workers)
    for number in range(10):
        for batch in range(5 if number == 0 else 1):
            yard.add(f"batch{number}x{batch}", 3_000, f"acct_{number}")
    assert _shares(yard) == pytest.approx(dict.fromkeys(range(10), 0.1), rel=0.1)


def test_a_seed_gives_one_result(yards: Callable[..., Yard]) -> None:
    """The simulation runs the same way each time, down to the last call: what it measures is no matter of luck."""

    def run() -> tuple[object, ...]:
        yard = yards(200, 4)
        for number in range(6):
            yard.add(f"batch{number}x", 1_000, f"acct_{number}")
        yard.run(25)
        provider = yard.provider
        return provider.good_in, provider.good, provider.received, yard.aws_calls, yard.invocations, yard.worker_seconds

    assert run() == run()


def test_every_batch_gets_its_turn_of_the_workers(yards: Callable[..., Yard]) -> None:
    """Twenty batches of as many accounts and twenty workers: each has its first call soon, though few are needed."""
    yard = yards(200, 20)
    for number in range(20):
        yard.add(f"batch{number}", 3_000, f"acct_{number}")
    yard.run(20)
    assert len(yard.provider.first_call_at) == 20, yard.provider.first_call_at


def test_an_account_of_weight_three_gets_three_times_as_much(yards: Callable[..., Yard]) -> None:
    """Beside another one, whatever the number of workers."""
    yard = yards(200, 5)
    yard.add("batch0x", 20_000, "acct_0", weight=3)
    yard.add("batch1x", 20_000, "acct_1")
    assert _shares(yard) == pytest.approx({0: 0.75, 1: 0.25}, abs=0.05)


def _shares(yard: Yard) -> dict[int, float]:
    """What each account gets of the calls, once all of them have begun."""
    yard.run(40)
    before = Counter(yard.provider.good)
    yard.run(60)
    by_account: Counter[int] = Counter()
    for batch_id, count in (yard.provider.good - before).items():
        by_account[int(batch_id.removeprefix("batch").partition("x")[0])] += count
    return {account: count / by_account.total() for account, count in by_account.items()}
