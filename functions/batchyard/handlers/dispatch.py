"""Trigger: the state machine's Dispatch. The execution then waits until somebody uses the task token in the event.

{"account_id": …, "batch_id": …, "task_token": …}
"""

from __future__ import annotations

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from batchyard.core.batches import BatchRef
from batchyard.core.json_types import JsonObject
from batchyard.handlers import resources
from batchyard.steps.dispatch import dispatch

logger = Logger()


@logger.inject_lambda_context(clear_state=True)
def handler(event: JsonObject, context: LambdaContext) -> None:
    logger.append_keys(batch_id=event["batch_id"])
    sent = dispatch(
        BatchRef(event["account_id"], event["batch_id"]),
        event["task_token"],
        stores=resources.stores(),
        queues=resources.queues(),
        job_starter=resources.job_starter(),
        workflow=resources.workflow(),
    )
    logger.info("dispatched", extra={"shards_sent": sent})
