"""Whose turn it is: accounts take turns, and within an account its batches do. Who asks for nothing is passed over.

Each has a weight, 1 unless it was told: of two that always wait, one of weight 3 gets three turns for each turn of
one of weight 1. A turn moves what took it forward on a scale, by less the larger its weight is; who is furthest behind
is next. Who comes back begins where the others are: turns cannot be saved up, only owed. What is discarded costs nobody
a turn.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from heapq import heappop, heappush, heapreplace
from typing import Generic, TypeAlias, TypeVar

T = TypeVar("T")
_Queue: TypeAlias = "OrderedDict[T, None]"


class _Scale(Generic[T]):
    """Named things that wait, the one that is furthest behind first."""

    def __init__(self) -> None:
        self._waiting: dict[str, T] = {}
        self._heap: list[tuple[float, int, str]] = []
        """(place on the scale, order of arrival, name)"""
        self._now = 0.0
        self._arrivals = 0
        self._weights: Mapping[str, float] = {}
        self._places: dict[str, float] = {}
        """Of those that wait for nothing and have had more than their turns."""

    def __len__(self) -> int:
        return len(self._heap)

    def __contains__(self, name: str) -> bool:
        return name in self._waiting

    def __getitem__(self, name: str) -> T:
        return self._waiting[name]

    def weigh(self, weights: Mapping[str, float]) -> None:
        self._weights = weights
        self._places = {name: place for name, place in self._places.items() if place > self._now}

    def names(self) -> list[str]:
        return list(self._waiting)

    def add(self, name: str, thing: T) -> None:
        self._waiting[name] = thing
        self._arrivals += 1
        place = max(self._now, self._places.pop(name, self._now))
        heappush(self._heap, (place, self._arrivals, name))

    def first(self) -> str:
        """Raises KeyError if nothing waits."""
        if not self._heap:
            raise KeyError("nothing waits")
        return self._heap[0][2]

    def move_first(self) -> None:
        """The first one has had its turn and waits for another."""
        self._now, _, name = self._heap[0]
        self._arrivals += 1
        heapreplace(self._heap, (self._next_place(name), self._arrivals, name))

    def drop_first(self) -> None:
        """The first one has had its turn and waits for nothing more."""
        self._now, _, name = heappop(self._heap)
        del self._waiting[name]
        self._places[name] = self._next_place(name)

    def forget_first(self) -> None:
        """The first one waits for nothing more, and has had no turn."""
        place, _, name = heappop(self._heap)
        del self._waiting[name]
        self._places[name] = place

    def _next_place(self, name: str) -> float:
        return self._now + 1 / self._weights.get(name, 1.0)


class Turns(Generic[T]):
    """What waits, in the order in which it may go. Adding and taking cost the same however much waits."""

    def __init__(self) -> None:
        self._accounts: _Scale[_Scale[_Queue[T]]] = _Scale()
        self._weights: dict[str, dict[str, float]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def weigh(self, weights: Mapping[str, Mapping[str, float]]) -> None:
        """How much each account is to get of what there is, and each of its batches: account -> batch -> weight."""
        self._weights = {account: dict(batches) for account, batches in weights.items()}
        self._accounts.weigh({account: sum(batches.values()) for account, batches in weights.items()})
        for account_id in self._accounts.names():
            self._accounts[account_id].weigh(self._weights.get(account_id, {}))

    def add(self, account_id: str, batch_id: str, waiting: T) -> None:
        """Behind everything of the same batch; each thing once."""
        if account_id not in self._accounts:
            batches: _Scale[_Queue[T]] = _Scale()
            batches.weigh(self._weights.get(account_id, {}))
            self._accounts.add(account_id, batches)
        batches = self._accounts[account_id]
        if batch_id not in batches:
            batches.add(batch_id, OrderedDict())
        batches[batch_id][waiting] = None
        self._size += 1

    def discard(self, account_id: str, batch_id: str, waiting: T) -> None:
        """It waits no more; nothing changes if it had its turn."""
        if account_id in self._accounts and batch_id in self._accounts[account_id]:
            queue = self._accounts[account_id][batch_id]
            if waiting in queue:
                del queue[waiting]
                self._size -= 1

    def take(self) -> T:
        """What is next; its account and its batch then go behind the others. Raises KeyError if nothing waits."""
        batches = self._first_batches()
        queue = batches[batches.first()]
        waiting, _ = queue.popitem(last=False)
        self._size -= 1
        if queue:
            batches.move_first()
        else:
            batches.drop_first()
        if len(batches):
            self._accounts.move_first()
        else:
            self._accounts.drop_first()
        return waiting

    def batches(self) -> dict[str, str]:
        """The batches that wait for something -> their accounts."""
        return {
            batch_id: account_id
            for account_id in self._accounts.names()
            for batch_id in self._accounts[account_id].names()
            if self._accounts[account_id][batch_id]
        }

    def _first_batches(self) -> _Scale[_Queue[T]]:
        """Those of the account that is next, the first of them with something that waits."""
        while True:
            batches = self._accounts[self._accounts.first()]
            while len(batches) and not batches[batches.first()]:
                batches.forget_first()
            if len(batches):
                return batches
            self._accounts.forget_first()
