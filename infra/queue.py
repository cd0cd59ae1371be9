"""A queue and its dead-letter queue: encrypted, TLS only, and with names under which people find both."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_sqs as sqs
from constructs import Construct


def queue_with_dead_letters(
    scope: Construct, name: str, *, queue_name: str, visibility_timeout: Duration, max_receive_count: int
) -> tuple[sqs.Queue, sqs.Queue]:
    dead_letters = dead_letter_queue(scope, f"{name}DeadLetters", queue_name=f"{queue_name}-dead-letters")
    queue = sqs.Queue(
        scope,
        f"{name}Queue",
        queue_name=queue_name,
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
        retention_period=Duration.days(14),
        visibility_timeout=visibility_timeout,
        dead_letter_queue=sqs.DeadLetterQueue(queue=dead_letters, max_receive_count=max_receive_count),
    )
    return queue, dead_letters


def dead_letter_queue(scope: Construct, name: str, *, queue_name: str) -> sqs.Queue:
    return sqs.Queue(
        scope,
        name,
        queue_name=queue_name,
        encryption=sqs.QueueEncryption.SQS_MANAGED,
        enforce_ssl=True,
        retention_period=Duration.days(14),
    )
