"""Trigger: the state machine's Finalize.

{"account_id": …, "batch_id": …, "ending": "completed" | "cancelled" | "expired" | "failed"} → {"status": …}
"""

from __future__ import annotations

import time
from dataclasses import asdict

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from batchyard.core.batches import Batch, BatchRef, Ending
from batchyard.core.json_types import JsonObject
from batchyard.handlers import endings, resources
from batchyard.steps.finalize import finalize

logger = Logger()


@logger.inject_lambda_context(clear_state=True)
def handler(event: JsonObject, context: LambdaContext) -> JsonObject:
    logger.append_keys(batch_id=event["batch_id"])
    asked, started = Ending(event["ending"]), int(time.time())
    batch = finalize(
        BatchRef(event["account_id"], event["batch_id"]),
        asked,
        clock=lambda: int(time.time()),
        stores=resources.stores(),
    )
    _log(batch, asked)
    endings.report(batch, started)
    return {"status": str(batch.status)}


def _log(batch: Batch, asked: Ending) -> None:
    figures = {"status": str(batch.status), "asked": str(asked), **asdict(batch.tally)}
    if batch.plan is not None and batch.tally.items != batch.plan.items:
        logger.error("finalized without results", extra=figures | {"items": batch.plan.items})
    else:
        logger.info("finalized", extra=figures)
