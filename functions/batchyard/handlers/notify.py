"""Trigger: the state machine's Notify, once a batch is terminal.

{"account_id": …, "batch_id": …} → {}
"""

from __future__ import annotations

import time

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from batchyard.adapters.aws.clients import client
from batchyard.adapters.aws.objects import Objects
from batchyard.core.batches import BatchRef
from batchyard.core.json_types import JsonObject
from batchyard.handlers import resources
from batchyard.settings import FinalizeSettings, load
from batchyard.steps.announce import announce
from batchyard.steps.notify import notify
from batchyard.surfaces.webhook_events import write_event

logger = Logger()


@logger.inject_lambda_context(clear_state=True)
def handler(event: JsonObject, context: LambdaContext) -> JsonObject:
    logger.append_keys(batch_id=event["batch_id"])
    ref = BatchRef(event["account_id"], event["batch_id"])
    try:
        _bring_results_back(ref)
    finally:  # results that nobody can bring back keep no webhook from its event
        _announce(ref)
    return {}


def _bring_results_back(ref: BatchRef) -> None:
    drop_bucket = load(FinalizeSettings).drop_bucket
    drop = Objects(client("s3"), drop_bucket) if drop_bucket else None
    keys = notify(ref, stores=resources.stores(), drop=drop)
    if keys is not None:
        logger.info("delivered", extra={"status_key": keys.status})


def _announce(ref: BatchRef) -> None:
    announced = announce(
        ref,
        now=int(time.time()),
        batches=resources.batches(),
        webhooks=resources.webhooks(),
        deliveries=resources.deliveries(),
        write_event=write_event,
        start=resources.start_delivery,
    )
    if announced is not None:
        logger.info("announced", extra={"delivery_id": announced.delivery_id})
