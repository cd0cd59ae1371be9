"""Plays API Gateway's REST API: HTTP in, proxy events (version 1) to the functions, HTTP out.

Routes, gateway responses and binary media types are the template's. Limits are AWS's: 10 MB of payload, 10,240 bytes of
headers, 29 s for the function. The stage is no part of the local address. Not played: throttling, usage plans, CORS.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import logging
import re
import threading
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson

from local.deployment import ACCOUNT_ID, Deployment, GatewayResponse
from local.environments import Outcome
from local.functions import Function, Functions, PayloadTooLarge, Throttled
from local.http_server import HttpLimits, Request, Response
from local.meter import Meter

log = logging.getLogger(__name__)

STAGE = "api"
INTEGRATION_SECONDS = 29.0
LIMITS = HttpLimits(header_bytes=10_240, body_bytes=10 * 1024 * 1024, idle_seconds=350.0, stall_seconds=30.0)
_DEFAULTS = {
    "REQUEST_TOO_LARGE": (413, "Request Too Long"),
    "MISSING_AUTHENTICATION_TOKEN": (403, "Missing Authentication Token"),
    "INVALID_SIGNATURE": (403, "The request signature does not match"),
    "INTEGRATION_TIMEOUT": (504, "Endpoint request timed out"),
    "INTEGRATION_FAILURE": (504, "Endpoint request failed"),
    "API_CONFIGURATION_ERROR": (500, "Internal server error"),
    "BAD_REQUEST_BODY": (400, "Bad Request"),
    "THROTTLED": (429, "Too Many Requests"),
    "DEFAULT_4XX": (400, "Bad Request"),
    "DEFAULT_5XX": (502, "Internal server error"),
}
_HOP_BY_HOP = {"connection", "content-length", "transfer-encoding", "date", "server", "keep-alive", "upgrade"}


@dataclass(slots=True)
class _Node:
    """One path segment of the route tree. `named`: the child for a {placeholder}; `rest`: for a {proxy+}."""

    children: dict[str, _Node] = field(default_factory=dict)
    named: tuple[str, _Node] | None = None
    rest: tuple[str, _Node] | None = None
    resource: str = ""
    methods: dict[str, str] = field(default_factory=dict)


class Gateway:
    """A handler for HttpServer; `refuse` answers what never becomes a request."""

    def __init__(self, deployment: Deployment, functions: Functions, meter: Meter) -> None:
        self._functions = functions
        self._meter = meter
        self._responses = deployment.gateway_responses
        self._root = _Node()
        self._binary = any(kind == "*/*" for kind in deployment.binary_media_types)
        self._waiting = ThreadPoolExecutor(max_workers=256, thread_name_prefix="integration")
        for method in deployment.methods:
            self._add(method.method, method.resource, method.function)

    def __call__(self, request: Request) -> Response:
        self._meter.count_request()
        context = {"requestId": str(uuid.uuid4()), "path": request.path, "httpMethod": request.method}
        found = self._find(request)
        if found is None:
            return self._no_route(request, context)
        node, parameters = found
        function = self._functions.get(node.methods.get(request.method) or node.methods["ANY"])
        event = self._event(request, node, parameters, context)
        try:
            outcome = self._integrate(function, orjson.dumps(event))
        except PayloadTooLarge:
            return self._gateway_response("REQUEST_TOO_LARGE", context)
        except Throttled:
            return self._gateway_response("THROTTLED", context)
        except FutureTimeout:
            return self._gateway_response("INTEGRATION_TIMEOUT", context)
        return self._response(outcome, context)

    def refuse(self, status: int, reason: str) -> Response:
        context = {"requestId": str(uuid.uuid4())}
        if status == 413:
            return self._gateway_response("REQUEST_TOO_LARGE", context)
        kind = "BAD_REQUEST_BODY" if status < 500 else "DEFAULT_5XX"
        return self._gateway_response(kind, context, status=status, message=reason)

    def close(self) -> None:
        self._waiting.shutdown(wait=False, cancel_futures=True)

    def _no_route(self, request: Request, context: Mapping[str, str]) -> Response:
        """API Gateway takes the Authorization header of such a request for a signature, and quotes it."""
        header = request.header("authorization")
        if not header:
            return self._gateway_response("MISSING_AUTHENTICATION_TOKEN", context)
        message = f"Invalid key=value pair (missing equal-sign) in Authorization header: '{header}'."
        return self._gateway_response("INVALID_SIGNATURE", context, message=message)

    # Routes.

    def _add(self, method: str, resource: str, function: str) -> None:
        node = self._root
        for segment in resource.strip("/").split("/") if resource != "/" else []:
            if segment.startswith("{"):
                name = segment.strip("{}+")
                slot = "rest" if segment.endswith("+}") else "named"
                existing: tuple[str, _Node] | None = getattr(node, slot)
                if existing is None:
                    existing = (name, _Node())
                    setattr(node, slot, existing)
                node = existing[1]
            else:
                node = node.children.setdefault(segment, _Node())
        node.resource = resource
        node.methods[method] = function

    def _find(self, request: Request) -> tuple[_Node, dict[str, str]] | None:
        segments = [each for each in request.path.split("/")[1:] if each != "" or request.path != "/"]
        if len(segments) > 1 and segments[-1] == "":
            segments.pop()
        found = _walk(self._root, segments)
        if found is None or not ({request.method, "ANY"} & found[0].methods.keys()):
            return None
        return found

    # Events and answers.

    def _event(
        self, request: Request, node: _Node, parameters: Mapping[str, str], context: Mapping[str, str]
    ) -> dict[str, Any]:
        headers: dict[str, list[str]] = {}
        for name, value in request.headers:
            headers.setdefault(_title(name), []).append(value)
        headers.setdefault("X-Forwarded-For", [request.client])
        headers.setdefault("X-Forwarded-Proto", ["http"])
        query: dict[str, list[str]] = {}
        for name, value in parse_qsl(request.query, keep_blank_values=True):
            query.setdefault(name, []).append(value)
        now = datetime.datetime.now(datetime.UTC)
        body: str | None = None
        if request.body:
            body = base64.b64encode(request.body).decode() if self._binary else request.body.decode("utf-8", "replace")
        return {
            "resource": node.resource,
            "path": request.path,
            "httpMethod": request.method,
            "headers": {name: values[-1] for name, values in headers.items()},
            "multiValueHeaders": headers,
            "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
            "multiValueQueryStringParameters": query or None,
            "pathParameters": dict(parameters) or None,
            "stageVariables": None,
            "requestContext": {
                "resourceId": "local",
                "resourcePath": node.resource,
                "httpMethod": request.method,
                "extendedRequestId": context["requestId"],
                "requestTime": now.strftime("%d/%b/%Y:%H:%M:%S +0000"),
                "path": f"/{STAGE}{request.path}",
                "accountId": ACCOUNT_ID,
                "protocol": "HTTP/1.1",
                "stage": STAGE,
                "domainPrefix": "local",
                "requestTimeEpoch": int(now.timestamp() * 1000),
                "requestId": context["requestId"],
                "identity": {
                    "cognitoIdentityPoolId": None,
                    "accountId": None,
                    "cognitoIdentityId": None,
                    "caller": None,
                    "sourceIp": request.client,
                    "principalOrgId": None,
                    "accessKey": None,
                    "cognitoAuthenticationType": None,
                    "cognitoAuthenticationProvider": None,
                    "userArn": None,
                    "userAgent": request.header("user-agent") or None,
                    "user": None,
                },
                "domainName": request.header("host", "localhost"),
                "deploymentId": "local",
                "apiId": "local",
            },
            "body": body,
            "isBase64Encoded": body is not None and self._binary,
        }

    def _integrate(self, function: Function, payload: bytes) -> Outcome:
        """The function's outcome, or FutureTimeout after 29 s, while the function runs on, as it does in AWS."""
        if function.config.timeout_seconds <= INTEGRATION_SECONDS:
            return function.invoke(payload)
        return self._waiting.submit(function.invoke, payload).result(INTEGRATION_SECONDS)

    def _response(self, outcome: Outcome, context: Mapping[str, str]) -> Response:
        if outcome.error is not None:
            return self._gateway_response("DEFAULT_5XX", context, status=502)
        try:
            answer = orjson.loads(outcome.payload)
            status = int(answer["statusCode"])
            headers = _answer_headers(answer)
            text = answer.get("body") or ""
            body = base64.b64decode(text, validate=True) if answer.get("isBase64Encoded") else text.encode()
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError, binascii.Error):
            log.warning("a function's answer is no proxy response: %.200r", outcome.payload)
            return self._gateway_response("DEFAULT_5XX", context, status=502)
        if not any(name.lower() == "content-type" for name, _ in headers):
            headers.append(("Content-Type", "application/json"))
        headers += [("x-amzn-RequestId", context["requestId"]), ("Date", _http_date())]
        return Response(status, headers, body)

    def _gateway_response(
        self, kind: str, context: Mapping[str, str], *, status: int | None = None, message: str | None = None
    ) -> Response:
        default_status, default_message = _DEFAULTS[kind]
        status = status or default_status
        message = message or default_message
        declared = self._responses.get(kind)
        if declared is None:
            declared = self._responses.get("DEFAULT_4XX" if status < 500 else "DEFAULT_5XX")
        if declared is None:
            declared = GatewayResponse(None, {}, '{"message":$context.error.messageString}')
        variables = dict(context) | {
            "error.message": message,
            "error.messageString": orjson.dumps(message).decode(),
            "error.responseType": kind,
            "stage": STAGE,
        }
        template = declared.template or '{"message":$context.error.messageString}'
        headers = [("Content-Type", "application/json"), ("x-amzn-RequestId", context["requestId"])]
        headers += [(name, _header_value(value, variables)) for name, value in declared.headers.items()]
        headers.append(("Date", _http_date()))
        return Response(declared.status or status, headers, _filled(template, variables).encode())


def _walk(node: _Node, segments: list[str]) -> tuple[_Node, dict[str, str]] | None:
    """A literal segment beats a {placeholder}, which beats {proxy+}."""
    if not segments:
        return (node, {}) if node.methods else None
    first, rest = segments[0], segments[1:]
    if first in node.children and (found := _walk(node.children[first], rest)) is not None:
        return found
    if node.named is not None and first and (found := _walk(node.named[1], rest)) is not None:
        return found[0], {node.named[0]: unquote(first)} | found[1]
    if node.rest is not None and node.rest[1].methods:
        return node.rest[1], {node.rest[0]: unquote("/".join(segments))}
    return None


def _answer_headers(answer: Mapping[str, Any]) -> list[tuple[str, str]]:
    """multiValueHeaders win over headers of the same name. Line breaks cannot be smuggled in."""
    many = answer.get("multiValueHeaders") or {}
    named = {name.lower() for name in many}
    found = [(name, value) for name, value in (answer.get("headers") or {}).items() if name.lower() not in named]
    found += [(name, value) for name, values in many.items() for value in values]
    clean = [(name, re.sub(r"[\r\n]+", " ", str(value))) for name, value in found]
    return [
        (f"x-amzn-Remapped-{name}" if name.lower() in _HOP_BY_HOP else name, value)
        for name, value in clean
        if name.lower() != "content-length"
    ]


_VARIABLE = re.compile(r"\$context\.([A-Za-z.]+[A-Za-z])")


def _filled(template: str, variables: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda match: variables.get(match[1], ""), template)


def _header_value(value: str, variables: Mapping[str, str]) -> str:
    """'literal' in quotes, or context.variable."""
    if value.startswith("'"):
        return value.strip("'")
    return variables.get(value.removeprefix("context."), "")


_TITLES: dict[str, str] = {}
_TITLES_LOCK = threading.Lock()


def _title(name: str) -> str:
    """Header names as API Gateway passes HTTP/1.1 ones on: as sent. They were lower-cased on arrival."""
    titled = _TITLES.get(name)
    if titled is None:
        titled = "-".join(part.capitalize() for part in name.split("-"))
        with _TITLES_LOCK:
            if len(_TITLES) < 1000:
                _TITLES[name] = titled
    return titled


def _http_date() -> str:
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
