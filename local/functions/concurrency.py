"""The Lambda concurrency of an account: what its functions without a reservation share, among each other and with
whatever else runs in the account.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

_LONGEST_WAIT_SECONDS = 1.0
"""So that who waits sees that the local cloud closes."""


class QuotaTooSmall(Exception):
    """The functions reserve more than the account has; Lambda would refuse such a deployment."""


class AccountConcurrency:
    """Safe to use from many threads. `limit`: the executions that are not reserved; None: as many as one likes."""

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._running = 0
        self._neighbours = 0
        self._changed = threading.Condition()

    @classmethod
    def of(cls, quota: int | None, reservations: Iterable[int | None]) -> AccountConcurrency:
        """What a quota leaves of itself after the reservations. Raises QuotaTooSmall."""
        if quota is None:
            return cls()
        reserved = sum(each or 0 for each in reservations)
        if reserved >= quota:
            raise QuotaTooSmall(f"{reserved} executions are reserved, and the account has {quota}")
        return cls(quota - reserved)

    def take(self) -> bool:
        """Whether there was an execution left, which is taken from now on."""
        with self._changed:
            if not self._has_room():
                return False
            self._running += 1
            return True

    def give_back(self) -> None:
        with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def wait_for_room(self) -> None:
        """Until there is an execution to take, or for a moment."""
        with self._changed:
            self._changed.wait_for(self._has_room, _LONGEST_WAIT_SECONDS)

    def occupy(self, executions: int) -> None:
        """So many executions are used by neighbours in the account from now on. Raises ValueError without a limit."""
        if self._limit is None:
            raise ValueError("without a limit of the account, neighbours take nothing away")
        with self._changed:
            self._neighbours = executions
            self._changed.notify_all()

    def _has_room(self) -> bool:
        return self._limit is None or self._running + self._neighbours < self._limit
