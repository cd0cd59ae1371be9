"""What alarms and dashboard look at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as stepfunctions

from infra.functions import Functions


@dataclass(frozen=True, slots=True)
class Watched:
    """`queues`, `dead_letters`: by provider, and `drop` for the drop folder's."""

    functions: Functions
    queues: Mapping[str, sqs.Queue]
    dead_letters: Mapping[str, sqs.Queue]
    state_machine: stepfunctions.StateMachine
    api: apigateway.RestApi
