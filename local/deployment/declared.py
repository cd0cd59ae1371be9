"""What a template declares and the local cloud plays itself, as values. deploy.py reads them from the templates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ACCOUNT_ID = "123456789012"
REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class FunctionConfig:
    """An AWS::Lambda::Function. `name` is the module of its handler: `work` for batchyard.handlers.work.handler."""

    name: str
    physical_name: str
    arn: str
    role_arn: str
    handler: str
    memory_megabytes: int
    timeout_seconds: float
    reserved_concurrency: int | None
    on_failure: str | None
    """ARN of the queue that is told of asynchronous events which failed for good."""
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class EventSource:
    """An AWS::Lambda::EventSourceMapping of a queue. `function` is its ARN or name."""

    queue_name: str
    queue_arn: str
    function: str
    batch_size: int
    window_seconds: float
    maximum_concurrency: int | None
    reports_failures: bool


@dataclass(frozen=True, slots=True)
class RuleTarget:
    """`input` is sent instead of the event; None: the event is sent. `dead_letters`: ARN of the queue for events that
    could not be handed over."""

    arn: str
    input: str | None
    dead_letters: str | None


@dataclass(frozen=True, slots=True)
class Rule:
    """An AWS::Events::Rule: either `pattern` or `schedule` is set.

    `reference` is what a GetAtt of the rule's ARN resolves to here, because rules are not created in moto.
    """

    name: str
    reference: str
    pattern: Mapping[str, Any] | None
    schedule: str | None
    targets: tuple[RuleTarget, ...]


@dataclass(frozen=True, slots=True)
class Method:
    """`resource` is the path with its placeholders: /v1/files/{file_id}. `function` is the ARN it invokes."""

    method: str
    resource: str
    function: str


@dataclass(frozen=True, slots=True)
class InvokePermission:
    """An AWS::Lambda::Permission: `service` may invoke `function` (ARN or name)."""

    function: str
    service: str


@dataclass(frozen=True, slots=True)
class GatewayResponse:
    """An AWS::ApiGateway::GatewayResponse. None: API Gateway's default."""

    status: int | None
    headers: Mapping[str, str]
    template: str | None


@dataclass(slots=True)
class Deployment:
    """Everything declared by the stacks that were deployed so far."""

    functions: list[FunctionConfig] = field(default_factory=list)
    event_sources: list[EventSource] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    methods: list[Method] = field(default_factory=list)
    permissions: list[InvokePermission] = field(default_factory=list)
    gateway_responses: dict[str, GatewayResponse] = field(default_factory=dict)
    binary_media_types: tuple[str, ...] = ()
    eventbridge_buckets: set[str] = field(default_factory=set)
    state_machine_roles: list[str] = field(default_factory=list)

    def declares(self, function: str) -> bool:
        """Whether there is a function of this short name."""
        return any(config.name == function for config in self.functions)
