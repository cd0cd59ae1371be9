"""One item's request, in a call or in a job: received, answered, and what its answer costs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from local.provider.answers.content import Body, Endpoint, Tokens, Unanswerable, count_tokens
from local.provider.config import Config
from local.provider.dialects import Dialect
from local.provider.faults import NO_WISHES, Wishes, wishes_of
from local.provider.item_text import hash_text, is_witness, item_text
from local.provider.ledger import Bill, Ledger, hash_request
from local.provider.prompt_cache import NO_USE, CacheUse, PromptCache
from local.provider.wire import Refused

_CACHEABLE_BYTES = 4096
"""A shorter request has no prompt that vendors would cache."""

_TIER = re.compile(rb'"service_tier":"(?:default|on_demand)"')
_ANTHROPICS_TIER = b'"service_tier":"standard"'


class Caller(NamedTuple):
    """Whose request it is."""

    provider: str
    key: str


@dataclass(slots=True)
class Item:
    """A request as it was received. `size` is that of its body in bytes, `attempt` counts from 1."""

    caller: Caller
    dialect: Dialect
    endpoint: Endpoint
    body: Body
    size: int
    mode: str
    request: bytes
    attempt: int
    wishes: Wishes = NO_WISHES


class Answering:
    def __init__(self, config: Config) -> None:
        self.config = config
        self.ledger = Ledger()
        self._cache = PromptCache()

    def reset(self) -> None:
        self.ledger.reset()
        self._cache = PromptCache()

    def receive(self, caller: Caller, dialect: Dialect, endpoint: Endpoint, body: Body, raw: bytes, now: float) -> Item:
        """Books the request. `item.wishes` come from `read_wishes`."""
        request = hash_request(body)
        if is_witness(body):
            attempt = self.ledger.witnessed()
        else:
            attempt = self.ledger.received(request, caller.provider, caller.key, now)
        flex = dialect.sells_flex and "flex" in (body.get("service_tier"), body.get("serviceTier"))
        return Item(caller, dialect, endpoint, body, len(raw), "flex" if flex else "realtime", request, attempt)

    def read_wishes(self, item: Item, raw: bytes) -> None:
        """Raises Refused for a wish that nobody knows."""
        try:
            item.wishes = wishes_of(item.body, raw, item.attempt)
        except ValueError as error:
            raise Refused(400, str(error), param="metadata.simulate") from error

    def answer(self, item: Item, now: float, seconds: float = 0.0) -> tuple[bytes, Bill]:
        """A good answer, which takes `seconds`. Raises Refused if the request lacks a parameter."""
        use = self._use_cache(item, now, seconds)
        tokens = count_tokens(item.body, item.size, item.request, item.wishes, cached=use.read, written=use.written)
        try:
            content = item.endpoint.answer(item.body, tokens, item.request, int(now))
        except Unanswerable as missing:
            raise Refused(400, missing.args[0], param=missing.args[1]) from missing
        if item.mode == "flex":
            content = _TIER.sub(b'"service_tier":"flex"', content, count=1)
        elif item.mode == "native":
            content = content.replace(_ANTHROPICS_TIER, b'"service_tier":"batch"', 1)
        return content, self._bill(item, tokens)

    def _use_cache(self, item: Item, now: float, seconds: float) -> CacheUse:
        keep = self.config.cache_seconds
        if item.size < _CACHEABLE_BYTES or not keep:
            return NO_USE
        owner = f"{item.caller.provider}/{item.caller.key}/{item.body.get('model')}"
        return self._cache.use(owner, item.dialect.prefixes(item.body), now, keep, answer_seconds=seconds)

    def _bill(self, item: Item, tokens: Tokens) -> Bill:
        text = hash_text(item_text(item.body))
        model = str(item.body.get("model"))
        return Bill(
            text, item.caller.provider, model, item.mode, tokens.prompt, tokens.cached, tokens.written, tokens.output
        )
