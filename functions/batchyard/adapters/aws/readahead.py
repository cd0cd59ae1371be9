"""Reads that run ahead of their reader: in threads, in order, with a bound on what is held in memory."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future

_FIRST_DEPTH = 2


def read_ahead(
    pool: Executor, reads: Iterable[Callable[[], bytes]], *, at_most: int, held_bytes: int
) -> Generator[bytes]:
    """The results of `reads`, in their order. At most `at_most` of them are under way or waiting to be taken, and
    together no more than fit into `held_bytes`, judged by the largest result so far (but always one). The first read
    that raises ends the iteration with its exception; what is still queued then never starts."""
    pending = iter(reads)
    waiting: deque[Future[bytes]] = deque()
    largest = 1
    depth = min(at_most, _FIRST_DEPTH)
    try:
        while True:
            waiting.extend(pool.submit(read) for read in itertools.islice(pending, max(0, depth - len(waiting))))
            if not waiting:
                return
            data = waiting.popleft().result()
            largest = max(largest, len(data))
            depth = max(1, min(at_most, held_bytes // largest))
            waiting.extend(pool.submit(read) for read in itertools.islice(pending, max(0, depth - len(waiting))))
            yield data
    finally:
        for future in waiting:
            future.cancel()
