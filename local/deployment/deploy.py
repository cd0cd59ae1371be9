"""Deploys templates into moto's CloudFormation, and reads from them what moto leaves out.

moto creates the types of resources in `_MOTO_CREATES`. What the local cloud plays itself (API, event sources, rules,
concurrency) is read from the same templates into the values of declared.py. Anything else (alarms, dashboards, stages,
bucket policies) is skipped, with one line in the log that names the types.
"""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from moto.cloudformation.models import cloudformation_backends
from moto.cloudformation.parsing import clean_json
from moto.dynamodb.models import dynamodb_backends
from moto.s3.models import s3_backends
from moto.sqs.models import sqs_backends

from local.deployment.declared import (
    ACCOUNT_ID,
    REGION,
    Deployment,
    EventSource,
    FunctionConfig,
    GatewayResponse,
    InvokePermission,
    Method,
    Rule,
    RuleTarget,
)
from local.deployment.templates import Stack

Properties = dict[str, Any]
"""A template, or a resource's properties, as JSON."""

log = logging.getLogger(__name__)

_MOTO_CREATES = {
    "AWS::DynamoDB::Table",
    "AWS::IAM::ManagedPolicy",
    "AWS::IAM::Policy",
    "AWS::IAM::Role",
    "AWS::KMS::Alias",
    "AWS::KMS::Key",
    "AWS::Lambda::Function",
    "AWS::Logs::LogGroup",
    "AWS::S3::Bucket",
    "AWS::SNS::Topic",
    "AWS::SQS::Queue",
    "AWS::SSM::Parameter",
    "AWS::StepFunctions::StateMachine",
}
_PLAYED_HERE = {
    "AWS::ApiGateway::GatewayResponse",
    "AWS::ApiGateway::Method",
    "AWS::ApiGateway::Resource",
    "AWS::ApiGateway::RestApi",
    "AWS::Events::Rule",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Lambda::Permission",
    "AWS::SQS::QueuePolicy",
}


def deploy(stacks: list[Stack]) -> Deployment:
    """Creates every stack. Raises whatever moto raises when a resource does not deploy."""
    deployment = Deployment()
    for stack in stacks:
        _deploy(stack, deployment)
    return deployment


def _deploy(stack: Stack, deployment: Deployment) -> None:
    resources: Properties = stack.template["Resources"]
    skipped = sorted({r["Type"] for r in resources.values()} - _MOTO_CREATES - _PLAYED_HERE - {"AWS::CDK::Metadata"})
    if skipped:
        log.info("%s: not deployed locally: %s", stack.name, ", ".join(skipped))
    backend = cloudformation_backends[ACCOUNT_ID][REGION]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        created = backend.create_stack(stack.name, json.dumps(_for_moto(stack.template)), {})
    if created.status != "CREATE_COMPLETE":
        raise RuntimeError(f"stack {stack.name} ended as {created.status}")
    template = _without_references(stack.template, _dropped(stack.template))

    def resolved(logical_id: str) -> Properties:
        properties = copy.deepcopy(template["Resources"][logical_id].get("Properties", {}))
        cleaned: Properties = clean_json(properties, created.resource_map)
        return cleaned

    def of_type(kind: str) -> Iterator[tuple[str, Properties]]:
        for logical_id, resource in resources.items():
            if resource["Type"] == kind:
                yield logical_id, resolved(logical_id)

    def physical(logical_id: str) -> str:
        resource = created.resource_map[logical_id]
        assert resource is not None, f"moto made no {logical_id}"
        return str(resource.physical_resource_id)

    destinations = dict(_destination(properties) for _, properties in of_type("AWS::Lambda::EventInvokeConfig"))
    for logical_id, properties in of_type("AWS::Lambda::Function"):
        deployment.functions.append(_function(physical(logical_id), properties, destinations.get(physical(logical_id))))
    for logical_id, properties in of_type("AWS::S3::Bucket"):
        _finish_bucket(physical(logical_id), properties, deployment)
    for logical_id, properties in of_type("AWS::DynamoDB::Table"):
        _finish_table(physical(logical_id), properties)
    for _, properties in of_type("AWS::StepFunctions::StateMachine"):
        deployment.state_machine_roles.append(properties["RoleArn"])
    for _, properties in of_type("AWS::Lambda::EventSourceMapping"):
        deployment.event_sources.append(_event_source(properties))
    for logical_id, properties in of_type("AWS::Events::Rule"):
        deployment.rules.append(_rule(logical_id, properties))
    for _, properties in of_type("AWS::ApiGateway::RestApi"):
        deployment.binary_media_types += tuple(properties.get("BinaryMediaTypes", ()))
    for _, properties in of_type("AWS::ApiGateway::GatewayResponse"):
        deployment.gateway_responses[properties["ResponseType"]] = _gateway_response(properties)
    for _, properties in of_type("AWS::Lambda::Permission"):
        deployment.permissions.append(InvokePermission(properties["FunctionName"], properties["Principal"]))
    for _, properties in of_type("AWS::SQS::QueuePolicy"):
        _finish_queues(properties)
    deployment.methods += _methods(resources, dict(of_type("AWS::ApiGateway::Method")))


# What goes to moto.


def _for_moto(template: Properties) -> Properties:
    dropped = _dropped(template)
    resources = {}
    for logical_id, resource in template["Resources"].items():
        if logical_id in dropped:
            continue
        kept = copy.deepcopy(resource)
        kept.pop("Metadata", None)
        depends = kept.pop("DependsOn", [])
        remaining = [name for name in ([depends] if isinstance(depends, str) else depends) if name not in dropped]
        if remaining:
            kept["DependsOn"] = remaining
        if kept["Type"] == "AWS::Lambda::Function":
            # The code runs from this checkout; moto would look for the asset in a bucket that does not exist.
            kept["Properties"]["Code"] = {"ZipFile": "# runs from the checkout"}
        if kept["Type"] == "AWS::KMS::Key":
            # moto takes the template's Key and Value for the API's TagKey and TagValue.
            kept["Properties"].pop("Tags", None)
        if kept["Type"] == "AWS::S3::Bucket":
            kept["Properties"].pop("NotificationConfiguration", None)
            kept["Properties"].pop("LoggingConfiguration", None)
        resources[logical_id] = kept
    cleaned = {
        key: value for key, value in template.items() if key in ("Mappings", "Conditions", "Outputs", "Parameters")
    }
    # The bootstrap version is an SSM parameter of an account that was bootstrapped; nothing here reads it.
    cleaned["Parameters"] = {
        name: {"Type": "String", "Default": "local"} if str(parameter["Type"]).startswith("AWS::SSM::") else parameter
        for name, parameter in cleaned.get("Parameters", {}).items()
    }
    for_moto: Properties = _without_references(cleaned | {"Resources": resources}, dropped)
    return for_moto


def _dropped(template: Properties) -> set[str]:
    return {name for name, resource in template["Resources"].items() if resource["Type"] not in _MOTO_CREATES}


def _without_references(node: Any, dropped: set[str]) -> Any:
    """`node` with references to resources that moto does not have replaced by their logical ids."""
    if isinstance(node, list):
        return [_without_references(each, dropped) for each in node]
    if not isinstance(node, dict):
        return node
    if node.get("Ref") in dropped and len(node) == 1:
        return node["Ref"]
    attribute = node.get("Fn::GetAtt")
    if attribute is not None and len(node) == 1:
        name, _, rest = attribute.partition(".") if isinstance(attribute, str) else (attribute[0], "", attribute[1])
        if name in dropped:
            return f"{name}.{rest}"
    return {key: _without_references(value, dropped) for key, value in node.items()}


# What moto's CloudFormation leaves undone.


def _finish_bucket(name: str, properties: Properties, deployment: Deployment) -> None:
    if properties.get("VersioningConfiguration", {}).get("Status") == "Enabled":
        s3_backends[ACCOUNT_ID]["aws"].put_bucket_versioning(name, "Enabled")
    notifications = properties.get("NotificationConfiguration", {}).get("EventBridgeConfiguration")
    if notifications is not None and str(notifications.get("EventBridgeEnabled", True)).lower() == "true":
        deployment.eventbridge_buckets.add(name)


def _finish_table(name: str, properties: Properties) -> None:
    ttl = properties.get("TimeToLiveSpecification")
    if ttl is not None:
        table = dynamodb_backends[ACCOUNT_ID][REGION].tables[name]
        table.ttl = {"TimeToLiveStatus": "ENABLED", "AttributeName": ttl["AttributeName"]}


def _finish_queues(properties: Properties) -> None:
    """The policy of an AWS::SQS::QueuePolicy becomes an attribute of its queues, where people may change it."""
    for url in properties.get("Queues", ()):
        queue = sqs_backends[ACCOUNT_ID][REGION].queues[str(url).rpartition("/")[2]]
        queue.policy = json.dumps(properties.get("PolicyDocument", {}))


# What the local cloud plays.


def _function(physical_name: str, properties: Properties, on_failure: str | None) -> FunctionConfig:
    module = properties["Handler"].rpartition(".")[0]
    reserved = properties.get("ReservedConcurrentExecutions")
    return FunctionConfig(
        name=module.rpartition(".")[2],
        physical_name=physical_name,
        arn=f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{physical_name}",
        role_arn=properties["Role"],
        handler=properties["Handler"],
        memory_megabytes=int(properties.get("MemorySize", 128)),
        timeout_seconds=float(properties.get("Timeout", 3)),
        reserved_concurrency=None if reserved is None else int(reserved),
        on_failure=on_failure,
        environment={k: str(v) for k, v in properties.get("Environment", {}).get("Variables", {}).items()},
    )


def _destination(properties: Properties) -> tuple[str, str | None]:
    """(function, ARN of the queue for what it failed to do)"""
    on_failure = properties.get("DestinationConfig", {}).get("OnFailure", {})
    return properties["FunctionName"], on_failure.get("Destination")


def _event_source(properties: Properties) -> EventSource:
    arn = properties["EventSourceArn"]
    queue = sqs_backends[ACCOUNT_ID][REGION].queues[arn.rpartition(":")[2]]
    maximum = properties.get("ScalingConfig", {}).get("MaximumConcurrency")
    return EventSource(
        queue_name=queue.name,
        queue_arn=arn,
        function=properties["FunctionName"],
        batch_size=int(properties.get("BatchSize", 10)),
        window_seconds=float(properties.get("MaximumBatchingWindowInSeconds", 0)),
        maximum_concurrency=None if maximum is None else int(maximum),
        reports_failures="ReportBatchItemFailures" in properties.get("FunctionResponseTypes", ()),
    )


def _rule(logical_id: str, properties: Properties) -> Rule:
    return Rule(
        name=properties.get("Name", logical_id),
        reference=f"{logical_id}.Arn",
        pattern=properties.get("EventPattern"),
        schedule=properties.get("ScheduleExpression"),
        targets=tuple(
            RuleTarget(target["Arn"], target.get("Input"), target.get("DeadLetterConfig", {}).get("Arn"))
            for target in properties.get("Targets", ())
        ),
    )


def _gateway_response(properties: Properties) -> GatewayResponse:
    prefix = "gatewayresponse.header."
    status = properties.get("StatusCode")
    return GatewayResponse(
        status=None if status is None else int(status),
        headers={
            name.removeprefix(prefix): value
            for name, value in properties.get("ResponseParameters", {}).items()
            if name.startswith(prefix)
        },
        template=properties.get("ResponseTemplates", {}).get("application/json"),
    )


def _methods(resources: Properties, methods: Mapping[str, Properties]) -> Iterator[Method]:
    """Paths come from the chain of ParentIds, which in the template are references by logical id."""

    def path(logical_id: str) -> str:
        resource = resources[logical_id]
        if resource["Type"] != "AWS::ApiGateway::Resource":
            return ""
        properties = resource["Properties"]
        return f"{path(_target(properties['ParentId']))}/{properties['PathPart']}"

    for logical_id, properties in methods.items():
        uri = properties.get("Integration", {}).get("Uri")
        if not uri:
            continue
        function = str(uri).rpartition("/functions/")[2].removesuffix("/invocations")
        resource = path(_target(resources[logical_id]["Properties"]["ResourceId"])) or "/"
        yield Method(properties["HttpMethod"], resource, function)


def _target(reference: Any) -> str:
    """The logical id that a Ref or GetAtt points to."""
    if "Ref" in reference:
        return str(reference["Ref"])
    attribute = reference["Fn::GetAtt"]
    return str(attribute.partition(".")[0] if isinstance(attribute, str) else attribute[0])
