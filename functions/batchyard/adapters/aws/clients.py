"""boto3 clients, one per service and process. They are safe to share between threads."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal, overload

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient

_CONFIG = Config(
    connect_timeout=3,
    read_timeout=30,
    max_pool_connections=32,
    retries={"mode": "standard", "max_attempts": 4},
    user_agent_appid="batchyard",  # type: ignore[call-arg]  # boto3-stubs have forgotten it
)

_S3_CONFIG = _CONFIG.merge(
    Config(signature_version="s3v4", s3={"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"})
)
"""Without these, botocore presigns with Signature Version 2 in us-east-1. In other regions it presigns for the global
endpoint, which redirects, and the signature is not valid for the new address. (Path style is still used if the endpoint
is an IP address.)"""


@overload
def client(service: Literal["dynamodb"]) -> DynamoDBClient: ...
@overload
def client(service: Literal["kms"]) -> KMSClient: ...
@overload
def client(service: Literal["lambda"]) -> LambdaClient: ...
@overload
def client(service: Literal["s3"]) -> S3Client: ...
@overload
def client(service: Literal["secretsmanager"]) -> SecretsManagerClient: ...
@overload
def client(service: Literal["sqs"]) -> SQSClient: ...
@overload
def client(service: Literal["stepfunctions"]) -> SFNClient: ...
def client(service: str) -> Any:
    """The client of `service` (its boto3 name). Endpoint, region and credentials come from environment variables."""
    return _client(service)


@cache
def _client(service: str) -> Any:
    config = _S3_CONFIG if service == "s3" else _CONFIG
    return _session().client(service, config=config)  # type: ignore[call-overload]  # one of those above


@cache
def _session() -> boto3.session.Session:
    return boto3.session.Session()
