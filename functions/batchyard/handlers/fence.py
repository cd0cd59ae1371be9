"""Trigger: the state machine's Fence, round after round until the batch is drained.

{"account_id": …, "batch_id": …, "ending": …, "since": 0 in the first round, then what the round before returned}
→ {"drained": …, "live": …, "since": …}
"""

from __future__ import annotations

import time

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from batchyard.core.batches import BatchRef, Ending
from batchyard.core.json_types import JsonObject
from batchyard.handlers import resources
from batchyard.settings import FenceSettings, load
from batchyard.steps.fence import Drain, fence

logger = Logger()


@logger.inject_lambda_context(clear_state=True)
def handler(event: JsonObject, context: LambdaContext) -> JsonObject:
    logger.append_keys(batch_id=event["batch_id"])
    ending, now = Ending(event["ending"]), int(time.time())
    since = event["since"] or now
    settings = load(FenceSettings)
    fenced = fence(
        BatchRef(event["account_id"], event["batch_id"]),
        ending,
        since=since,
        now=now,
        drain=Drain(settings.drain_seconds, settings.job_drain_seconds),
        stores=resources.stores(),
        job_starter=resources.job_starter(),
    )
    logger.info("fenced", extra={"ending": str(ending), "live_shards": fenced.live})
    return {"drained": fenced.drained, "live": fenced.live, "since": since}
