"""Uploads whose parts could not be joined: Lambda invokes `assemble` three times within an hour, then puts its event
into a queue. From then on the file is shown as broken (`core/files.py`)."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_lambda as lambda_
from cdk_nag import NagSuppressions
from constructs import Construct

from infra.deployment import Deployment
from infra.function import Function
from infra.queue import dead_letter_queue


class Uploads(Construct):
    def __init__(self, scope: Construct, name: str, *, deployment: Deployment, assemble: Function) -> None:
        super().__init__(scope, name)
        self.dead_letters = dead_letter_queue(
            self, "AssembleDeadLetters", queue_name=f"{deployment.name}-assemble-dead-letters"
        )
        NagSuppressions.add_resource_suppressions(
            self.dead_letters,
            [{"id": "AwsSolutions-SQS3", "reason": "It is the dead-letter queue of a function, not of a queue."}],
        )
        assemble.allow(["sqs:SendMessage"], self.dead_letters.queue_arn)
        lambda_.CfnEventInvokeConfig(
            self,
            "Retries",
            function_name=assemble.function.function_name,
            qualifier="$LATEST",
            maximum_retry_attempts=2,
            maximum_event_age_in_seconds=int(Duration.hours(1).to_seconds()),
            destination_config=lambda_.CfnEventInvokeConfig.DestinationConfigProperty(
                on_failure=lambda_.CfnEventInvokeConfig.OnFailureProperty(destination=self.dead_letters.queue_arn)
            ),
        ).node.add_dependency(assemble.role)
