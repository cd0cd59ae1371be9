"""Decides whether a caller may make an AWS call: IAM's rule (an explicit deny wins, else some allow is needed), applied
to the policies of the caller's role as the template states them.

moto's own check is left off. For every service but S3 it checks the resource "*". So a statement that names a table or
a queue, as least privilege demands, never matches, and every call is denied.

Left out: permission boundaries, session policies, service control policies, key policies, NotAction, NotResource and
the condition operators that no template of ours uses; a policy that has one of them is an error. A condition on a key
that the caller does not give counts as not met.
"""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from local.http_server import Request
from local.simulated_aws.calls import Call, copy_source

Need = tuple[str, str]
"""(action, resource ARN)"""


@dataclass(frozen=True, slots=True)
class Condition:
    """`key` is the condition key in lower case, such as aws:securetransport."""

    operator: str
    key: str
    values: tuple[str, ...]

    def holds(self, context: Mapping[str, str]) -> bool:
        actual = context.get(self.key)
        if self.operator == "Null":
            return (actual is None) == (self.values[0].lower() == "true")
        if actual is None:
            return False
        if self.operator == "Bool":
            return actual.lower() in [value.lower() for value in self.values]
        if self.operator in ("StringEquals", "ArnEquals"):
            return actual in self.values
        return _any_match(self.values, actual)


@dataclass(frozen=True, slots=True)
class Statement:
    allow: bool
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: tuple[Condition, ...]

    def covers(self, action: str, resource: str, context: Mapping[str, str]) -> bool:
        return (
            _any_match(self.actions, action.lower())
            and _any_match(self.resources, resource)
            and all(condition.holds(context) for condition in self.conditions)
        )


@dataclass(frozen=True, slots=True)
class Principal:
    """`name`: the function's short name, or `operator`, `states`, …: what the meter counts by."""

    name: str
    arn: str
    statements: tuple[Statement, ...]
    secret_key: str = ""
    session_token: str = ""


_OPERATORS = {"Null", "Bool", "StringEquals", "ArnEquals", "StringLike", "ArnLike"}
_ELEMENTS = {"Sid", "Effect", "Principal", "Action", "Resource", "Condition"}


def read_statements(document: Mapping[str, Any]) -> Iterator[Statement]:
    """Raises ValueError for an element or a condition operator that this module does not know."""
    statements = document.get("Statement", [])
    for raw in [statements] if isinstance(statements, dict) else statements:
        conditions: Mapping[str, Mapping[str, Any]] = raw.get("Condition", {})
        unknown = (raw.keys() - _ELEMENTS) | (conditions.keys() - _OPERATORS)
        if unknown:
            raise ValueError(f"the local cloud does not know {', '.join(sorted(unknown))} in a policy")
        yield Statement(
            allow=raw["Effect"] == "Allow",
            actions=tuple(action.lower() for action in _texts(raw.get("Action"))),
            resources=_texts(raw.get("Resource")),
            conditions=tuple(
                Condition(operator, key.lower(), _texts(values))
                for operator, keys in conditions.items()
                for key, values in keys.items()
            ),
        )


def denied(principal: Principal, needs: Iterable[Need], context: Mapping[str, str]) -> Need | None:
    """The first need that the principal's policies do not grant; None if all are granted."""
    for action, resource in needs:
        matching = [s for s in principal.statements if s.covers(action, resource, context)]
        if not matching or not all(statement.allow for statement in matching):
            return action, resource
    return None


def needs(call: Call, request: Request, account_id: str, resolve: Resolver) -> list[Need]:
    """The permissions that the call needs. For a service that is not named here: its operation on "*"."""
    prefix = f"arn:aws:{call.service}:{call.region}:{account_id}"
    parameters = call.parameters
    if call.service == "dynamodb":
        return _dynamodb_needs(call.operation, parameters, f"{prefix}:table/")
    if call.service == "s3":
        return _s3_needs(call, request)
    if call.service == "sqs":
        queue = str(parameters.get("QueueUrl", "")).rpartition("/")[2] or parameters.get("QueueName") or "*"
        operation = call.operation.removesuffix("Batch")
        if operation == "StartMessageMoveTask":
            return _move_needs(parameters)
        return [(f"sqs:{operation}", f"{prefix}:{queue}" if queue != "*" else "*")]
    if call.service == "states":
        return [(f"states:{call.operation}", resolve.state_machine(call))]
    if call.service == "lambda":
        name = parameters.get("FunctionName", "")
        operation = "InvokeFunction" if call.operation == "Invoke" else call.operation
        arn = name if name.startswith("arn:") else f"{prefix}:function:{name}"
        return [(f"lambda:{operation}", arn)]
    if call.service == "secretsmanager":
        return [(f"secretsmanager:{call.operation}", resolve.secret(str(parameters.get("SecretId", "*"))))]
    if call.service == "kms":
        return [(f"kms:{call.operation}", resolve.key(_key_id(parameters)))]
    service = {"monitoring": "cloudwatch"}.get(call.service, call.service)
    return [(f"{service}:{call.operation}", "*")]


def _move_needs(parameters: Mapping[str, Any]) -> list[Need]:
    """Of the dead-letter queue; without a DestinationArn, where the messages go is not in the call.
    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues-redrive-permissions.html"""
    source = str(parameters.get("SourceArn", "*"))
    actions = ("StartMessageMoveTask", "ReceiveMessage", "DeleteMessage", "GetQueueAttributes")
    destination = parameters.get("DestinationArn")
    return [(f"sqs:{action}", source) for action in actions] + (
        [("sqs:SendMessage", str(destination))] if destination else []
    )


def encryption_context(call: Call) -> dict[str, str]:
    """The condition keys (kms:EncryptionContext:…) that a call to KMS gives; empty for other services."""
    context = call.parameters.get("EncryptionContext") if call.service == "kms" else None
    return {f"kms:encryptioncontext:{name}".lower(): str(value) for name, value in (context or {}).items()}


class Resolver:
    """Turns names in a call into ARNs. This one leaves them as they are; identities.BackendResolver asks moto."""

    def state_machine(self, call: Call) -> str:
        return "*"

    def secret(self, name: str) -> str:
        return name

    def key(self, name: str) -> str:
        return name


def _key_id(parameters: Mapping[str, Any]) -> str:
    """moto writes the id of the key in front of a ciphertext."""
    if "KeyId" not in parameters and "CiphertextBlob" in parameters:
        return base64.b64decode(parameters["CiphertextBlob"])[:36].decode("latin-1")
    return str(parameters.get("KeyId", "*"))


_TRANSACTIONS = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
    "Get": "GetItem",
}


def _dynamodb_needs(operation: str, parameters: Mapping[str, Any], prefix: str) -> list[Need]:
    def arn(table: str) -> str:
        return table if table.startswith("arn:") else prefix + table

    if "TransactItems" in parameters:
        return [
            (f"dynamodb:{_TRANSACTIONS[kind]}", arn(part["TableName"]))
            for item in parameters["TransactItems"]
            for kind, part in item.items()
        ]
    if "RequestItems" in parameters:
        return [(f"dynamodb:{operation}", arn(table)) for table in parameters["RequestItems"]]
    table = parameters.get("TableName")
    if table is None:
        return [(f"dynamodb:{operation}", "*")]
    index = parameters.get("IndexName")
    return [(f"dynamodb:{operation}", arn(table) + (f"/index/{index}" if index else ""))]


_S3_ACTIONS = {
    "ListBuckets": "ListAllMyBuckets",
    "HeadBucket": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "DeleteObjects": "DeleteObject",
    "HeadObject": "GetObject",
    "ListParts": "ListMultipartUploadParts",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "PostObject": "PutObject",
}
_VERSIONED = {"GetObject": "GetObjectVersion", "DeleteObject": "DeleteObjectVersion"}


def _s3_needs(call: Call, request: Request) -> list[Need]:
    action = _S3_ACTIONS.get(call.operation, call.operation)
    if not call.bucket:
        return [(f"s3:{action}", "*")]
    bucket = f"arn:aws:s3:::{call.bucket}"
    if call.operation == "DeleteObjects":
        names = re.findall(rb"<Key>(.*?)</Key>", request.body, re.DOTALL)
        return [("s3:DeleteObject", f"{bucket}/{name.decode()}") for name in names]
    if not call.key:
        return [(f"s3:{action}", bucket)]
    if "versionId" in call.query:
        action = _VERSIONED.get(action, action)
    found = [(f"s3:{action}", f"{bucket}/{call.key}")]
    if call.operation in ("CopyObject", "UploadPartCopy"):
        source, key, versioned = copy_source(request)
        found.append((f"s3:{'GetObjectVersion' if versioned else 'GetObject'}", f"arn:aws:s3:::{source}/{key}"))
    if request.header("x-amz-tagging"):
        found.append(("s3:PutObjectTagging", f"{bucket}/{call.key}"))
    return found


def _texts(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(str(v) for v in value) if isinstance(value, list | tuple) else (str(value),)


def _any_match(patterns: tuple[str, ...], text: str) -> bool:
    return any(pattern == "*" or _compiled(pattern).fullmatch(text) is not None for pattern in patterns)


@functools.lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)
