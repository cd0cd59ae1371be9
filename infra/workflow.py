"""The state machine that takes one batch from validating to its end. Its definition is state_machine.asl.json; the
functions' ARNs are put into that text here rather than by CloudFormation's substitutions, which moto does not know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_stepfunctions as stepfunctions
from cdk_nag import NagSuppressions
from constructs import Construct

from infra.deployment import Deployment
from infra.functions import Functions
from infra.log import Log

DEFINITION_FILE = Path(__file__).with_name("state_machine.asl.json")
STEPS = ("validate", "dispatch", "fence", "finalize", "notify")


def definition(arns: Mapping[str, str]) -> str:
    """The file's text with each function's name, such as `${Validate}`, replaced by its ARN. Raises KeyError for an
    unknown name."""
    return re.sub(r"\$\{(\w+)\}", lambda name: arns[name[1]], DEFINITION_FILE.read_text())


def state_machine_arn(scope: Construct, deployment: Deployment) -> str:
    """The ARN, composed from the name, because functions and their roles need it before the state machine exists."""
    return Stack.of(scope).format_arn(
        service="states",
        resource="stateMachine",
        resource_name=state_machine_name(deployment),
        arn_format=ArnFormat.COLON_RESOURCE_NAME,
    )


def state_machine_name(deployment: Deployment) -> str:
    return f"{deployment.name}-batches"


class Workflow(Construct):
    def __init__(self, scope: Construct, name: str, *, deployment: Deployment, functions: Functions) -> None:
        super().__init__(scope, name)
        arns = {step.capitalize(): functions[step].arn for step in STEPS}
        self.state_machine = stepfunctions.StateMachine(
            self,
            "StateMachine",
            state_machine_name=state_machine_name(deployment),
            definition_body=stepfunctions.DefinitionBody.from_string(definition(arns)),
            tracing_enabled=True,
            logs=stepfunctions.LogOptions(
                destination=Log(
                    self,
                    "Log",
                    deployment=deployment,
                    log_group_name=f"/aws/vendedlogs/states/{state_machine_name(deployment)}",
                ),
                level=stepfunctions.LogLevel.ALL,
                # A task token in a log would let its reader end somebody's batch.
                include_execution_data=False,
            ),
        )
        self.state_machine.add_to_role_policy(
            iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=list(arns.values()))
        )
        NagSuppressions.add_resource_suppressions(
            self.state_machine,
            [
                {
                    "id": "AwsSolutions-IAM5",
                    "reason": "X-Ray's write actions and CloudWatch's log deliveries take no resource.",
                    "appliesTo": ["Resource::*"],
                }
            ],
            apply_to_children=True,
        )
