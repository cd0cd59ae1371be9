"""What a vendor's prompt cache saves, simulated (`simulation.yard`): the deployed worker and steps, and the simulator's
cache, which can be read as vendors document theirs.

Each workload runs twice with the same items. The worker sends one of each family ahead of the others if its lane's
price rewards that, so it is told one price that does and one that does not; the bill is by the real one in both cases.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import orjson

from batchyard.adapters.providers.kinds import translator_of
from batchyard.adapters.providers.translator import ProviderRequest
from batchyard.core.providers import CHAT_COMPLETIONS, Provider
from batchyard.core.usage import Price, Usage
from local.provider.prompt_cache import Prefix, automatic_prefixes, marked_prefixes
from simulation.caching_provider import CachingProvider
from simulation.yard import Traffic, Yard

CALL_SECONDS = 3.0
ITEMS = (250, 2_000)
_WORKERS = 4
_DAY_SECONDS = 86_400
_RULES = "Answer in one word, and be polite about it. "
_PAGE = "Some words that all readers of this one share. "


@dataclass(frozen=True, slots=True)
class Workload:
    """Questions about `documents` documents, in turns, each after `rules_bytes` of instructions that all have."""

    name: str
    documents: int
    document_bytes: int
    rules_bytes: int = 0

    def body(self, batch_id: str, index: int) -> bytes:
        document = index % self.documents
        rules = (_RULES * (self.rules_bytes // len(_RULES) + 1))[: self.rules_bytes]
        pages = (f"{document} " + _PAGE * (self.document_bytes // len(_PAGE) + 1))[: self.document_bytes]
        turns = [{"role": "system", "content": rules + pages}, {"role": "user", "content": f"Question {index}"}]
        return orjson.dumps({"b": batch_id, "model": "m", "messages": turns})


WORKLOADS = (
    Workload("the same instructions, 2,000 tokens", 1, 0, 8_000),
    Workload("4 documents of 2,350 tokens", 4, 9_400),
    Workload("100 documents of 2,350 tokens", 100, 9_400),
    Workload("nothing in common", max(ITEMS), 9_400),
)


@dataclass(frozen=True, slots=True)
class Vendor:
    """`price`: its own. `prefixes`: what it keeps of an item's prompt."""

    name: str
    price: Price
    prefixes: Callable[[bytes], list[Prefix]]

    @property
    def charges_writing(self) -> bool:
        return self.price.cache_write_microusd is not None


_ANTHROPIC = translator_of(Provider("anthropic", "anthropic", "https://vendor.example/v1", cache_marks=True))


def _kept_by_itself(body: bytes) -> list[Prefix]:
    return automatic_prefixes(orjson.loads(body))


def _kept_with_marks(body: bytes) -> list[Prefix]:
    """Of the request that a worker sends, with the marks that the product sets."""
    request = {name: value for name, value in orjson.loads(body).items() if name != "b"}
    asked = _ANTHROPIC.request(CHAT_COMPLETIONS, orjson.dumps(request))
    assert isinstance(asked, ProviderRequest)
    return marked_prefixes(orjson.loads(asked.body))


VENDORS = (
    Vendor("by itself, read at half price", Price(150_000, 75_000, 600_000), _kept_by_itself),
    Vendor(
        "with marks, read at a tenth, written at 5/4", Price(1_000_000, 100_000, 5_000_000, 1_250_000), _kept_with_marks
    ),
)


@dataclass(frozen=True, slots=True)
class CacheRun:
    """`cached_share`: of the input tokens. `cost_share`: of what the same calls cost without a cache."""

    vendor: str
    workload: str
    items: int
    one_ahead: bool
    cached_share: float
    cost_share: float
    seconds: float


def measure(sizes: Sequence[int] = ITEMS) -> list[CacheRun]:
    """Each workload at each vendor, all items at once and one of each family ahead."""
    return [
        run(vendor, workload, items, one_ahead=one_ahead)
        for vendor in VENDORS
        for workload in WORKLOADS
        for items in sizes
        for one_ahead in (False, True)
    ]


def run(vendor: Vendor, workload: Workload, items: int, *, one_ahead: bool) -> CacheRun:
    """One batch on a few workers."""
    price, usages = vendor.price, list[Usage]()
    flat = Price(price.input_microusd, price.input_microusd, price.output_microusd)
    connect = partial(
        CachingProvider,
        seconds=CALL_SECONDS,
        prefixes=vendor.prefixes,
        charges_writing=vendor.charges_writing,
        usages=usages,
    )
    traffic = Traffic(workload.body, connect, price if one_ahead else flat)
    yard = Yard(math.inf, _WORKERS, traffic=traffic)
    yard.add("batch", items)
    yard.run(_DAY_SECONDS)
    yard.close()
    return CacheRun(
        vendor.name,
        workload.name,
        items,
        one_ahead,
        sum(each.cached_tokens for each in usages) / sum(each.input_tokens for each in usages),
        sum(map(price.cost_picousd, usages)) / sum(map(flat.cost_picousd, usages)),
        yard.ended_at["batch"],
    )
