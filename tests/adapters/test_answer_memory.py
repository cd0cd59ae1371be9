"""What a process holds of answers stays within bounds, whatever comes in, and nobody waits for ever."""

from __future__ import annotations

import asyncio

from batchyard.adapters.providers.answer_memory import AnswerMemory


def test_large_answers_wait_for_room() -> None:
    """Three of them fit; what one held makes the next wait until it is flushed."""

    async def story() -> None:
        memory = AnswerMemory(at_most=30, largest=10)
        for _ in range(3):
            await memory.begin_large()
        fourth = asyncio.create_task(memory.begin_large())
        await asyncio.sleep(0)
        assert not fourth.done()
        memory.hold(10)
        memory.end_large()
        await asyncio.sleep(0)
        assert not fourth.done(), "what was read is held now: there is no room yet"
        memory.free(10)
        await asyncio.wait_for(fourth, 5)

    asyncio.run(story())


def test_one_is_always_read() -> None:
    """A bound below a single answer stops nobody for ever."""

    async def story() -> None:
        memory = AnswerMemory(at_most=5, largest=10)
        await asyncio.wait_for(memory.begin_large(), 5)

    asyncio.run(story())


def test_a_cancelled_wait_takes_nobodys_place() -> None:
    """The next one in the queue is woken instead."""

    async def story() -> None:
        memory = AnswerMemory(at_most=10, largest=10)
        await memory.begin_large()
        first, second = (asyncio.create_task(memory.begin_large()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        memory.end_large()
        await asyncio.wait_for(second, 5)

    asyncio.run(story())
