"""A provider that takes so many calls a second and refuses the others, and that may have an outage."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import orjson

from batchyard.core.calls import Answer, ProviderReply
from batchyard.core.ratelimits import read_rate_advice
from batchyard.core.retry import FailureReason, RetryAdvice
from batchyard.core.usage import Usage
from simulation.outages import Outage

_TOO_MANY = Answer(429, b"{}", failure=FailureReason.THROTTLED, retry_advice=RetryAdvice(retry_after_seconds=1.0))
_WELL = Answer(200, b"{}", "req", Usage(1, 0, 1, 0))
_REFUSES_SECONDS = 0.01


class LimitedProvider:
    """Takes `rate` calls a second, saved up for one second at most; each takes `seconds`. `tells`: its answers have the
    headers of OpenAI's that say so. `good`: calls that succeeded,
    by batch; `good_in`: by unix second."""

    def __init__(
        self,
        clock: Callable[[], float],
        rate: float,
        seconds: float,
        outage: Outage | None = None,
        *,
        tells: bool = False,
    ) -> None:
        self._clock = clock
        self._rate = rate
        self._seconds = seconds
        self._outage = outage
        self._tells = tells
        self._saved = math.inf
        self._saved_at = clock()
        self._begun_at = clock()
        self.good: Counter[str] = Counter()
        self.good_in: Counter[int] = Counter()
        self.succeeded = self.refused = self.received = self.witnesses = 0
        self.first_call_at: dict[str, float] = {}
        """By batch, in seconds since the start."""

    async def call(self, body: bytes) -> ProviderReply:
        """An item of the batch that `body` names."""
        self.received += 1
        batch_id = orjson.loads(body)["b"]
        self.first_call_at.setdefault(batch_id, self._clock() - self._begun_at)
        reply = await self._reply()
        if isinstance(reply, Answer) and reply.failure is None:
            self.succeeded += 1
            self.good[batch_id] += 1
            self.good_in[int(self._clock())] += 1
        return reply

    async def witness(self) -> ProviderReply:
        """The smallest request of the lane."""
        self.witnesses += 1
        return await self._reply()

    async def _reply(self) -> ProviderReply:
        if self._outage and self._outage.strikes(self._clock(), self.succeeded):
            return await self._outage.reply()
        if not self._takes_one_more():
            self.refused += 1
            await asyncio.sleep(_REFUSES_SECONDS)
            return self._told(_TOO_MANY)
        await asyncio.sleep(self._seconds)
        if self._outage and self._outage.strikes(self._clock(), self.succeeded):
            return await self._outage.reply()
        return self._told(_WELL)

    def _told(self, answer: Answer) -> Answer:
        if not self._tells:
            return answer
        headers = {
            "x-ratelimit-limit-requests": str(int(self._rate)),
            "x-ratelimit-remaining-requests": str(int(self._saved)),
            "x-ratelimit-reset-requests": f"{round(1000 * (1 - self._saved / self._rate))}ms",
        }
        return replace(answer, rate_advice=read_rate_advice(headers, self._clock()))

    def _takes_one_more(self) -> bool:
        now = self._clock()
        self._saved = min(self._rate, self._saved + (now - self._saved_at) * self._rate)
        self._saved_at = now
        if self._saved < 1:
            return False
        self._saved -= 1
        return True
