"""Alarms about customers who fare badly, or spend a lot, while nothing of ours is broken. The place to look is their
batches."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.alarm import Alarms
from infra.deployment import Deployment
from infra.metrics import Metrics

_REFUSED_BATCHES = 20
_FAILED_PERCENT = 20
_ITEMS_AT_LEAST = 100
"""With fewer items in the period, the share of failures says nothing."""
_MICROUSD = 1_000_000
_HOUR = Duration.hours(1)


class BusinessAlarms(Alarms):
    def __init__(self, scope: Construct, name: str, *, deployment: Deployment, topic: sns.Topic) -> None:
        super().__init__(scope, name, deployment=deployment, topic=topic)
        metrics = Metrics(deployment.name)
        self.fires(
            "RefusedBatches",
            metrics.batches_refused(),
            "Many input files were refused within an hour. The batches' errors say why; somebody may need help.",
            threshold=_REFUSED_BATCHES,
        )
        self.fires(
            "FailedItems",
            cloudwatch.MathExpression(
                expression=f"IF(failed + succeeded >= {_ITEMS_AT_LEAST}, 100 * failed / (failed + succeeded), 0)",
                using_metrics={"failed": metrics.items_failed(_HOUR), "succeeded": metrics.items_succeeded(_HOUR)},
                label="Failed items (%)",
                period=_HOUR,
            ),
            f"More than {_FAILED_PERCENT} % of the items of an hour's batches failed. Their error files say why.",
            threshold=_FAILED_PERCENT,
        )
        self.fires(
            "SpendPerDay",
            metrics.cost_microusd(Duration.days(1)),
            f"Batches that ended today cost {deployment.daily_spend_limit_usd} dollars at the providers, the limit "
            "that the deployment's file sets. The dashboard or the accounts' usage says who.",
            threshold=deployment.daily_spend_limit_usd * _MICROUSD,
        )
