"""The dead-letter queues of a deployment, by name: what lies there, and where it goes back to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from batchyard_cli.operators.deployment import Deployed

SUFFIX = "-dead-letters"
_ATTRIBUTES = ["QueueArn", "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]


@dataclass(frozen=True)
class Queue:
    """`name`: without the deployment's. `source`: the ARN of the queue whose messages came here; None: they came from a
    function, or this is no dead-letter queue."""

    name: str
    url: str
    arn: str
    waiting: int
    in_flight: int
    source: str | None = None


def queues(deployed: Deployed) -> list[Queue]:
    """Every queue of the deployment."""
    sqs = deployed.client("sqs")
    with deployed.asking("sqs:ListQueues and sqs:GetQueueAttributes on its queues"):
        urls: list[str] = []
        for page in sqs.get_paginator("list_queues").paginate(QueueNamePrefix=f"{deployed.name}-"):
            urls += page.get("QueueUrls", [])
        found = {url.rpartition("/")[2]: _queue(deployed, sqs, url) for url in sorted(urls)}
    sources = {name: found.get(name.removesuffix(SUFFIX)) for name in found if name.endswith(SUFFIX)}
    return [
        Queue(each.name, each.url, each.arn, each.waiting, each.in_flight, source.arn if source else None)
        for name, each in found.items()
        for source in [sources.get(name)]
    ]


def dead_letter_queues(deployed: Deployed) -> list[Queue]:
    return [each for each in queues(deployed) if each.name.endswith(SUFFIX)]


def _queue(deployed: Deployed, sqs: Any, url: str) -> Queue:
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=_ATTRIBUTES)["Attributes"]
    return Queue(
        url.rpartition("/")[2].removeprefix(f"{deployed.name}-"),
        url,
        found["QueueArn"],
        int(found.get("ApproximateNumberOfMessages", 0)),
        int(found.get("ApproximateNumberOfMessagesNotVisible", 0)),
    )
