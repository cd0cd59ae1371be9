"""Schedules: the sweep."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from constructs import Construct

from infra.deployment import Deployment
from infra.function import Function


class Schedules(Construct):
    def __init__(self, scope: Construct, name: str, *, deployment: Deployment, sweep: Function) -> None:
        super().__init__(scope, name)
        events.Rule(
            self,
            "Sweep",
            rule_name=f"{deployment.name}-sweep",
            description="Starts again what a crash left standing",
            schedule=events.Schedule.rate(Duration.minutes(2)),
            # No retries: the next sweep comes soon enough.
            targets=[targets.LambdaFunction(sweep.function, retry_attempts=0, max_event_age=Duration.minutes(2))],
        )
