"""Trigger: the state machine's Validate.

{"account_id": …, "batch_id": …} → {"status": …, "seconds_left": …}

`status` may be any other one, if another execution, a cancel or a deletion has changed the batch meanwhile.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import replace

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from batchyard.core.batches import Batch, BatchRef
from batchyard.core.json_types import JsonObject
from batchyard.core.sharding import LaneShards, Shard
from batchyard.handlers import endings, inputs, resources
from batchyard.steps.validate import validate

logger = Logger()


@logger.inject_lambda_context
def handler(event: JsonObject, context: LambdaContext) -> JsonObject:
    logger.append_keys(batch_id=event["batch_id"])
    started = _now()
    batch = validate(
        BatchRef(event["account_id"], event["batch_id"]),
        run=secrets.token_hex(8),
        clock=_now,
        checks=replace(inputs.checks(), plan=_plan),
        stores=resources.stores(),
    )
    logger.info("validated", extra=_figures(batch))
    endings.report(batch, started)
    return {"status": str(batch.status), "seconds_left": max(1, batch.expires_at - _now())}


def _now() -> int:
    return int(time.time())


def _plan(batch: Batch, lanes: Sequence[LaneShards], shards: Sequence[Shard]) -> Sequence[LaneShards]:
    planned = inputs.planned(batch, lanes, shards)
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
