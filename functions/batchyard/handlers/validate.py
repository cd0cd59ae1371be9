"""Trigger: the state machine's Validate.

{"account_id": …, "batch_id": …} → {"status": …, "seconds_left": …}

`status` may be any other one, if another execution, a cancel or a deletion has changed the batch meanwhile.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from functools import partial

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from batchyard.adapters import catalogue
from batchyard.content.reading import Checks, InputLimits, ParseLine
from batchyard.core.batches import Batch, BatchRef
from batchyard.core.catalogue import Offer
from batchyard.core.json_types import JsonObject
from batchyard.core.routing import Refusal, route
from batchyard.core.sharding import LaneShards, Shard
from batchyard.handlers import endings, resources
from batchyard.handlers.limits import limits_of
from batchyard.settings import ValidateSettings, load
from batchyard.steps.plan import plan
from batchyard.steps.validate import validate
from batchyard.surfaces.registry import surface
from batchyard.surfaces.surface import LineContext

logger = Logger()


@logger.inject_lambda_context
def handler(event: JsonObject, context: LambdaContext) -> JsonObject:
    logger.append_keys(batch_id=event["batch_id"])
    settings = load(ValidateSettings)
    started = _now()
    batch = validate(
        BatchRef(event["account_id"], event["batch_id"]),
        run=secrets.token_hex(8),
        clock=_now,
        checks=Checks(
            partial(_limits, settings),
            partial(_parser, settings.max_custom_id_chars),
            _route,
            partial(_plan, settings.job_pace),
        ),
        stores=resources.stores(),
    )
    logger.info("validated", extra=_figures(batch))
    endings.report(batch, started)
    return {"status": str(batch.status), "seconds_left": max(1, batch.expires_at - _now())}


def _now() -> int:
    return int(time.time())


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


def _route(model: str, provider: str | None, endpoint: str) -> Offer | Refusal:
    return route(model, provider, catalogue.load(), endpoint)


def _plan(pace: float, batch: Batch, lanes: Sequence[LaneShards], shards: Sequence[Shard]) -> Sequence[LaneShards]:
    planned = plan(
        batch,
        lanes,
        shards,
        now=_now(),
        pace=pace,
        catalogue=resources.lane_catalogue(),
        stores=resources.stores(),
        known=resources.lanes(),
    )
    verdicts = {str(each.lane): str(each.verdict) for route in planned.considered for each in route}
    logger.info("planned", extra={"lanes": verdicts})
    return planned.lanes


def _figures(batch: Batch) -> JsonObject:
    plan = batch.plan
    return {
        "status": str(batch.status),
        "items": batch.total_items,
        "shards": plan.shards if plan else 0,
        "lanes": len(plan.lanes) if plan else 0,
        "error_codes": sorted({error.code for error in batch.errors}),
    }
