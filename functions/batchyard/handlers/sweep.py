"""Trigger: a schedule. Removes files whose time is over, starts batches again that have no running execution, and sends
shards again that have no owner."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from aws_lambda_powertools import Logger, single_metric
from aws_lambda_powertools.metrics import MetricUnit

from batchyard.handlers import resources
from batchyard.settings import SweepSettings, load
from batchyard.steps.expire import expire
from batchyard.steps.recover import recover
from batchyard.steps.sweep import Revived, SentAgain, SweepLimits, sweep

logger = Logger()

_MILLISECONDS_TO_SPARE = 15_000
"""What looking after one more batch takes at worst, with AWS slow and all its shards to be sent again."""


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    settings = load(SweepSettings)
    now = int(time.time())
    _report_deadline(now, settings.completion_window_seconds)
    try:  # first, because it is quick: with very many open batches there may be no time after them
        expired = expire(now=now, files=resources.files(), objects=resources.objects())
        if expired:
            logger.info("expired", extra={"files": expired})
    finally:
        revived, sent_again = _sweep(
            now, settings, lambda: context.get_remaining_time_in_millis() > _MILLISECONDS_TO_SPARE
        )
    return {"revived": revived, "sent_again": sent_again, "expired": expired}


def _report_deadline(now: int, window_seconds: int) -> None:
    """For the alarm that fires before a batch expires; nothing while no batch is open. Its only
    dimension is the one that Powertools adds, the function."""
    oldest = resources.batches().oldest_open()
    if oldest is not None:
        seconds_left = oldest + window_seconds - now
        with single_metric(name="OldestBatchSecondsLeft", unit=MetricUnit.Seconds, value=seconds_left):
            pass


def _sweep(now: int, settings: SweepSettings, has_time: Callable[[], bool]) -> tuple[list[str], int]:
    """(the batches started again, how many shards were sent again)"""
    stores = resources.stores()
    revived, sent_again = [], 0
    for one in sweep(
        now=now,
        limits=SweepLimits(settings.sweep_grace_seconds, settings.max_executions),
        batches=stores.batches,
        workflow=resources.workflow(settings.state_machine_arn),
        recover=partial(recover, now=now, stores=stores, queues=resources.queues()),
        has_time=has_time,
    ):
        match one:
            case Revived():
                logger.warning("revived", extra={"batch_id": one.batch_id, "execution": one.execution})
                revived.append(one.batch_id)
            case SentAgain():
                logger.warning("sent again", extra={"batch_id": one.batch_id, "shards": one.shards})
                sent_again += len(one.shards)
    if not has_time():
        logger.warning("out of time: the next sweep begins with other batches")
    return revived, sent_again
