"""Whose turn it is: accounts take turns, and within an account its batches do. Who asks for nothing is passed over."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """What waits, in the order in which it may go. Adding and taking cost the same however much waits."""

    def __init__(self) -> None:
        self._accounts: OrderedDict[str, OrderedDict[str, deque[T]]] = OrderedDict()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, account_id: str, batch_id: str, waiting: T) -> None:
        """Behind everything of the same batch."""
        batches = self._accounts.setdefault(account_id, OrderedDict())
        batches.setdefault(batch_id, deque()).append(waiting)
        self._size += 1

    def take(self) -> T:
        """What is next; its account and its batch then go behind the others. Raises KeyError if nothing waits."""
        account_id, batches = self._accounts.popitem(last=False)
        batch_id, queue = batches.popitem(last=False)
        waiting = queue.popleft()
        self._size -= 1
        if queue:
            batches[batch_id] = queue
        if batches:
            self._accounts[account_id] = batches
        return waiting

    def batches(self) -> dict[str, str]:
        """The batches that wait for something -> their accounts."""
        return {batch_id: account_id for account_id, batches in self._accounts.items() for batch_id in batches}
