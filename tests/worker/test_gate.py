"""The gate of a lane, in virtual time: first come, first served, and no turn is ever lost."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import pytest

from batchyard.core.calls import Answer, ProviderReply
from batchyard.core.lanes import LaneId
from batchyard.core.retry import FailureReason, RetryAdvice
from batchyard.worker.gate import Gate, Gates
from simulation.virtual_time import VirtualTimeLoop

OK = Answer(200, b"{}")


def refused(seconds: float) -> Answer:
    advice = RetryAdvice(retry_after_seconds=seconds)
    return Answer(429, b"{}", failure=FailureReason.THROTTLED, retry_advice=advice)


def run(work: Coroutine[Any, Any, None]) -> float:
    """Runs to the end; the virtual seconds it took."""
    loop = VirtualTimeLoop()
    try:
        loop.run_until_complete(work)
        return loop.time()
    finally:
        loop.close()


def gate_of(gates: Gates, model: str = "m") -> Gate:
    return gates.of(LaneId("openai", model))


def gates(max_in_flight: int = 512) -> Gates:
    return Gates(max_in_flight, asyncio.get_running_loop().time)


async def pass_through(gate: Gate, seconds: float, outcome: ProviderReply = OK) -> None:
    call = await gate.enter()
    came_to = None
    try:
        await asyncio.sleep(seconds)
        came_to = outcome
    finally:
        gate.leave(call, came_to, seconds)


def test_an_account_with_a_key_of_its_own_has_a_pace_of_its_own() -> None:
    """A 429 on a caller's key says nothing of the deployment's, and nothing of another caller's."""

    async def story() -> None:
        made = gates()
        ours, theirs, others = (made.of(LaneId("openai", "m", owner)) for owner in (None, "acct_a", "acct_b"))
        assert made.of(LaneId("openai", "m", "acct_a")) is theirs
        await asyncio.gather(*(pass_through(theirs, 0, refused(30)) for _ in range(512)))
        now = asyncio.get_running_loop().time()
        assert theirs.pacer.wait_seconds(now) > 0
        assert ours.pacer.wait_seconds(now) == others.pacer.wait_seconds(now) == 0

    run(story())


def test_calls_pass_in_the_order_they_came() -> None:
    """A full gate serves its queue from the front."""
    order = []

    async def one(gate: Gate, number: int) -> None:
        call = await gate.enter()
        order.append(number)
        await asyncio.sleep(1)
        gate.leave(call, OK, 1.0)

    async def work() -> None:
        gate = gate_of(gates(max_in_flight=3))
        await asyncio.gather(*(one(gate, number) for number in range(20)))
        assert gate.pacer.in_flight == 0

    assert run(work()) == pytest.approx(7.0)
    assert order == list(range(20))


def test_all_lanes_share_the_process() -> None:
    """Two lanes together never have more in flight than the process may."""
    most = in_flight = 0

    async def one(gate: Gate) -> None:
        nonlocal most, in_flight
        call = await gate.enter()
        in_flight += 1
        most = max(most, in_flight)
        await asyncio.sleep(1)
        in_flight -= 1
        gate.leave(call, OK, 1.0)

    async def work() -> None:
        both = gates(max_in_flight=4)
        await asyncio.gather(*(one(gate_of(both, model)) for model in "ab" for _ in range(10)))

    run(work())
    assert most == 4


def test_long_calls_of_a_lane_leave_others_their_places() -> None:
    """A lane whose calls take a minute has what it may of a process's 64 places when another one comes: that begins at
    once, gets each place that becomes free until it has half, and keeps those. Its 1,600 calls of a second take less
    than two minutes, not one of the slow lane's each; and the slow lane has its half all the time."""
    in_flight: Counter[str] = Counter()

    async def one(gates: Gates, model: str, seconds: float) -> None:
        gate = gate_of(gates, model)
        call = await gate.enter()
        in_flight[model] += 1
        await asyncio.sleep(seconds)
        in_flight[model] -= 1
        gate.leave(call, OK, seconds)

    async def work() -> None:
        both = gates(max_in_flight=64)
        slow = [asyncio.create_task(one(both, "slow", 60.0)) for _ in range(64)]
        await asyncio.sleep(30)
        slow += [asyncio.create_task(one(both, "slow", 60.0)) for _ in range(448)]
        fast = [asyncio.create_task(one(both, "fast", 1.0)) for _ in range(1_600)]
        await asyncio.sleep(0.5)
        assert in_flight == {"slow": 62, "fast": 2}
        await asyncio.sleep(40)
        assert in_flight == {"slow": 32, "fast": 32}
        await asyncio.gather(*fast)
        assert asyncio.get_running_loop().time() == pytest.approx(60 + 1_540 / 32, abs=2)
        await asyncio.sleep(61)
        assert in_flight["slow"] == 62
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)

    run(work())


def test_a_place_that_its_lane_cannot_use_goes_to_the_next() -> None:
    """The lane whose turn it is was shut meanwhile."""

    async def work() -> None:
        both = gates(max_in_flight=1)
        holder, shut, other = gate_of(both, "holder"), gate_of(both, "shut"), gate_of(both, "other")
        call = await holder.enter()
        first = asyncio.create_task(pass_through(shut, 1))
        await asyncio.sleep(0)
        second = asyncio.create_task(pass_through(other, 1))
        await asyncio.sleep(0)
        shut.shut()
        holder.leave(call, OK, 1.0)
        await asyncio.wait_for(second, timeout=2)
        assert not first.done()
        shut.open()
        await asyncio.wait_for(first, timeout=2)

    run(work())


@pytest.mark.parametrize("seed", range(10))
def test_no_place_is_lost_or_given_twice(seed: int) -> None:
    """Three lanes, a place for every tenth call, and calls that are cancelled while they wait, many in the moment in
    which they are let in: never more are in flight than there are places, every other call gets through, and at the end
    all places are free."""
    dice = random.Random(seed)
    waiting: dict[asyncio.Task[None] | None, None] = {}
    in_flight = most = cancelled = 0

    async def one(gate: Gate) -> None:
        nonlocal in_flight, most, cancelled
        task = asyncio.current_task()
        waiting[task] = None
        try:
            call = await gate.enter()
        finally:
            waiting.pop(task, None)
        in_flight += 1
        most = max(most, in_flight)
        await asyncio.sleep(dice.choice([0.0, 0.1, 3.0]))
        in_flight -= 1
        gate.leave(call, OK, 1.0)
        for other in list(waiting)[: dice.choice([0, 0, 1, 3])]:
            assert other is not None
            del waiting[other]
            other.cancel()
            cancelled += 1

    async def work() -> None:
        made = gates(max_in_flight=10)
        lanes = [gate_of(made, model) for model in "abc"]
        done = await asyncio.gather(*(one(dice.choice(lanes)) for _ in range(100)), return_exceptions=True)
        assert done.count(None) == 100 - cancelled
        assert [gate.pacer.in_flight for gate in lanes] == [0, 0, 0]
        await asyncio.gather(*(pass_through(gate, 1) for gate in lanes for _ in range(10)))
        free = [await gate.enter() for gate in lanes for _ in range(3)]
        assert len(free) == 9

    assert run(work()) < 200
    assert most == 10
    assert cancelled > 20


def test_a_pause_ends_by_itself() -> None:
    """Nothing has to leave for the queue to move on once Retry-After has passed."""

    async def work() -> None:
        gate = gate_of(gates(max_in_flight=3))
        await asyncio.gather(*(pass_through(gate, 0, refused(40.0)) for _ in range(3)))
        assert asyncio.get_running_loop().time() == 0
        await asyncio.gather(*(pass_through(gate, 1) for _ in range(5)))

    assert 41.0 <= run(work()) <= 45.0


def test_cancelled_waiters_lose_nobodys_turn() -> None:
    """Waiting calls are cancelled at every possible moment; the others still get through, and the count is right."""

    async def work() -> None:
        gate = gate_of(gates(max_in_flight=2))
        tasks = [asyncio.create_task(pass_through(gate, 1)) for _ in range(30)]
        for number, task in enumerate(tasks):
            if number % 3 == 1:
                await asyncio.sleep(0.25)
                task.cancel()
            if number % 5 == 0:
                await asyncio.sleep(0)
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert 15 < done.count(None) < 30
        assert gate.pacer.in_flight == 0
        await asyncio.wait_for(pass_through(gate, 1), timeout=2)

    run(work())


def test_a_turn_granted_to_a_cancelled_call_is_passed_on() -> None:
    """Granted and cancelled in the same breath: the next one gets the turn."""

    async def work() -> None:
        gate = gate_of(gates(max_in_flight=1))
        holder = await gate.enter()
        first = asyncio.create_task(pass_through(gate, 1))
        second = asyncio.create_task(pass_through(gate, 1))
        await asyncio.sleep(0)
        gate.leave(holder, OK, 1.0)
        first.cancel()
        await asyncio.wait_for(second, timeout=2)
        assert gate.pacer.in_flight == 0

    run(work())


def test_held_answers_hold_back_the_next_call_until_they_are_freed() -> None:
    """Only a flush lets the queue move on, and it does so at once."""

    async def work() -> None:
        gate = gate_of(Gates(8, asyncio.get_running_loop().time, memory_bytes=1000))
        big = Answer(200, b"x" * 600)
        await pass_through(gate, 1, big)
        first = await gate.enter()
        second = asyncio.create_task(pass_through(gate, 1, refused(1.0)))
        await asyncio.sleep(5)
        assert not second.done()
        gate.free(600)
        await asyncio.sleep(0)
        gate.leave(first, None, 1.0)
        await asyncio.wait_for(second, timeout=2)

    run(work())
