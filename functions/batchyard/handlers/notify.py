"""Trigger: the state machine's Notify, once a batch is terminal.

{"account_id": …, "batch_id": …} → {}
"""

from __future__ import annotations

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from batchyard.adapters.aws.clients import client
from batchyard.adapters.aws.objects import Objects
from batchyard.core.batches import BatchRef
from batchyard.core.json_types import JsonObject
from batchyard.handlers import resources
from batchyard.settings import FinalizeSettings, load
from batchyard.steps.notify import notify

logger = Logger()


@logger.inject_lambda_context(clear_state=True)
def handler(event: JsonObject, context: LambdaContext) -> JsonObject:
    logger.append_keys(batch_id=event["batch_id"])
    drop_bucket = load(FinalizeSettings).drop_bucket
    keys = notify(
        BatchRef(event["account_id"], event["batch_id"]),
        stores=resources.stores(),
        drop=Objects(client("s3"), drop_bucket) if drop_bucket else None,
    )
    if keys is not None:
        logger.info("delivered", extra={"status_key": keys.status})
    return {}
