"""A request as the proxy event (version 1) that API Gateway gives to a function.

https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
"""

from __future__ import annotations

import base64
import datetime
from typing import Any
from urllib.parse import parse_qsl

from local.api.routes import Route
from local.deployment.declared import ACCOUNT_ID
from local.http_server import Request

STAGE = "api"
_IDENTITY_OF_NOBODY = dict.fromkeys(
    (
        "cognitoIdentityPoolId",
        "accountId",
        "cognitoIdentityId",
        "caller",
        "principalOrgId",
        "accessKey",
        "cognitoAuthenticationType",
        "cognitoAuthenticationProvider",
        "userArn",
        "user",
    )
)


def proxy_event(request: Request, route: Route, request_id: str, *, is_binary: bool) -> dict[str, Any]:
    """`is_binary`: the API treats every body as binary, so the function gets it in base64."""
    headers: dict[str, list[str]] = {}
    for name, value in request.headers:
        headers.setdefault(_title(name), []).append(value)
    headers.setdefault("X-Forwarded-For", [request.client])
    headers.setdefault("X-Forwarded-Proto", ["http"])
    query: dict[str, list[str]] = {}
    for name, value in parse_qsl(request.query, keep_blank_values=True):
        query.setdefault(name, []).append(value)
    body: str | None = None
    if request.body:
        body = base64.b64encode(request.body).decode() if is_binary else request.body.decode("utf-8", "replace")
    return {
        "resource": route.resource,
        "path": request.path,
        "httpMethod": request.method,
        "headers": {name: values[-1] for name, values in headers.items()},
        "multiValueHeaders": headers,
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": dict(route.parameters) or None,
        "stageVariables": None,
        "requestContext": _context(request, route, request_id),
        "body": body,
        "isBase64Encoded": body is not None and is_binary,
    }


def _context(request: Request, route: Route, request_id: str) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC)
    identity = _IDENTITY_OF_NOBODY | {
        "sourceIp": request.client,
        "userAgent": request.header("user-agent") or None,
    }
    return {
        "resourceId": "local",
        "resourcePath": route.resource,
        "httpMethod": request.method,
        "extendedRequestId": request_id,
        "requestTime": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "path": request.path,
        "accountId": ACCOUNT_ID,
        "protocol": "HTTP/1.1",
        "stage": STAGE,
        "domainPrefix": "local",
        "requestTimeEpoch": int(now.timestamp() * 1000),
        "requestId": request_id,
        "identity": identity,
        "domainName": request.header("host", "localhost"),
        "deploymentId": "local",
        "apiId": "local",
    }


def _title(name: str) -> str:
    """API Gateway passes header names on as they were sent; ours were put into lower case on arrival."""
    return "-".join(part.capitalize() for part in name.split("-"))
