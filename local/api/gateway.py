"""Plays an API Gateway REST API: HTTP in, proxy events (version 1) to the functions, HTTP out.

Routes, gateway responses and binary media types are the template's. Limits are AWS's: 10 MB of payload, 10,240 bytes of
headers, 29 s for the function. Local addresses have no stage in them. Not played: throttling, usage plans, CORS.
"""

from __future__ import annotations

import base64
import binascii
import logging
import re
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

import orjson

from local.api.events import STAGE, proxy_event
from local.api.routes import Routes
from local.deployment.declared import Deployment, GatewayResponse
from local.functions.invocation import Function, Functions, PayloadTooLarge, Throttled
from local.functions.sandboxes import InvocationResult
from local.http_server import HttpLimits, Request, Response
from local.meter import Meter

log = logging.getLogger(__name__)

INTEGRATION_SECONDS = 29.0
LIMITS = HttpLimits(header_bytes=10_240, body_bytes=10 * 1024 * 1024, idle_seconds=350.0, stall_seconds=30.0)
_DEFAULTS = {
    "REQUEST_TOO_LARGE": (413, "Request Too Long"),
    "BAD_REQUEST_BODY": (400, "Bad Request"),
    "MISSING_AUTHENTICATION_TOKEN": (403, "Missing Authentication Token"),
    "INVALID_SIGNATURE": (403, "The request signature does not match"),
    "INTEGRATION_TIMEOUT": (504, "Endpoint request timed out"),
    "DEFAULT_4XX": (400, "Bad Request"),
    "DEFAULT_5XX": (502, "Internal server error"),
}
_HOP_BY_HOP = {"connection", "content-length", "transfer-encoding", "date", "server", "keep-alive", "upgrade"}


class Gateway:
    """A handler for HttpServer; `refuse` answers requests that are broken or too large."""

    def __init__(self, deployment: Deployment, functions: Functions, meter: Meter) -> None:
        self._functions = functions
        self._meter = meter
        self._responses = deployment.gateway_responses
        self._routes = Routes(deployment.methods)
        self._is_binary = any(kind == "*/*" for kind in deployment.binary_media_types)
        self._waiting = ThreadPoolExecutor(max_workers=256, thread_name_prefix="integration")

    def __call__(self, request: Request) -> Response:
        response = self._answer(request)
        self._meter.count_request(response.status)
        return response

    def _answer(self, request: Request) -> Response:
        context = {"requestId": str(uuid.uuid4()), "path": request.path, "httpMethod": request.method}
        route = self._routes.find(request.method, request.path)
        if route is None:
            return self._no_route(request, context)
        function = self._functions.get(route.function)
        event = proxy_event(request, route, context["requestId"], is_binary=self._is_binary)
        try:
            result = self._integrate(function, orjson.dumps(event))
        except PayloadTooLarge:
            return self._gateway_response("REQUEST_TOO_LARGE", context)
        except Throttled:
            # API Gateway answers 500, not 429, when Lambda refuses an invoke:
            # https://docs.aws.amazon.com/lambda/latest/dg/services-apigateway-errors.html
            return self._gateway_response("DEFAULT_5XX", context, status=500)
        except FutureTimeout:
            return self._gateway_response("INTEGRATION_TIMEOUT", context)
        return self._response(result, context)

    def refuse(self, status: int, reason: str) -> Response:
        context = {"requestId": str(uuid.uuid4())}
        if status == 413:
            return self._gateway_response("REQUEST_TOO_LARGE", context)
        kind = "BAD_REQUEST_BODY" if status < 500 else "DEFAULT_5XX"
        return self._gateway_response(kind, context, status=status, message=reason)

    def close(self) -> None:
        self._waiting.shutdown(wait=False, cancel_futures=True)

    def _no_route(self, request: Request, context: Mapping[str, str]) -> Response:
        """API Gateway reads the Authorization header of such a request as a signature, and quotes it."""
        header = request.header("authorization")
        if not header:
            return self._gateway_response("MISSING_AUTHENTICATION_TOKEN", context)
        message = f"Invalid key=value pair (missing equal-sign) in Authorization header: '{header}'."
        return self._gateway_response("INVALID_SIGNATURE", context, message=message)

    # Events and answers.

    def _integrate(self, function: Function, payload: bytes) -> InvocationResult:
        """Raises FutureTimeout after 29 s, while the function runs on, as it does in AWS."""
        if function.config.timeout_seconds <= INTEGRATION_SECONDS:
            return function.invoke(payload)
        return self._waiting.submit(function.invoke, payload).result(INTEGRATION_SECONDS)

    def _response(self, result: InvocationResult, context: Mapping[str, str]) -> Response:
        if result.error is not None:
            return self._gateway_response("DEFAULT_5XX", context, status=502)
        try:
            answer = orjson.loads(result.payload)
            status = int(answer["statusCode"])
            headers = _answer_headers(answer)
            text = answer.get("body") or ""
            body = base64.b64decode(text, validate=True) if answer.get("isBase64Encoded") else text.encode()
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError, binascii.Error):
            log.warning("a function's answer is no proxy response: %.200r", result.payload)
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


def _answer_headers(answer: Mapping[str, Any]) -> list[tuple[str, str]]:
    """multiValueHeaders replace headers of the same name. Line breaks, which begin another header, are taken out."""
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


def _http_date() -> str:
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
