"""The metrics that functions emit (EMF, namespace Batchyard), as the dashboard and the alarms read them.

Powertools adds the dimension `service`, the name of the function. What a batch came to is counted where it ends, which
is Validate for a refused input file and Finalize for everything else; calls are counted by the worker, by provider.
"""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

NAMESPACE = "Batchyard"
_MINUTES_5 = Duration.minutes(5)


def batches_by_status() -> cloudwatch.MathExpression:
    return _search("BatchesEnded", "status", "Sum")


def batches_given_up() -> cloudwatch.Metric:
    """Batches that ended as failed although their input was good."""
    return _metric("BatchesEnded", service="finalize", status="failed")


def batches_refused() -> cloudwatch.Metric:
    """Batches whose input file did not pass validation."""
    return _metric("BatchesEnded", service="validate", status="failed")


def items_succeeded() -> cloudwatch.Metric:
    return _metric("ItemsSucceeded", service="finalize")


def items_failed() -> cloudwatch.Metric:
    return _metric("ItemsFailed", service="finalize")


def cost_usd() -> cloudwatch.MathExpression:
    cost = _metric("CostMicrousd", service="finalize")
    return cloudwatch.MathExpression(
        expression="cost / 1000000", using_metrics={"cost": cost}, label="Cost", period=_MINUTES_5
    )


def calls_by_provider() -> cloudwatch.MathExpression:
    return _search("ProviderCalls", "provider", "Sum")


def throttles_by_provider() -> cloudwatch.MathExpression:
    """Answers of 429."""
    return _search("ProviderThrottles", "provider", "Sum")


def latency_by_provider() -> cloudwatch.MathExpression:
    return _search("ProviderLatency", "provider", "p95")


def provider_items(name: str, provider: str) -> cloudwatch.Metric:
    """`name`: ItemsSucceeded or ItemsFailed, as the worker counts them."""
    return _metric(name, service="work", provider=provider)


def _metric(name: str, **dimensions: str) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=NAMESPACE, metric_name=name, dimensions_map=dimensions, statistic="Sum", period=_MINUTES_5
    )


def _search(name: str, dimension: str, statistic: str) -> cloudwatch.MathExpression:
    """One line per value of `dimension`. Dashboards take searches, alarms do not."""
    return cloudwatch.MathExpression(
        expression=f"SEARCH('{{{NAMESPACE},service,{dimension}}} MetricName=\"{name}\"', '{statistic}', 300)",
        using_metrics={},
        label="",
        period=_MINUTES_5,
    )
