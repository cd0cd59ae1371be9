"""Plan: gather what is known of the lanes that a batch's items may take, and decide (`core.planning`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from batchyard.adapters.aws.lanes import Lanes
from batchyard.adapters.aws.stores import Stores
from batchyard.core.batches import Batch
from batchyard.core.catalogue import Catalogue
from batchyard.core.lanes import Lane, LaneId, Mode
from batchyard.core.planning import Candidate, Learned, Planned, Route, Terms, plan_lanes
from batchyard.core.sharding import LaneShards, Shard, routes

IMMEDIATE = "immediate"
"""The completion window that asks for realtime."""


def plan(
    batch: Batch,
    lanes: Sequence[LaneShards],
    shards: Sequence[Shard],
    *,
    now: int,
    pace: float,
    catalogue: Catalogue,
    stores: Stores,
    known: Lanes,
) -> Planned:
    """`lanes`, `shards`: as routing found them, all in realtime."""
    found = [
        Route(tuple(run), _candidates(batch, entry.lane, catalogue, stores, known))
        for entry, run in zip(lanes, routes(shards), strict=True)
    ]
    terms = Terms(
        endpoint=batch.endpoint,
        now=now,
        expires_at=batch.expires_at,
        is_immediate=batch.completion_window == IMMEDIATE,
        has_ceiling=batch.concurrency is not None,
        pace=pace,
    )
    return plan_lanes(found, terms)


def _candidates(batch: Batch, lane: Lane, catalogue: Catalogue, stores: Stores, known: Lanes) -> tuple[Candidate, ...]:
    provider = catalogue.providers[lane.provider]
    lane_id = LaneId(lane.provider, lane.model, batch.account_id if batch.caller_pays else None)
    learned = Learned(calls_per_second=known.look(lane_id).pace.rate)
    found = [Candidate(lane, learned=learned)]
    if provider.has_flex(lane.model):
        rate = known.look(lane_id._replace(mode=Mode.FLEX)).pace.rate
        flex = Lane(lane.provider, lane.model, Mode.FLEX)
        learned_flex = replace(learned, flex_calls_per_second=rate)
        found.append(Candidate(flex, provider.flex_price_percent, learned=learned_flex))
    if provider.native is not None:
        native = Lane(lane.provider, lane.model, Mode.NATIVE)
        learned_native = replace(learned, native=stores.native_lanes.history(lane_id))
        found.insert(0, Candidate(native, provider.native.price_percent, provider.native, learned_native))
    return tuple(found)
