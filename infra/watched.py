"""The resources that alarms and dashboard are about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as stepfunctions

from infra.functions import Functions


@dataclass(frozen=True, slots=True)
class Watched:
    """`queues`: by provider, and `drop` for the drop folder's. `dead_letters`: theirs, and `assemble` for uploads that
    could not be joined. `drop_rule` tells the drop queue of new objects."""

    functions: Functions
    queues: Mapping[str, sqs.Queue]
    dead_letters: Mapping[str, sqs.Queue]
    drop_rule: events.Rule
    state_machine: stepfunctions.StateMachine
    api: apigateway.RestApi
    table: dynamodb.ITable
