"""Plan: gather what is known of the lanes that a batch's items may take, and decide (`core.planning`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from batchyard.adapters.aws.lanes import Lanes
from batchyard.adapters.aws.stores import Stores
from batchyard.core.batches import Batch
from batchyard.core.candidates import Candidate, Learned, Route, Terms
from batchyard.core.catalogue import Catalogue
from batchyard.core.health import LaneState
from batchyard.core.images import job_limits_of
from batchyard.core.lane_limits import lower
from batchyard.core.lanes import Lane, LaneId, Mode
from batchyard.core.planning import Planned, plan_lanes
from batchyard.core.providers import Provider
from batchyard.core.routing import Verdict, blended_price, may_run_jobs, preference
from batchyard.core.rules import RoutingMode, ServiceTier
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
    """`lanes`, `shards`: as routing found them, all in realtime; `others` of a lane are the further ones that its items
    may take."""
    found = [
        Route(
            tuple(run),
            tuple(
                candidate
                for lane in (entry.lane, *entry.others)
                for candidate in _candidates(batch, lane, run[0].endpoint or batch.endpoint, catalogue, stores, known)
            ),
        )
        for entry, run in zip(lanes, routes(shards), strict=True)
    ]
    rules = batch.rules
    terms = Terms(
        endpoint=batch.endpoint,
        now=now,
        expires_at=batch.expires_at,
        is_immediate=batch.completion_window == IMMEDIATE or rules.tier is ServiceTier.PRIORITY,
        has_ceiling=batch.concurrency is not None,
        keeps_margin=rules.mode is RoutingMode.SLA_AWARE,
        avoids_trouble=batch.avoids_trouble,
        pace=pace,
    )
    return plan_lanes(found, terms)


def _candidates(
    batch: Batch, lane: Lane, endpoint: str, catalogue: Catalogue, stores: Stores, known: Lanes
) -> list[Candidate]:
    """The modes in which the model may be run at the provider of `lane`, for items for `endpoint`."""
    provider = catalogue.providers[lane.provider]
    lane_id = LaneId(lane.provider, lane.model, batch.account_id if batch.caller_pays else None)
    view = known.look(lane_id)
    allowed = catalogue.limits_of(lane.provider, lane.model).calls_per_second(view.pace.tokens_per_call)
    learned = Learned(calls_per_second=lower(view.pace.rate, allowed))
    realtime = Candidate(
        lane,
        learned=learned,
        unit_price=max(1, blended_price(catalogue.price_of(lane.provider, lane.model))),
        preference=preference(provider, batch.rules),
        in_trouble=view.health.state is not LaneState.CLOSED,
    )
    found = [realtime]
    if provider.has_flex(lane.model):
        flex = known.look(lane_id._replace(mode=Mode.FLEX))
        found.append(
            replace(
                realtime,
                lane=Lane(lane.provider, lane.model, Mode.FLEX),
                price_percent=provider.flex_price_percent,
                learned=replace(learned, flex_calls_per_second=flex.pace.rate),
                in_trouble=flex.health.state is not LaneState.CLOSED,
                forbidden=None if batch.may_run(Mode.FLEX) else Verdict.POLICY,
            )
        )
    limits = provider.native_limits_of(lane.model)
    if limits is not None:
        native = replace(
            realtime,
            lane=Lane(lane.provider, lane.model, Mode.NATIVE),
            price_percent=limits.price_percent,
            limits=job_limits_of(endpoint, limits),
            forbidden=_why_no_jobs(batch, provider),
            learned=replace(learned, native=stores.native_lanes.history(lane_id)),
        )
        found.insert(0, native)
    return found


def _why_no_jobs(batch: Batch, provider: Provider) -> Verdict | None:
    if not may_run_jobs(provider, batch.rules):
        return Verdict.PRIVACY
    return None if batch.may_run(Mode.NATIVE) else Verdict.POLICY
