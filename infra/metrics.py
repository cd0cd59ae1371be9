"""The metrics that functions emit (EMF), as the dashboard and the alarms read them. The namespace is the deployment's
name, so that no deployment's alarms read the metrics of another.

Powertools adds the dimension `service`, the name of the function. Batches are counted by the step that ends them:
Validate if the input file is refused, else Finalize. Calls are counted by the worker, by provider. A metric that an
alarm reads has no further dimension, or one with a single value, because each value makes a metric of its own.
"""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

_MINUTES_5 = Duration.minutes(5)


class Metrics:
    def __init__(self, namespace: str) -> None:
        self._namespace = namespace

    def lanes_blocked(self) -> cloudwatch.Metric:
        """Lanes on which people have to act: a key is refused, an account has no money, a secret is missing."""
        return self._metric("LanesBlocked", service="work", statistic="Maximum", period=Duration.minutes(1))

    def lanes_open(self) -> cloudwatch.Metric:
        """Lanes in trouble, on which only probes are sent."""
        return self._metric("LanesOpen", service="work", statistic="Maximum")

    def shard_errors(self) -> cloudwatch.Metric:
        """Shards that a worker could not work on, for a reason that is neither the provider's nor the customer's."""
        return self._metric("ShardErrors", service="work")

    def oldest_batch_seconds_left(self) -> cloudwatch.Metric:
        """Seconds until the next deadline of an open batch; no data while no batch is open."""
        return self._metric("OldestBatchSecondsLeft", service="sweep", statistic="Minimum")

    def batches_by_status(self) -> cloudwatch.MathExpression:
        return self._search("BatchesEnded", "status", "Sum")

    def batches_given_up(self) -> cloudwatch.Metric:
        """Batches that ended as failed although their input was good."""
        return self._metric("BatchesEnded", service="finalize", status="failed")

    def batches_refused(self) -> cloudwatch.Metric:
        """Batches whose input file did not pass validation."""
        return self._metric("BatchesEnded", service="validate", status="failed", period=Duration.hours(1))

    def items_succeeded(self, period: Duration = _MINUTES_5) -> cloudwatch.Metric:
        return self._metric("ItemsSucceeded", service="finalize", period=period)

    def items_failed(self, period: Duration = _MINUTES_5) -> cloudwatch.Metric:
        return self._metric("ItemsFailed", service="finalize", period=period)

    def cost_microusd(self, period: Duration = _MINUTES_5) -> cloudwatch.Metric:
        """What ended batches cost at the providers, without those whose callers brought their own key."""
        return self._metric("CostMicrousd", service="finalize", period=period)

    def cost_usd(self) -> cloudwatch.MathExpression:
        return cloudwatch.MathExpression(
            expression="cost / 1000000", using_metrics={"cost": self.cost_microusd()}, label="Cost", period=_MINUTES_5
        )

    def items_by_provider(self) -> list[cloudwatch.MathExpression]:
        """As workers and jobs count them, before their batches end."""
        return [self._search(name, "provider", "Sum") for name in ("ItemsSucceeded", "ItemsFailed")]

    def calls_by_provider(self) -> cloudwatch.MathExpression:
        return self._search("ProviderCalls", "provider", "Sum")

    def throttles_by_provider(self) -> cloudwatch.MathExpression:
        """Answers of 429."""
        return self._search("ProviderThrottles", "provider", "Sum")

    def latency_by_provider(self) -> cloudwatch.MathExpression:
        return self._search("ProviderLatency", "provider", "p95")

    def _metric(
        self, name: str, *, statistic: str = "Sum", period: Duration = _MINUTES_5, **dimensions: str
    ) -> cloudwatch.Metric:
        return cloudwatch.Metric(
            namespace=self._namespace,
            metric_name=name,
            dimensions_map=dimensions,
            statistic=statistic,
            period=period,
        )

    def _search(self, name: str, dimension: str, statistic: str) -> cloudwatch.MathExpression:
        """One line per value of `dimension`. Dashboards can show searches; alarms cannot read them."""
        return cloudwatch.MathExpression(
            expression=f"SEARCH('{{{self._namespace},service,{dimension}}} MetricName=\"{name}\"', '{statistic}', 300)",
            using_metrics={},
            label="",
            period=_MINUTES_5,
        )
