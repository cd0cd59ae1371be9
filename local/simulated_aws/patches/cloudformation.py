"""What is changed in moto's CloudFormation."""

from __future__ import annotations

import json
from typing import Any

from moto.cloudformation.models import Stack
from moto.stepfunctions import models as models_that_do_not_run
from moto.stepfunctions.parser import models as models_that_run


def read_templates_as_json() -> None:
    """Speed only (moto 5.2.5): moto reads every template with PyYAML's loader in pure Python, which takes seconds for a
    synthesized template. Ours are JSON, which CloudFormation takes as well:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-formats.html"""

    def parse(template: str) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(template)
        return parsed

    Stack.parse_template = staticmethod(parse)


def create_state_machines_that_run() -> None:
    """moto 5.2.5 creates an AWS::StepFunctions::StateMachine in the backend that does not execute anything, whatever
    `execute_state_machine` says. In AWS it is a state machine like any other:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-stepfunctions-statemachine.html"""
    models_that_do_not_run.stepfunctions_backends = models_that_run.stepfunctions_parser_backends
