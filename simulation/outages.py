"""Outages of a provider: what its calls come to while one lasts.

What a provider answers goes through the deployed reading of answers (`adapters.providers.openai_replies`). For a call
without an answer the reason is given, as the adapter finds it (tests/adapters/test_provider_openai.py).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from batchyard.adapters.providers.openai_replies import Received, reply_of
from batchyard.core.calls import NoAnswer, ProviderReply
from batchyard.core.retry import FailureReason
from simulation.virtual_time import EPOCH

HALF = "half of all calls fail"
_HANG_SECONDS = 610.0
"""Connecting and reading at their timeouts (`settings.WorkSettings`)."""
_SEED = 11

Behaviour = Callable[[], Awaitable[ProviderReply]]


def _answers(status: int, seconds: float, body: bytes = b'{"error":{"message":"no"}}') -> Behaviour:
    async def behave() -> ProviderReply:
        await asyncio.sleep(seconds)
        return reply_of(status, {}, Received(body), EPOCH)

    return behave


def _breaks(reason: FailureReason, seconds: float) -> Behaviour:
    async def behave() -> ProviderReply:
        await asyncio.sleep(seconds)
        return NoAnswer(reason)

    return behave


KINDS: dict[str, Behaviour] = {
    "500": _answers(500, 0.5),
    "502": _answers(502, 0.05),
    "503": _answers(503, 0.05),
    "529": _answers(529, 0.2),
    "resets": _breaks(FailureReason.CONNECTION, 0.3),
    "refused connections": _breaks(FailureReason.CONNECTION, 0.001),
    "DNS failures": _breaks(FailureReason.CONNECTION, 5.0),
    "hangs": _breaks(FailureReason.TIMEOUT, _HANG_SECONDS),
    "200 that is no JSON": _answers(200, 0.1, b"<html>Welcome</html>"),
    HALF: _answers(503, 0.05),
    "refused key": _answers(401, 0.1, b'{"error":{"code":"invalid_api_key","message":"Incorrect API key"}}'),
}
"""The way in which calls fail, and how soon."""


@dataclass
class Outage:
    """Begins when `after_items` calls have succeeded, and lasts `seconds`. `began_at`: infinite before."""

    kind: str
    seconds: float
    after_items: int
    began_at: float = float("inf")
    _coin: random.Random = field(default_factory=lambda: random.Random(_SEED))

    @property
    def ends_at(self) -> float:
        return self.began_at + self.seconds

    def strikes(self, now: float, succeeded: int) -> bool:
        """Whether a call that is in the provider's hands at `now` fails."""
        if succeeded >= self.after_items:
            self.began_at = min(self.began_at, now)
        is_on = self.began_at <= now < self.ends_at
        return is_on and (self.kind != HALF or self._coin.random() < 0.5)

    async def reply(self) -> ProviderReply:
        """What a call that fails comes to."""
        return await KINDS[self.kind]()
