"""AWS in memory, as far as operators' commands ask it: a client per service, with the methods that they call. Rows are
those of the table adapter; what the admin function answers is given."""

# ruff: noqa: N803  # the names are those of boto3

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError, NoCredentialsError

NAME = "batchyard-test"
ARN = "arn:aws:sqs:eu-west-1:123456789012:"


def client_error(code: str, message: str = "No.") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, "Operation")


@dataclass
class FakeQueue:
    bodies: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)


@dataclass
class FakeAws:
    """`admin`: answers of the admin function by action. `refuse`: service -> the error code that all its calls get."""

    admin: dict[str, Any] = field(default_factory=dict)
    queues: dict[str, FakeQueue] = field(default_factory=dict)
    secrets: set[str] = field(default_factory=lambda: {f"{NAME}/providers/openai"})
    alarms: list[dict[str, str]] = field(default_factory=list)
    logs: dict[str, list[tuple[float, str]]] = field(default_factory=dict)
    concurrency: int = 1000
    metric_sums: list[float] = field(default_factory=list)
    bill: dict[str, str] = field(default_factory=dict)
    refuse: dict[str, str] = field(default_factory=dict)
    invoked: list[tuple[str, Any]] = field(default_factory=list)
    rows: dict[tuple[str, str], Any] = field(default_factory=dict)

    def __call__(self, service: str) -> Any:
        if self.refuse.get(service) == "no credentials":
            return _Refusing(NoCredentialsError())
        if service in self.refuse:
            return _Refusing(client_error(self.refuse[service]))
        return _SERVICES[service](self)


class _Refusing:
    def __init__(self, error: Exception) -> None:
        self._error = error

    def close(self) -> None:
        """As botocore's clients have it."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def refuse(*_: Any, **__: Any) -> Any:
            raise self._error

        return refuse


class _Service:
    def __init__(self, aws: FakeAws) -> None:
        self.aws = aws
        self.meta = SimpleNamespace(region_name="eu-west-1")

    def close(self) -> None:
        """As botocore's clients have it."""

    def get_paginator(self, operation: str) -> Any:
        """Two pages: the second one is what there is, so that nobody reads only the first."""
        method = getattr(self, operation)

        def paginate(**arguments: Any) -> Iterator[Any]:
            found = method(**arguments)
            yield {name: [] for name in found}
            yield found

        return SimpleNamespace(paginate=paginate)


class _Sts(_Service):
    def get_caller_identity(self) -> Any:
        return {"Arn": "arn:aws:sts::123456789012:assumed-role/operator/me", "Account": "123456789012"}


class _Lambda(_Service):
    def get_function_configuration(self, FunctionName: str) -> Any:
        if not FunctionName.startswith(f"{NAME}-"):
            raise client_error("ResourceNotFoundException", f"Function not found: {FunctionName}")
        urls = {provider: f"https://sqs/1/{NAME}-provider-{provider}" for provider in ("openai", "groq", "bedrock")}
        variables = {
            "TABLE_NAME": "table",
            "QUEUE_URLS": json.dumps(urls),
            "SECRET_PREFIX": f"{NAME}/providers/",
        }
        return {"Environment": {"Variables": variables}, "LastModified": "2026-11-01T00:00:00"}

    def invoke(self, FunctionName: str, Payload: bytes, InvocationType: str = "RequestResponse") -> Any:
        event = json.loads(Payload)
        self.aws.invoked.append((FunctionName, event))
        action = event.get("action")
        unknown = {"error": {"message": "'action' must be one of: …", "param": "action"}}
        answer = self.aws.admin.get(action, unknown)
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}

    def get_account_settings(self) -> Any:
        return {"AccountLimit": {"ConcurrentExecutions": self.aws.concurrency}}


class _Secrets(_Service):
    def describe_secret(self, SecretId: str) -> Any:
        if SecretId not in self.aws.secrets:
            raise client_error("ResourceNotFoundException")
        return {"Name": SecretId}


class _Sqs(_Service):
    def list_queues(self, QueueNamePrefix: str) -> Any:
        return {"QueueUrls": [f"https://sqs/1/{name}" for name in self.aws.queues if name.startswith(QueueNamePrefix)]}

    def get_queue_attributes(self, QueueUrl: str, AttributeNames: list[str]) -> Any:
        name = QueueUrl.rpartition("/")[2]
        waiting = str(len(self.aws.queues[name].bodies))
        return {"Attributes": {"QueueArn": ARN + name, "ApproximateNumberOfMessages": waiting}}

    def start_message_move_task(self, SourceArn: str, DestinationArn: str) -> Any:
        source, target = (self.aws.queues[arn.removeprefix(ARN)] for arn in (SourceArn, DestinationArn))
        target.bodies += source.bodies
        source.bodies = []

    def receive_message(self, QueueUrl: str, MaxNumberOfMessages: int, VisibilityTimeout: int) -> Any:
        queue = self.aws.queues[QueueUrl.rpartition("/")[2]]
        taken = queue.bodies[:MaxNumberOfMessages]
        return {"Messages": [{"Body": body, "ReceiptHandle": body} for body in taken]}

    def delete_message(self, QueueUrl: str, ReceiptHandle: str) -> None:
        self.aws.queues[QueueUrl.rpartition("/")[2]].bodies.remove(ReceiptHandle)


class _CloudWatch(_Service):
    def describe_alarms(self, AlarmNamePrefix: str, StateValue: str) -> Any:
        assert StateValue == "ALARM"
        return {"MetricAlarms": [each for each in self.aws.alarms if each["AlarmName"].startswith(AlarmNamePrefix)]}

    def get_metric_statistics(self, **_: Any) -> Any:
        return {"Datapoints": [{"Sum": each} for each in self.aws.metric_sums]}


class _CostExplorer(_Service):
    def get_cost_and_usage(self, **_: Any) -> Any:
        groups = [{"Keys": [n], "Metrics": {"UnblendedCost": {"Amount": usd}}} for n, usd in self.aws.bill.items()]
        return {"ResultsByTime": [{"Groups": groups}, {}]}


class _Logs(_Service):
    def describe_log_groups(self, logGroupNamePrefix: str) -> Any:
        names = [name for name in self.aws.logs if name.startswith(logGroupNamePrefix)]
        return {"logGroups": [{"logGroupName": name} for name in names]}

    def filter_log_events(self, logGroupName: str, filterPattern: str, startTime: int) -> Any:
        wanted = filterPattern.strip('"')
        lines = self.aws.logs[logGroupName]
        found = [{"timestamp": round(at * 1000), "message": text} for at, text in lines if wanted in text]
        return {"events": [each for each in found if each["timestamp"] >= startTime]}


class _Gateway(_Service):
    def get_rest_apis(self) -> Any:
        return {"items": [{"name": "another", "id": "x"}, {"name": NAME, "id": "abc"}]}


class _DynamoDb(_Service):
    """Items as DynamoDB has them, by key."""

    def put_item(self, TableName: str, Item: Any) -> Any:
        self.aws.rows[Item["pk"]["S"], Item["sk"]["S"]] = Item
        return {}

    def get_item(self, TableName: str, Key: Any, ConsistentRead: bool = False) -> Any:
        item = self.aws.rows.get((Key["pk"]["S"], Key["sk"]["S"]))
        return {"Item": item} if item else {}

    def query(self, **arguments: Any) -> Any:
        values = arguments["ExpressionAttributeValues"]
        pk, prefix = values[":pk"]["S"], values.get(":sk", {"S": ""})["S"]
        found = [item for key, item in sorted(self.aws.rows.items()) if key[0] == pk and key[1].startswith(prefix)]
        return {"Items": found[: arguments.get("Limit", len(found))]}


_SERVICES: dict[str, Callable[[FakeAws], Any]] = {
    "sts": _Sts,
    "lambda": _Lambda,
    "secretsmanager": _Secrets,
    "sqs": _Sqs,
    "cloudwatch": _CloudWatch,
    "ce": _CostExplorer,
    "logs": _Logs,
    "apigateway": _Gateway,
    "dynamodb": _DynamoDb,
}
