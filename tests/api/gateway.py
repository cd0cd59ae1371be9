"""API Gateway in the process: HTTP requests become proxy events, the right handler answers them. As an httpx transport
it lets real clients drive the handlers without a network."""

from __future__ import annotations

import base64
import json
import os
import re
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx

os.environ.setdefault("POWERTOOLS_SERVICE_NAME", "test")
os.environ.setdefault("POWERTOOLS_METRICS_NAMESPACE", "Batchyard")

from batchyard.handlers import account, batches, files, results
from batchyard.surfaces.registry import routes

STAGE = "live"
EVENTS = Path(__file__).parents[2] / "events"
HANDLERS = {"files": files.handler, "batches": batches.handler, "account": account.handler, "results": results.handler}


class Context:
    """What Lambda gives a handler beside the event."""

    function_name = "test"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:test"
    aws_request_id = "52fdfc07-2182-454f-963f-5f0f9a621d72"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


def event(name: str) -> dict[str, Any]:
    """The event `events/<name>.json`."""
    loaded: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return loaded


def call(function: str, proxy_event: dict[str, Any]) -> dict[str, Any]:
    """What the function's handler answers."""
    answer: dict[str, Any] = HANDLERS[function](proxy_event, Context())
    return answer


def body(answer: dict[str, Any]) -> Any:
    """The JSON of an answer."""
    return json.loads(answer["body"])


class Gateway(httpx.BaseTransport):
    """A transport for httpx clients. URLs that are not the API's go to `elsewhere`."""

    HOST = "api.test"

    def __init__(self, elsewhere: httpx.BaseTransport | None = None) -> None:
        self._elsewhere = elsewhere

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host != self.HOST:
            assert self._elsewhere is not None, f"nothing serves {request.url}"
            return self._elsewhere.handle_request(request)
        function, proxy_event = to_event(request)
        answer = call(function, proxy_event)
        assert len(json.dumps(answer, ensure_ascii=False).encode()) < 6 * 1024 * 1024, "Lambda would refuse this reply"
        content = base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"].encode()
        return httpx.Response(answer["statusCode"], headers=answer["headers"], content=content, request=request)


def to_event(request: httpx.Request) -> tuple[str, dict[str, Any]]:
    """(function, event) for an HTTP request, as API Gateway would make it with `*/*` as a binary media type."""
    raw_path = request.url.raw_path.decode().partition("?")[0]
    function, resource, parameters = _resource(request.method, raw_path)
    query = dict(request.url.params)
    data = request.read()
    made = event("api/list_batches")
    headers = {name.title(): value for name, value in request.headers.items()}
    made |= {
        "resource": resource,
        "path": unquote(raw_path),
        "httpMethod": request.method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": query or None,
        "multiValueQueryStringParameters": {name: [value] for name, value in query.items()} or None,
        "pathParameters": parameters or None,
        "body": base64.b64encode(data).decode() if data else None,
        "isBase64Encoded": bool(data),
    }
    made["requestContext"] |= {
        "requestId": str(uuid.uuid4()),
        "resourcePath": resource,
        "httpMethod": request.method,
        "path": f"/{STAGE}{raw_path}",
        "domainName": request.url.host,
    }
    return function, made


def _resource(method: str, raw_path: str) -> tuple[str, str, dict[str, str]]:
    """(function, resource, path parameters); a literal path beats one with parameters, as in API Gateway."""
    for route in sorted(routes(), key=lambda route: ("{" in route.path, route.path)):
        pattern = re.sub(r"\{(\w+)\+\}", r"(?P<\1>.+)", route.path)
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)
        found = re.fullmatch(pattern, raw_path)
        if found and (route.method == method or (method == "HEAD" and route.method == "GET")):
            return route.function, route.path, found.groupdict()
        if found and method == "OPTIONS":
            return "account", route.path, found.groupdict()
    return "account", "/{proxy+}", {"proxy": raw_path.lstrip("/")}
