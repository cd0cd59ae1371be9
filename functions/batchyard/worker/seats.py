"""Seats: the places for shards in a worker process. They bound its memory.

A run that is asked to make room gives up its seat at once, though its calls in flight go on: they may take a minute,
and who waits for the seat should not. So does one that has hardly anything left to start, for the next shard of its
batch. No more than as many runs as there are seats are leaving at a time.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable


class Seat:
    """Given up once, whoever does it first: the run that ends, or who needs the room."""

    def __init__(self, seats: Seats) -> None:
        self._seats = seats
        self.is_held = True
        self.has_to_go = False
        """Whether the run has to end because others wait for its seat."""
        self._is_leaving = False
        self.items_to_start: Callable[[], int] = lambda: sys.maxsize
        """How many items of its run could start a call now."""

    def make_room(self) -> None:
        """The run that has this seat is to end, and another one may sit down now."""
        self.has_to_go = self.is_held
        self.pass_on()

    def pass_on(self) -> None:
        """The run that has this seat goes on without it, and another one may sit down now."""
        if self.is_held:
            self._is_leaving = True
            self._seats.leaving += 1
            self._give_up()

    def leave(self) -> None:
        """The run is over."""
        if self._is_leaving:
            self._is_leaving = self.has_to_go = False
            self._seats.leaving -= 1
        elif self.is_held:
            self._give_up()

    def _give_up(self) -> None:
        self.is_held = False
        self._seats.free()


class Seats:
    """`places`: how many there are. `leaving`: runs that gave up theirs and have not ended yet."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._room = asyncio.Semaphore(places)
        self.leaving = 0

    @property
    def is_full(self) -> bool:
        return self._room.locked()

    @property
    def may_make_room(self) -> bool:
        return self.leaving < self._places

    async def take(self) -> Seat:
        """Waits for a seat. `leave` must follow."""
        await self._room.acquire()
        return Seat(self)

    def free(self) -> None:
        self._room.release()
