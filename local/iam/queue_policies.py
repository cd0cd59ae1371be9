"""Whether a queue's policy, as it is at the moment, lets EventBridge send to it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from moto.sqs.models import sqs_backends

from local.deployment.declared import ACCOUNT_ID, REGION, Rule
from local.iam.permissions import Principal, Statement, denied, read_statements

_SERVICE = "events.amazonaws.com"


def may_send(rule: Rule, queue_arn: str) -> bool:
    events = Principal("events", _SERVICE, tuple(_statements(queue_arn.rpartition(":")[2])))
    context = {
        "aws:securetransport": "true",
        "aws:sourceaccount": ACCOUNT_ID,
        "aws:sourcearn": rule.reference,
    }
    return denied(events, [("sqs:SendMessage", queue_arn)], context) is None


def _statements(queue: str) -> Iterator[Statement]:
    """Those that are about EventBridge, or about everybody."""
    policy = sqs_backends[ACCOUNT_ID][REGION].queues[queue].policy
    for raw in json.loads(policy)["Statement"] if policy else ():
        principal = raw.get("Principal", "*")
        named = principal.get("Service", "*") if isinstance(principal, dict) else principal
        if {_SERVICE, "*"} & set(named if isinstance(named, list) else [named]):
            yield from read_statements({"Statement": [raw]})
