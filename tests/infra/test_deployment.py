"""The very templates, deployed into moto's CloudFormation: what AWS would find out only at `cdk deploy`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from tests.infra.moto_stacks import create_stack, empty_account, publish_assets
from tests.infra.templates import Synthesized, Template

_LEFT_OUT = {
    "AWS::ApiGateway::Account",
    "AWS::ApiGateway::GatewayResponse",
    "AWS::ApiGateway::Stage",
    "AWS::CloudWatch::Alarm",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
}
"""What moto's CloudFormation does not know."""


@pytest.fixture(scope="module")
def deployed(synthesized: Synthesized) -> Iterator[dict[str, set[str]]]:
    """Stack -> logical ids that exist, while both stacks stand."""
    with empty_account():
        publish_assets(synthesized)
        yield {
            stack: create_stack(f"Batchyard-{stack}", template)
            for stack, template in (("Stateful", synthesized.stateful), ("Stateless", synthesized.stateless))
        }


def _variables(function: str) -> dict[str, str]:
    found = boto3.client("lambda").get_function_configuration(FunctionName=f"batchyard-{function}")
    variables: dict[str, str] = found["Environment"]["Variables"]
    return variables


def test_everything_that_moto_knows_is_created(deployed: dict[str, set[str]], synthesized: Synthesized) -> None:
    """Both stacks deploy in order, and nothing is left out but kinds that moto cannot create."""

    def left_out(template: Template, created: set[str]) -> set[str]:
        return {each["Type"] for name, each in template.body["Resources"].items() if name not in created}

    assert left_out(synthesized.stateful, deployed["Stateful"]) <= _LEFT_OUT
    assert left_out(synthesized.stateless, deployed["Stateless"]) <= _LEFT_OUT


@pytest.mark.usefixtures("deployed")
def test_functions_have_the_names_of_what_was_deployed() -> None:
    """Names in the functions' variables resolve to the table, the buckets, the state machine and the queues."""
    tables = boto3.client("dynamodb").list_tables()["TableNames"]
    buckets = {each["Name"] for each in boto3.client("s3").list_buckets()["Buckets"]}
    (machine,) = boto3.client("stepfunctions").list_state_machines()["stateMachines"]
    queues = set(boto3.client("sqs").list_queues()["QueueUrls"])
    worker, batches, drop = _variables("work"), _variables("batches"), _variables("drop")
    assert [worker["TABLE_NAME"]] == tables
    assert {worker["DATA_BUCKET"], drop["DROP_BUCKET"]} <= buckets
    assert batches["STATE_MACHINE_ARN"] == drop["STATE_MACHINE_ARN"] == machine["stateMachineArn"]
    urls = json.loads(worker["QUEUE_URLS"])
    assert "openai" in urls
    assert set(urls.values()) <= queues
    assert json.loads(worker["PROVIDER_URLS"]) == {}
    assert worker["CALLER_KEY_ID"] in {each["KeyId"] for each in boto3.client("kms").list_keys()["Keys"]}
    assert _variables("files")["ASSEMBLE_FUNCTION"] == "batchyard-assemble"


@pytest.mark.usefixtures("deployed")
def test_the_state_machine_names_deployed_functions() -> None:
    """Its definition is plain JSON whose tasks name functions that exist."""
    client = boto3.client("stepfunctions")
    (machine,) = client.list_state_machines()["stateMachines"]
    definition = json.loads(client.describe_state_machine(stateMachineArn=machine["stateMachineArn"])["definition"])
    named = {state["Parameters"]["FunctionName"] for state in definition["States"].values() if state["Type"] == "Task"}
    functions = {each["FunctionArn"] for each in boto3.client("lambda").list_functions()["Functions"]}
    assert len(named) == 5
    assert named <= functions


@pytest.mark.usefixtures("deployed")
def test_event_sources_join_queues_to_functions() -> None:
    """Every provider's queue feeds the worker, the drop queue the drop function."""
    mappings = boto3.client("lambda").list_event_source_mappings()["EventSourceMappings"]
    urls = json.loads(_variables("work")["QUEUE_URLS"])
    feeds = {(each["EventSourceArn"].rpartition(":")[2], each["FunctionArn"].rpartition(":")[2]) for each in mappings}
    assert feeds == {(url.rpartition("/")[2], "batchyard-work") for url in urls.values()} | {
        ("batchyard-drop", "batchyard-drop")
    }


@pytest.mark.usefixtures("deployed")
def test_roles_have_resolved_policies() -> None:
    """Each function's role names real ARNs: no token of CDK or CloudFormation is left over in it."""
    iam = boto3.client("iam")
    functions = boto3.client("lambda").list_functions()["Functions"]
    assert functions
    for function in functions:
        role = function["Role"].rpartition("/")[2]
        (policy,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
        document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
        text = json.dumps(document)
        assert "Fn::" not in text and "${" not in text
        assert all(arn.startswith("arn:aws:") or arn == "*" for arn in _resources(document))


def _resources(document: dict[str, Any]) -> Iterator[str]:
    for statement in document["Statement"]:
        resource = statement["Resource"]
        yield from [resource] if isinstance(resource, str) else resource
