"""Plan: gather what is known of the lanes that a batch's items may take, and decide (`core.planning`)."""

from __future__ import annotations

from collections.abc import Sequence

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
    """`lanes`, `shards`: as routing found them, all in realtime. Nothing is read about a lane whose provider has no
    other mode."""
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
    realtime = Candidate(lane)
    if provider.native is None:
        return (realtime,)
    lane_id = LaneId(lane.provider, lane.model, batch.account_id if batch.caller_pays else None)
    learned = Learned(stores.native_lanes.history(lane_id), known.look(lane_id).pace.rate)
    native = Lane(lane.provider, lane.model, Mode.NATIVE)
    return (Candidate(native, provider.native.price_percent, provider.native, learned), realtime)
