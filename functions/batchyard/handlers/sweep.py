"""Trigger: a schedule. Starts again what has no running execution, and removes files whose time is over
and what batches hold of files that are gone."""

from __future__ import annotations

import time
from typing import Any

from aws_lambda_powertools import Logger, single_metric
from aws_lambda_powertools.metrics import MetricUnit

from batchyard.handlers import resources
from batchyard.settings import SweepSettings, load
from batchyard.steps.expire import expire
from batchyard.steps.purge import purge
from batchyard.steps.sweep import sweep

_PURGED_AT_MOST = 20_000
"""Objects per call; the next sweep takes the next ones."""

logger = Logger()


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    settings = load(SweepSettings)
    now = int(time.time())
    _report_deadline(now, settings.completion_window_seconds)
    try:  # first, because it is quick: with very many open batches there may be no time after them
        stores = resources.stores()
        expired = expire(now=now, stores=stores)
        purged = purge(stores.leftovers.all(), at_most=_PURGED_AT_MOST, stores=stores)
        if expired:
            logger.info("expired", extra={"files": expired})
    finally:
        revived = _sweep(now, settings)
    return {"revived": revived, "expired": expired, "purged": purged}


def _report_deadline(now: int, window_seconds: int) -> None:
    """For the alarm that fires before a batch expires; nothing while no batch is open. Its only
    dimension is the one that Powertools adds, the function."""
    oldest = resources.batches().oldest_open()
    if oldest is not None:
        seconds_left = oldest + window_seconds - now
        with single_metric(name="OldestBatchSecondsLeft", unit=MetricUnit.Seconds, value=seconds_left):
            pass


def _sweep(now: int, settings: SweepSettings) -> list[str]:
    revived = []
    for one in sweep(
        now=now,
        grace_seconds=settings.sweep_grace_seconds,
        max_executions=settings.max_executions,
        batches=resources.batches(),
        workflow=resources.workflow(settings.state_machine_arn),
    ):
        logger.warning("revived", extra={"batch_id": one.batch_id, "execution": one.execution})
        revived.append(one.batch_id)
    return revived
