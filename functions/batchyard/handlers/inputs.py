"""What a batch's input is checked against, and how it is planned, in this deployment: for Validate, which does so, and
for the API, which says what would come of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial

from batchyard.adapters import catalogue
from batchyard.adapters.aws.objects import ObjectMissing
from batchyard.content.lines import read_lines
from batchyard.content.reading import Checks, InputLimits, ParseLine
from batchyard.content.windows import within_windows
from batchyard.core.batches import Batch
from batchyard.core.catalogue import Offer
from batchyard.core.estimates import LanePrice
from batchyard.core.keys import file_key
from batchyard.core.lanes import Lane
from batchyard.core.planning import Planned
from batchyard.core.providers import CHAT_COMPLETIONS, ENDPOINTS
from batchyard.core.requests import BatchRequest
from batchyard.core.routing import Refusal, eligible
from batchyard.core.rules import RoutingRules
from batchyard.core.sharding import LaneShards, Shard
from batchyard.core.windows import TokensOf
from batchyard.handlers import resources
from batchyard.handlers.limits import limits_of
from batchyard.settings import ValidateSettings, load
from batchyard.steps.plan import plan
from batchyard.surfaces.registry import surface
from batchyard.surfaces.surface import EndpointOf, LineContext


def checks() -> Checks:
    """The checks of this deployment."""
    settings = load(ValidateSettings)
    return Checks(
        partial(_limits, settings),
        partial(_parser, settings.max_custom_id_chars),
        _route,
        can_run=_can_run,
        price_of=_price_of,
    )


def checks_with_windows(models: Sequence[str]) -> Checks:
    """The same before a batch is made: that items fit into the context window of their model, or of one of `models` if
    there are any, and that somebody serves their endpoint."""
    found = checks()

    def parser(surface_name: str, endpoint: str) -> ParseLine:
        return within_windows(found.parser(surface_name, endpoint), models, catalogue.load(), cache(_count_with))

    return replace(found, parser=parser, route=_route_in_advance)


def endpoint_of(request: BatchRequest, account_id: str, read: EndpointOf) -> str:
    """The endpoint that the first line of the input is for; chat completions if it does not say."""
    beginning = request.lines
    if beginning is None and request.input_file_id:
        most = load(ValidateSettings).max_line_bytes
        try:
            beginning = resources.objects().get(file_key(account_id, request.input_file_id), 0, most)
        except ObjectMissing:
            beginning = None
    _, first = next(read_lines([beginning or b""], load(ValidateSettings).max_line_bytes), (0, None))
    endpoint = read(first) if first else None
    return endpoint if endpoint in ENDPOINTS else CHAT_COMPLETIONS


def planned(batch: Batch, lanes: Sequence[LaneShards], shards: Sequence[Shard]) -> Planned:
    """What is decided about the batch, by all that is known now."""
    return plan(
        batch,
        lanes,
        shards,
        now=int(time.time()),
        pace=load(ValidateSettings).job_pace,
        catalogue=resources.lane_catalogue(),
        stores=resources.stores(),
        known=resources.lanes(),
    )


def _limits(settings: ValidateSettings, surface_name: str) -> InputLimits:
    limits = limits_of(surface(surface_name), settings)
    return InputLimits(
        max_items=limits.max_batch_items,
        max_file_bytes=limits.max_file_bytes,
        max_line_bytes=limits.max_line_bytes,
        max_line_errors=settings.max_line_errors,
        shard_items=settings.shard_items,
        shard_bytes=settings.shard_bytes,
        dispatch_stride=settings.dispatch_stride,
    )


def _parser(max_custom_id_chars: int, surface_name: str, endpoint: str) -> ParseLine:
    line = LineContext(endpoint, max_custom_id_chars)
    return partial(surface(surface_name).parse_line, context=line)


def _route(model: str, provider: str | None, endpoint: str, rules: RoutingRules) -> tuple[Offer, ...] | Refusal:
    """Items whose providers lack the endpoint fail one by one, and not with all of their batch: they go to one of
    those, whose translator says so."""
    found = _route_in_advance(model, provider, endpoint, rules)
    return found.unserved[:1] or found if isinstance(found, Refusal) else found


def _route_in_advance(
    model: str, provider: str | None, endpoint: str, rules: RoutingRules
) -> tuple[Offer, ...] | Refusal:
    return eligible(model, provider, catalogue.load(), endpoint, rules)


def _can_run(offer: Offer, endpoint: str, body: bytes) -> bool:
    """Most models have one offer: who does not ask this does not load the translators."""
    from batchyard.handlers.abilities import can_run

    return can_run(offer, endpoint, body)


def _count_with(vocabulary: str) -> TokensOf:
    """Few items are so long that they have to be counted: without one nothing of this is loaded."""
    from batchyard.adapters.vocabularies import tokenizer

    return tokenizer(vocabulary).count


def _price_of(lane: Lane) -> LanePrice:
    known = resources.lane_catalogue()
    percent = known.providers[lane.provider].price_percent(lane.mode)
    return LanePrice(known.price_of(lane.provider, lane.model), percent)
