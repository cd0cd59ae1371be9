"""boto3 clients, one per service and process. They are safe to share between threads."""

from __future__ import annotations

from functools import cache
from typing import Any

import boto3
from botocore.config import Config

_CONFIG = Config(
    connect_timeout=3,
    read_timeout=30,
    max_pool_connections=32,
    retries={"mode": "standard", "max_attempts": 4},
    user_agent_appid="batchyard",
)


@cache
def _session() -> boto3.session.Session:
    return boto3.session.Session()


@cache
def client(service: str) -> Any:
    """The client of `service` (its boto3 name). Endpoint, region and credentials come from the environment."""
    return _session().client(service, config=_CONFIG)
