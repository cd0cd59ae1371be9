"""Alarms, each named after the deployment and sent to one topic. Each has a row in docs/runbook.md.

CloudWatch bills an alarm by the metrics it reads, 0.10 dollars each a month, and takes at most ten in one expression.
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.deployment import Deployment

METRICS_AT_MOST = 10

_AT_LEAST = cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD
_AT_MOST = cloudwatch.ComparisonOperator.LESS_THAN_OR_EQUAL_TO_THRESHOLD


class Alarms(Construct):
    """An alarm made with `fires` fires when its value reaches the threshold, one made with `fires_below` when it sinks
    to it."""

    def __init__(self, scope: Construct, name: str, *, deployment: Deployment, topic: sns.Topic) -> None:
        super().__init__(scope, name)
        self._deployment = deployment
        self._action = actions.SnsAction(topic)

    def fires(
        self,
        name: str,
        metric: cloudwatch.IMetric,
        description: str,
        *,
        threshold: float = 1,
        of_periods: tuple[int, int] = (1, 1),
    ) -> None:
        """`of_periods`: (how many, out of how many) periods have to be so. Periods without data are good ones."""
        quiet = cloudwatch.TreatMissingData.NOT_BREACHING
        self._alarm(name, metric, description, _AT_LEAST, threshold, of_periods, quiet)

    def fires_below(
        self,
        name: str,
        metric: cloudwatch.IMetric,
        description: str,
        *,
        threshold: float,
        of_periods: tuple[int, int] = (1, 1),
        silence_is_trouble: bool = False,
    ) -> None:
        missing = cloudwatch.TreatMissingData
        treat = missing.BREACHING if silence_is_trouble else missing.NOT_BREACHING
        self._alarm(name, metric, description, _AT_MOST, threshold, of_periods, treat)

    def _alarm(
        self,
        name: str,
        metric: cloudwatch.IMetric,
        description: str,
        comparison: cloudwatch.ComparisonOperator,
        threshold: float,
        of_periods: tuple[int, int],
        missing: cloudwatch.TreatMissingData,
    ) -> None:
        breaching, looked_at = of_periods
        alarm = cloudwatch.Alarm(
            self,
            name,
            alarm_name=f"{self._deployment.name}-{name}",
            metric=metric,
            alarm_description=description,
            threshold=threshold,
            datapoints_to_alarm=breaching,
            evaluation_periods=looked_at,
            comparison_operator=comparison,
            treat_missing_data=missing,
        )
        alarm.add_alarm_action(self._action)


def sum_of(metrics: Sequence[cloudwatch.Metric], *, label: str, period: Duration) -> list[cloudwatch.MathExpression]:
    """The metrics added up, in as few expressions as an alarm allows; one that has no data counts as nothing."""
    return [
        cloudwatch.MathExpression(
            expression=f"SUM([{', '.join(f'm{number}' for number in range(len(group)))}])",
            using_metrics={f"m{number}": metric for number, metric in enumerate(group)},
            label=label,
            period=period,
        )
        for start in range(0, len(metrics), METRICS_AT_MOST)
        if (group := metrics[start : start + METRICS_AT_MOST])
    ]
