"""Two small stacks in the shape that CDK gives them, which have one of everything that the local cloud plays."""

from __future__ import annotations

import json
from typing import Any

_RETRY = [{"ErrorEquals": ["NotReady"], "IntervalSeconds": 1, "BackoffRate": 1, "MaxAttempts": 3}]
_DEFINITION = {
    "StartAt": "Ask",
    "States": {
        "Ask": {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke",
            "Parameters": {
                "FunctionName": "STEP_ARN",
                "Payload": {"name.$": "$.name", "fail.$": "$.fail", "seconds.$": "$.seconds"},
            },
            "ResultSelector": {"seconds.$": "$.Payload.seconds"},
            "ResultPath": "$.asked",
            "Retry": _RETRY,
            "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.fault", "Next": "Broken"}],
            "Next": "Wait for it",
        },
        "Wait for it": {
            "Type": "Task",
            "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
            "Parameters": {
                "FunctionName": "STEP_ARN",
                "Payload": {
                    "name.$": "States.Format('{}-token', $.name)",
                    "task_token.$": "$$.Task.Token",
                    "hold_seconds.$": "$.hold_seconds",
                },
            },
            "TimeoutSecondsPath": "$.asked.seconds",
            "ResultPath": "$.answer",
            "Catch": [
                {"ErrorEquals": ["States.Timeout"], "ResultPath": "$.fault", "Next": "Too late"},
                {"ErrorEquals": ["States.ALL"], "ResultPath": "$.fault", "Next": "Broken"},
            ],
            "Next": "Rest",
        },
        "Rest": {"Type": "Wait", "Seconds": 1, "Next": "Done"},
        "Done": {"Type": "Succeed"},
        "Too late": {"Type": "Pass", "Result": "too late", "ResultPath": "$.end", "End": True},
        "Broken": {"Type": "Pass", "Result": "broken", "ResultPath": "$.end", "End": True},
    },
}


def stacks() -> list[dict[str, Any]]:
    return [
        {"name": "Probe-Stateful", "template": {"Resources": _stateful(), "Outputs": _exports()}},
        {"name": "Probe-Stateless", "template": {"Parameters": _PARAMETERS, "Resources": _stateless()}},
    ]


_PARAMETERS = {"BootstrapVersion": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/cdk-bootstrap/x"}}


def _stateful() -> dict[str, Any]:
    return {
        "Table": _resource(
            "DynamoDB::Table",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
            ],
            BillingMode="PAY_PER_REQUEST",
            TimeToLiveSpecification={"AttributeName": "ttl", "Enabled": True},
        ),
        "Data": _resource("S3::Bucket"),
        "Drop": _resource(
            "S3::Bucket",
            VersioningConfiguration={"Status": "Enabled"},
            NotificationConfiguration={"EventBridgeConfiguration": {"EventBridgeEnabled": True}},
        ),
        "DropPolicy": _resource("S3::BucketPolicy", Bucket={"Ref": "Drop"}, PolicyDocument={}),
    }


def _exports() -> dict[str, Any]:
    values = {
        "TableName": {"Ref": "Table"},
        "TableArn": {"Fn::GetAtt": ["Table", "Arn"]},
        "DataName": {"Ref": "Data"},
        "DataArn": {"Fn::GetAtt": ["Data", "Arn"]},
        "DropName": {"Ref": "Drop"},
    }
    return {name: {"Value": value, "Export": {"Name": f"Probe:{name}"}} for name, value in values.items()}


def _stateless() -> dict[str, Any]:
    return {
        **_function(
            "echo", {"GREETING": "hello", "DATA_BUCKET": _import("DataName"), "DROP_BUCKET": _import("DropName")}
        ),
        **_function("narrow", {}, ReservedConcurrentExecutions=1),
        **_function("brief", {}, Timeout=1),
        **_function("filler", {}, MemorySize=128),
        **_function("missing", {}),
        **_function(
            "records",
            {},
            [
                (["dynamodb:UpdateItem"], [_import("TableArn")]),
                (
                    ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"],
                    [{"Fn::GetAtt": ["Queue", "Arn"]}],
                ),
            ],
        ),
        **_function(
            "storage",
            {"DATA_BUCKET": _import("DataName")},
            [
                (["dynamodb:GetItem", "dynamodb:PutItem"], [_import("TableArn")]),
                (["s3:PutObject", "s3:GetObject"], [_join(_import("DataArn"), "/mine/*")]),
            ],
        ),
        **_function("step", {}, [(["dynamodb:UpdateItem"], [_import("TableArn")])]),
        **_queues(),
        **_rules(),
        **_state_machine(),
        **_api(),
    }


def _queues() -> dict[str, Any]:
    redrive = {"deadLetterTargetArn": {"Fn::GetAtt": ["DeadLetters", "Arn"]}, "maxReceiveCount": 3}
    return {
        "DeadLetters": _resource("SQS::Queue", QueueName="probe-dead-letters"),
        "Queue": _resource("SQS::Queue", QueueName="probe", VisibilityTimeout=60, RedrivePolicy=redrive),
        "Source": _resource(
            "Lambda::EventSourceMapping",
            EventSourceArn={"Fn::GetAtt": ["Queue", "Arn"]},
            FunctionName={"Ref": "Records"},
            BatchSize=2,
            FunctionResponseTypes=["ReportBatchItemFailures"],
            ScalingConfig={"MaximumConcurrency": 2},
        ),
        "Objects": _resource("SQS::Queue", QueueName="probe-objects"),
        "ObjectsPolicy": _resource(
            "SQS::QueuePolicy",
            Queues=[{"Ref": "Objects"}],
            PolicyDocument={
                "Statement": [
                    {
                        "Effect": "Allow",
                        "Principal": {"Service": "events.amazonaws.com"},
                        "Action": "sqs:SendMessage",
                        "Resource": {"Fn::GetAtt": ["Objects", "Arn"]},
                        "Condition": {"ArnEquals": {"aws:SourceArn": {"Fn::GetAtt": ["Dropped", "Arn"]}}},
                    }
                ]
            },
        ),
    }


def _rules() -> dict[str, Any]:
    return {
        "Dropped": _resource(
            "Events::Rule",
            EventPattern={
                "source": ["aws.s3"],
                "detail-type": ["Object Created"],
                "detail": {"bucket": {"name": [_import("DropName")]}, "object": {"key": [{"prefix": "drop/"}]}},
            },
            Targets=[{"Id": "queue", "Arn": {"Fn::GetAtt": ["Objects", "Arn"]}}],
        ),
        "Clock": _resource(
            "Events::Rule",
            ScheduleExpression="rate(2 hours)",
            Targets=[
                {"Id": "it", "Arn": {"Fn::GetAtt": ["Step", "Arn"]}, "Input": json.dumps({"name": "clock"})},
            ],
        ),
        "ClockMayInvoke": _permission("Step", "events.amazonaws.com"),
        "Alarm": _resource("CloudWatch::Alarm", Dimensions=[{"Name": "Api", "Value": {"Ref": "Api"}}]),
    }


def _state_machine() -> dict[str, Any]:
    before, after = json.dumps(_DEFINITION).split("STEP_ARN", 1)
    middle, last = after.split("STEP_ARN", 1)
    arn = {"Fn::GetAtt": ["Step", "Arn"]}
    return {
        "StatesRole": _role("states.amazonaws.com"),
        "StatesPolicy": _policy("StatesRole", [(["lambda:InvokeFunction"], [arn])]),
        "Machine": _resource(
            "StepFunctions::StateMachine",
            StateMachineName="probe",
            RoleArn={"Fn::GetAtt": ["StatesRole", "Arn"]},
            DefinitionString=_join(before, arn, middle, arn, last),
        ),
    }


def _api() -> dict[str, Any]:
    uri = _join(
        "arn:",
        {"Ref": "AWS::Partition"},
        ":apigateway:us-east-1:lambda:path/2015-03-31/functions/",
        {"Fn::GetAtt": ["Echo", "Arn"]},
        "/invocations",
    )
    integration = {"Type": "AWS_PROXY", "IntegrationHttpMethod": "POST", "Uri": uri}

    def resource(parent: Any, part: str) -> dict[str, Any]:
        return _resource("ApiGateway::Resource", RestApiId={"Ref": "Api"}, ParentId=parent, PathPart=part)

    def method(name: str, resource_id: Any) -> dict[str, Any]:
        return _resource(
            "ApiGateway::Method",
            RestApiId={"Ref": "Api"},
            HttpMethod=name,
            ResourceId=resource_id,
            Integration=integration,
        )

    return {
        "Api": _resource("ApiGateway::RestApi", Name="probe", BinaryMediaTypes=["*/*"]),
        "ApiMayInvoke": _permission("Echo", "apigateway.amazonaws.com"),
        "Things": resource({"Fn::GetAtt": ["Api", "RootResourceId"]}, "things"),
        "Thing": resource({"Ref": "Things"}, "{thing_id}"),
        "Best": resource({"Ref": "Things"}, "best"),
        "Rest": resource({"Ref": "Best"}, "{rest+}"),
        "ListThings": method("GET", {"Ref": "Things"}),
        "MakeThing": method("POST", {"Ref": "Things"}),
        "GetThing": method("GET", {"Ref": "Thing"}),
        "GetBest": method("GET", {"Ref": "Best"}),
        "AnyRest": method("ANY", {"Ref": "Rest"}),
        "TooLarge": _resource(
            "ApiGateway::GatewayResponse",
            ResponseType="REQUEST_TOO_LARGE",
            StatusCode="413",
            ResponseParameters={"gatewayresponse.header.x-request-id": "context.requestId"},
            ResponseTemplates={"application/json": '{"error":{"message":"take the drop folder","code":null}}'},
            RestApiId={"Ref": "Api"},
        ),
        "Unknown": _resource(
            "ApiGateway::GatewayResponse",
            ResponseType="MISSING_AUTHENTICATION_TOKEN",
            StatusCode="404",
            ResponseTemplates={"application/json": '{"error":{"message":$context.error.messageString}}'},
            RestApiId={"Ref": "Api"},
        ),
    }


def _function(name: str, variables: dict[str, Any], grants: Any = (), **more: Any) -> dict[str, Any]:
    title = name.capitalize()
    return {
        f"{title}Role": _role("lambda.amazonaws.com"),
        **({f"{title}Policy": _policy(f"{title}Role", grants)} if grants else {}),
        title: _resource(
            "Lambda::Function",
            FunctionName=f"probe-{name}",
            Handler=f"probe.{name}.handler",
            Runtime="python3.13",
            Role={"Fn::GetAtt": [f"{title}Role", "Arn"]},
            Code={"S3Bucket": "assets", "S3Key": "asset.zip"},
            Environment={"Variables": {"TABLE_NAME": _import("TableName")} | variables},
            **({"MemorySize": 512, "Timeout": 20} | more),
        ),
    }


def _role(service: str) -> dict[str, Any]:
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    return _resource("IAM::Role", AssumeRolePolicyDocument={"Version": "2012-10-17", "Statement": [trust]})


def _policy(role: str, grants: Any) -> dict[str, Any]:
    statements = [{"Effect": "Allow", "Action": actions, "Resource": resources} for actions, resources in grants]
    return _resource(
        "IAM::Policy",
        PolicyName=f"{role}Policy",
        PolicyDocument={"Version": "2012-10-17", "Statement": statements},
        Roles=[{"Ref": role}],
    )


def _permission(function: str, service: str) -> dict[str, Any]:
    return _resource(
        "Lambda::Permission",
        Action="lambda:InvokeFunction",
        FunctionName={"Fn::GetAtt": [function, "Arn"]},
        Principal=service,
    )


def _resource(kind: str, **properties: Any) -> dict[str, Any]:
    return {"Type": f"AWS::{kind}", "Properties": properties}


def _import(name: str) -> dict[str, Any]:
    return {"Fn::ImportValue": f"Probe:{name}"}


def _join(*parts: Any) -> dict[str, Any]:
    return {"Fn::Join": ["", list(parts)]}
