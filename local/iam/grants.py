"""Checks the grants that are not used by any AWS call of a function: API Gateway and EventBridge have to be allowed to
invoke functions and to send to queues, and an event source reads its queue with the function's role.

If one is missing, AWS refuses the deployment, or silently drops events. The local cloud refuses to start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from local.deployment.declared import ACCOUNT_ID, Deployment
from local.iam.permissions import Principal, denied
from local.iam.queue_policies import may_send

_CONTEXT = {"aws:securetransport": "true", "aws:sourceaccount": ACCOUNT_ID}
_SOURCE_ACTIONS = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")


class GrantMissing(Exception):
    """The template would deploy, but not work. One line per grant."""


def check(deployment: Deployment, principal_of: Callable[[str], Principal]) -> None:
    """`principal_of` gives the principal of a function's short name."""
    missing = [*_event_sources(deployment, principal_of), *_invokes(deployment), *_sends(deployment)]
    if missing:
        raise GrantMissing("the template lacks grants:\n" + "\n".join(sorted(set(missing))))


def _event_sources(deployment: Deployment, principal_of: Callable[[str], Principal]) -> Iterator[str]:
    for source in deployment.event_sources:
        name = _short_name(deployment, source.function)
        for action in _SOURCE_ACTIONS:
            if denied(principal_of(name), [(action, source.queue_arn)], _CONTEXT) is not None:
                yield f"the role of {name} needs {action} on {source.queue_arn}"


def _invokes(deployment: Deployment) -> Iterator[str]:
    granted = {
        (_short_name(deployment, permission.function), permission.service) for permission in deployment.permissions
    }
    for method in deployment.methods:
        name = _short_name(deployment, method.function)
        if (name, "apigateway.amazonaws.com") not in granted:
            yield f"API Gateway may not invoke {name}"
    for rule in deployment.rules:
        for target in rule.targets:
            if ":lambda:" not in target.arn:
                continue
            name = _short_name(deployment, target.arn)
            if (name, "events.amazonaws.com") not in granted:
                yield f"EventBridge may not invoke {name} (rule {rule.name})"


def _sends(deployment: Deployment) -> Iterator[str]:
    for rule in deployment.rules:
        for arn in (arn for target in rule.targets for arn in (target.arn, target.dead_letters or "")):
            if ":sqs:" in arn and not may_send(rule, arn):
                yield f"EventBridge may not send to {arn} (rule {rule.name})"


def _short_name(deployment: Deployment, function: str) -> str:
    for config in deployment.functions:
        if function in (config.arn, config.physical_name):
            return config.name
    raise GrantMissing(f"there is no function {function}")
