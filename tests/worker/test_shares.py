"""Many workers on one lane: together they use what its provider takes and no more, and everybody gets a share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from simulation.yard import Yard


@pytest.fixture
def yards() -> Iterator[Callable[..., Yard]]:
    made: list[Yard] = []

    def make(rate: float, workers: int, seconds: float = 1.0) -> Yard:
        made.append(Yard(rate, workers, seconds))
        return made[-1]

    yield make
    for yard in made:
        yard.close()


@pytest.mark.parametrize("workers", [1, 5, 20])
@pytest.mark.parametrize("rate", [20, 200])
def test_a_limited_lane_is_used_and_not_overrun(yards: Callable[..., Yard], rate: int, workers: int) -> None:
    """However many workers come: most of what the provider takes, few refusals, and not the price of all of them."""
    yard = yards(rate, workers)
    items = rate * 100
    yard.add("big", items)
    yard.run(1000)
    took = yard.ended_at["big"]
    report = (items / took / rate, yard.provider.refused / items, yard.worker_seconds / took)
    assert report[0] >= 0.7, report
    assert report[1] <= 0.2, report
    assert report[2] <= min(workers, 8) + 0.1, report


@pytest.mark.parametrize("account_id", ["acct_a", "acct_b"])
@pytest.mark.parametrize("workers", [2, 5])
def test_a_small_batch_is_not_held_up(yards: Callable[..., Yard], workers: int, account_id: str) -> None:
    """Fifty items beside twenty thousand, of another account or of the same: as if they were nearly alone."""
    yard = yards(200, workers)
    yard.add("big", 10_000)
    yard.run(30)
    yard.add("small", 50, account_id)
    yard.run(60)
    assert yard.provider.first_call_at["small"] < 30 + 10
    assert yard.ended_at["small"] < 30 + 20


def test_accounts_share_equally(yards: Callable[..., Yard]) -> None:
    """Ten accounts that all want everything: the one with five batches gets hardly more than each of the others."""
    yard = yards(200, 20)
    for number in range(10):
        for batch in range(5 if number == 0 else 1):
            yard.add(f"batch{number}x{batch}", 3_000, f"acct_{number}")
    yard.run(40)
    before = Counter(yard.provider.good)
    yard.run(60)
    by_account: Counter[str] = Counter()
    for batch_id, count in (yard.provider.good - before).items():
        by_account[batch_id.partition("x")[0]] += count
    shares = {account: count / by_account.total() for account, count in by_account.items()}
    assert all(0.06 <= share <= 0.17 for share in shares.values()), shares
