"""The drop folder: an object put under drop/ becomes a message, which becomes a batch."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda_event_sources as event_sources
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.deployment import Deployment
from infra.function import Function
from infra.queue import queue_with_dead_letters


class DropFolder(Construct):
    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        deployment: Deployment,
        bucket: s3.IBucket,
        function: Function,
        maximum: int,
    ) -> None:
        super().__init__(scope, name)
        self.queue, self.dead_letters = queue_with_dead_letters(
            self,
            "Drop",
            queue_name=f"{deployment.name}-drop",
            visibility_timeout=Duration.seconds(6 * function.timeout.to_seconds()),
            max_receive_count=5,
        )
        self.rule = events.Rule(
            self,
            "Rule",
            rule_name=f"{deployment.name}-drop",
            description="Objects put in the drop folder",
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={"bucket": {"name": [bucket.bucket_name]}, "object": {"key": [{"prefix": "drop/"}]}},
            ),
            targets=[targets.SqsQueue(self.queue, dead_letter_queue=self.dead_letters)],
        )
        function.function.add_event_source(
            event_sources.SqsEventSource(
                self.queue, batch_size=1, report_batch_item_failures=True, max_concurrency=maximum
            )
        )
