"""Trigger: Notify, a replay, and Sweep, which start this function for each delivery that is due.

{"account_id": …, "delivery_id": …}
"""

from __future__ import annotations

import random
import time
from functools import cache

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from batchyard.adapters.webhook_sender import WebhookSender
from batchyard.core.deliveries import DeliveryRef
from batchyard.core.json_types import JsonObject
from batchyard.handlers import resources
from batchyard.settings import WebhookSettings, load
from batchyard.steps.deliver import Outside, deliver

logger = Logger()


@logger.inject_lambda_context(clear_state=True)
def handler(event: JsonObject, context: LambdaContext) -> None:
    """If it fails, Sweep has it done again. URLs are not logged: some receivers have their secret in it."""
    ref = DeliveryRef(event["account_id"], event["delivery_id"])
    logger.append_keys(account_id=ref.account_id, delivery_id=ref.delivery_id)
    delivery = deliver(ref, deliveries=resources.deliveries(), webhooks=resources.webhooks(), outside=_outside())
    if delivery is not None:
        problem = delivery.attempts[-1].problem if delivery.attempts else None
        told = {"state": str(delivery.state), "tries": delivery.tries, "due_at": delivery.due_at}
        logger.info("delivery attended", extra=told | {"batch_id": delivery.batch_id, "problem": problem})


@cache
def _outside() -> Outside:
    sender = WebhookSender(resources.receivers(), time.monotonic)
    settings = load(WebhookSettings)
    return Outside(sender.send, time.time, random.random, settings.webhook_pace, settings.webhook_lease_seconds)
