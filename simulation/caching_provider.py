"""A vendor with a prompt cache: the simulator's (`local.provider.prompt_cache`), by the clock of a simulation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import orjson

from batchyard.core.calls import Answer, ProviderReply
from batchyard.core.usage import Usage
from local.provider.answers.content import CHARS_PER_TOKEN
from local.provider.prompt_cache import Prefix, PromptCache
from simulation.limited_provider import LimitedProvider

_KEEP_SECONDS = 300.0
_OUTPUT_TOKENS = 100


class CachingProvider(LimitedProvider):
    """Takes all calls. `prefixes`: what it may keep of an item's prompt. `charges_writing`: what is put into the cache
    has a price of its own, so that the usage says how much that was. `usages` gets the usage of each item."""

    def __init__(
        self,
        clock: Callable[[], float],
        seconds: float,
        prefixes: Callable[[bytes], list[Prefix]],
        *,
        charges_writing: bool,
        usages: list[Usage],
    ) -> None:
        super().__init__(clock, math.inf, seconds)
        self._call_seconds = seconds
        self._prefixes = prefixes
        self._charges_writing = charges_writing
        self._cache = PromptCache()
        self._usages = usages

    async def call(self, body: bytes) -> ProviderReply:
        use = self._cache.use(
            "key", self._prefixes(body), self._clock(), _KEEP_SECONDS, answer_seconds=self._call_seconds
        )
        reply = await super().call(body)
        if not isinstance(reply, Answer) or reply.failure is not None:
            return reply
        prompt = orjson.dumps(orjson.loads(body)["messages"])
        usage = Usage(
            len(prompt) // CHARS_PER_TOKEN,
            use.read,
            _OUTPUT_TOKENS,
            cache_write_tokens=use.written if self._charges_writing else 0,
        )
        self._usages.append(usage)
        return replace(reply, usage=usage)
