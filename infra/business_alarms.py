"""Alarms that say customers fare badly although nothing is broken: look at their batches and at the providers first."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra import metrics

_FAILED_BATCHES = 5
_FAILED_SHARE_PERCENT = 20
_ITEMS_AT_LEAST = 100
"""Below this many items in the period a share says nothing."""


class BusinessAlarms(Construct):
    def __init__(self, scope: Construct, name: str, *, topic: sns.Topic) -> None:
        super().__init__(scope, name)
        hour = Duration.hours(1)
        failed_share = cloudwatch.MathExpression(
            expression=f"IF(failed + succeeded >= {_ITEMS_AT_LEAST}, 100 * failed / (failed + succeeded), 0)",
            using_metrics={
                "failed": metrics.items_failed().with_(period=hour),
                "succeeded": metrics.items_succeeded().with_(period=hour),
            },
            label="Failed items (%)",
            period=hour,
        )
        alarms = [
            metrics.batches_failed()
            .with_(period=hour)
            .create_alarm(
                self,
                "FailedBatches",
                alarm_description=f"{_FAILED_BATCHES} batches failed within an hour. Their errors say why.",
                threshold=_FAILED_BATCHES,
                evaluation_periods=1,
                comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
                treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            ),
            failed_share.create_alarm(
                self,
                "FailedItems",
                alarm_description=f"More than {_FAILED_SHARE_PERCENT} % of an hour's items failed. Is a provider down?",
                threshold=_FAILED_SHARE_PERCENT,
                evaluation_periods=1,
                comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
                treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            ),
        ]
        for alarm in alarms:
            alarm.add_alarm_action(actions.SnsAction(topic))
