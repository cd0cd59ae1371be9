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

_S3_CONFIG = _CONFIG.merge(
    Config(signature_version="s3v4", s3={"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"})
)
"""Without these, botocore presigns with Signature Version 2 in us-east-1, and for the global endpoint elsewhere, which
S3 answers with a redirect that no signature survives. (An endpoint that is an IP address still gets path style.)"""


@cache
def _session() -> boto3.session.Session:
    return boto3.session.Session()


@cache
def client(service: str) -> Any:
    """The client of `service` (its boto3 name). Endpoint, region and credentials come from the environment."""
    return _session().client(service, config=_S3_CONFIG if service == "s3" else _CONFIG)
