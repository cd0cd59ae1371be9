"""Alarms that say customers fare badly although nothing of ours is broken: look at their batches and the providers."""

from __future__ import annotations

from collections.abc import Iterable

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra import metrics

_REFUSED_BATCHES = 20
_FAILED_PERCENT = 20
_ITEMS_AT_LEAST = 100
"""Below this many items in the period a share says nothing."""

_HOUR = Duration.hours(1)


class BusinessAlarms(Construct):
    def __init__(self, scope: Construct, name: str, *, topic: sns.Topic, providers: Iterable[str]) -> None:
        super().__init__(scope, name)
        self._action = actions.SnsAction(topic)
        self._alarm(
            "RefusedBatches",
            metrics.batches_refused().with_(period=_HOUR),
            "Many input files were refused within an hour. The batches' errors say why; somebody may need help.",
            threshold=_REFUSED_BATCHES,
        )
        for provider in providers:
            self._alarm(
                f"{provider.capitalize()}FailedItems",
                _failed_percent(provider),
                f"More than {_FAILED_PERCENT} % of an hour's items failed at {provider}. Is it down, is its key valid?",
                threshold=_FAILED_PERCENT,
            )

    def _alarm(self, name: str, metric: cloudwatch.IMetric, description: str, *, threshold: float) -> None:
        alarm = cloudwatch.Alarm(
            self,
            name,
            metric=metric,
            alarm_description=description,
            threshold=threshold,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(self._action)


def _failed_percent(provider: str) -> cloudwatch.MathExpression:
    return cloudwatch.MathExpression(
        expression=f"IF(failed + succeeded >= {_ITEMS_AT_LEAST}, 100 * failed / (failed + succeeded), 0)",
        using_metrics={
            "failed": metrics.provider_items("ItemsFailed", provider).with_(period=_HOUR),
            "succeeded": metrics.provider_items("ItemsSucceeded", provider).with_(period=_HOUR),
        },
        label=f"Failed items at {provider} (%)",
        period=_HOUR,
    )
