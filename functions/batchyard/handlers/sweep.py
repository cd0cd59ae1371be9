"""Trigger: a schedule. Starts again what has no running execution, and removes files whose time is over."""

from __future__ import annotations

import time
from typing import Any

from aws_lambda_powertools import Logger, single_metric
from aws_lambda_powertools.metrics import MetricUnit

from batchyard.handlers import resources
from batchyard.settings import SweepSettings, load
from batchyard.steps.expire import expire
from batchyard.steps.sweep import sweep

logger = Logger()


@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    settings = load(SweepSettings)
    now = int(time.time())
    _report_deadline(now, settings.completion_window_seconds)
    try:  # first, because it is quick, and with very many open batches there may be no time left after them
        expired = expire(now=now, files=resources.files(), objects=resources.objects())
        if expired:
            logger.info("expired", extra={"files": expired})
    finally:
        revived = _sweep(now, settings)
    return {"revived": revived, "expired": expired}


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
