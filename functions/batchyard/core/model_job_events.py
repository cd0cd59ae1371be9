"""What Amazon Bedrock tells EventBridge when a provider job is over, best effort. The event has the job's name, and the
name has the token of its submission.
https://docs.aws.amazon.com/bedrock/latest/userguide/monitoring-eventbridge-how-it-works.html
"""

from __future__ import annotations

from batchyard.core.json_types import JsonObject

SOURCE = "aws.bedrock"
DETAIL_TYPE = "Batch Inference Job State Change"
OVER = frozenset({"Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired"})
"""The states in which nothing changes any more."""
NAME_PREFIX = "batchyard-"
"""What the names of our jobs begin with, those of all deployments of the account."""


def job_name(token: str) -> str:
    return NAME_PREFIX + token


def is_bedrocks(event: JsonObject) -> bool:
    """Whether it is an event of Bedrock's."""
    return event.get("source") == SOURCE


def token_of(event: JsonObject) -> str | None:
    """The token of the job that an event is about; None if that is nobody's here."""
    detail = event.get("detail")
    name = str(detail.get("batchJobName")) if isinstance(detail, dict) else ""
    token = name.removeprefix(NAME_PREFIX)
    return token if token != name and token.isalnum() else None
