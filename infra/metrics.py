"""The business metrics that functions emit (EMF, namespace Batchyard), as the dashboard and the alarms read them.

Powertools adds the dimension `service`, the name of the function. Finalize is where a batch's figures are final.
"""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

NAMESPACE = "Batchyard"
_MINUTES_5 = Duration.minutes(5)


def batches_by_status() -> cloudwatch.MathExpression:
    return cloudwatch.MathExpression(
        expression=f"SEARCH('{{{NAMESPACE},service,status}} MetricName=\"BatchesEnded\"', 'Sum', 300)",
        using_metrics={},
        label="",
        period=_MINUTES_5,
    )


def batches_failed() -> cloudwatch.Metric:
    return _metric("BatchesEnded", status="failed")


def items_succeeded() -> cloudwatch.Metric:
    return _metric("ItemsSucceeded")


def items_failed() -> cloudwatch.Metric:
    return _metric("ItemsFailed")


def cost_usd() -> cloudwatch.MathExpression:
    return cloudwatch.MathExpression(
        expression="cost / 1000000", using_metrics={"cost": _metric("CostMicrousd")}, label="Cost", period=_MINUTES_5
    )


def _metric(name: str, **dimensions: str) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name=name,
        dimensions_map={"service": "finalize", **dimensions},
        statistic="Sum",
        period=_MINUTES_5,
    )
