"""Metrics of batches that ended: how many, with how many items, at what cost."""

from __future__ import annotations

from aws_lambda_powertools import Metrics
from aws_lambda_powertools.metrics import MetricUnit

from batchyard.core.batches import Batch
from batchyard.core.usage import PICOUSD_PER_MICROUSD

metrics = Metrics()


def report(batch: Batch, since: int) -> None:
    """Counts a batch if it became terminal at or after `since`. So an invocation that repeats an earlier one does not
    count it again."""
    if not batch.status.is_terminal or batch.status_times.get(batch.status, 0) < since:
        return
    metrics.add_dimension("status", str(batch.status))
    metrics.add_metric("BatchesEnded", MetricUnit.Count, 1)
    metrics.flush_metrics()
    tally = batch.tally
    if tally.items:
        metrics.add_metric("ItemsSucceeded", MetricUnit.Count, tally.succeeded)
        metrics.add_metric("ItemsFailed", MetricUnit.Count, tally.items - tally.succeeded)
        cost = "CallerCostMicrousd" if batch.caller_pays else "CostMicrousd"  # only the latter is the operator's bill
        metrics.add_metric(cost, MetricUnit.Count, tally.cost_picousd // PICOUSD_PER_MICROUSD)
        metrics.flush_metrics()
