"""Reading ahead keeps the order and its bounds."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from batchyard.adapters.aws.readahead import read_ahead


class Reads:
    """Reads of `size` bytes each, which count how many were begun and not yet taken."""

    def __init__(self, count: int, size: int) -> None:
        self.count, self.size = count, size
        self.begun = 0
        self.most_ahead = 0
        self.taken = 0
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Callable[[], bytes]]:
        for number in range(self.count):
            yield lambda number=number: self._read(number)

    def _read(self, number: int) -> bytes:
        with self._lock:
            self.begun += 1
            self.most_ahead = max(self.most_ahead, self.begun - self.taken)
        return bytes([number]) * self.size

    def take(self, reads: Iterator[bytes]) -> list[int]:
        found = []
        for data in reads:
            found.append(data[0])
            self.taken += 1
        return found


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


@pytest.mark.parametrize("at_most", [1, 2, 8])
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_results_come_in_order(pool: ThreadPoolExecutor, at_most: int, count: int) -> None:
    """Every read's result, in the order of the reads, whatever the depth."""
    reads = Reads(count, 10)
    found = reads.take(read_ahead(pool, reads, at_most=at_most, held_bytes=1000))
    assert found == list(range(count))
    assert reads.most_ahead <= at_most + 1


def test_large_results_are_read_one_by_one(pool: ThreadPoolExecutor) -> None:
    """Once results prove larger than half of what may be held, only one is read ahead."""
    reads = Reads(50, 600)
    reads.take(read_ahead(pool, reads, at_most=8, held_bytes=1000))
    assert reads.most_ahead <= 3


def test_an_exception_comes_in_its_place_and_ends_the_reading(pool: ThreadPoolExecutor) -> None:
    """What was read before it comes out; what is behind it is not begun any more."""
    begun = []

    def read(number: int) -> bytes:
        begun.append(number)
        if number == 3:
            raise ZeroDivisionError
        return bytes([number])

    reads = read_ahead(pool, [lambda n=n: read(n) for n in range(50)], at_most=2, held_bytes=10)  # type: ignore[misc]
    assert [next(reads)[0] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ZeroDivisionError):
        next(reads)
    pool.shutdown()
    assert max(begun) <= 6
