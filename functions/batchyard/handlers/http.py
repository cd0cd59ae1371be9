"""API Gateway's proxy events (REST, version 1) in, replies out: routing, authentication, errors, logs.

A handler has a table: operation -> function. The route of a request names the operation and the surface; the surface's
own table says how the request is read and how the reply is written. Whatever is raised becomes the surface's error here
and nowhere else. What callers send is never logged; an unexpected exception is logged by its type and place, without
its text.
"""

from __future__ import annotations

import base64
import binascii
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from urllib.parse import unquote

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.typing import LambdaContext

from batchyard.core.accounts import key_hash
from batchyard.core.errors import InvalidRequest, NotFound, RateLimited, RequestError, UnsupportedMediaType
from batchyard.core.json_types import JsonObject
from batchyard.core.limits import Allowance
from batchyard.handlers import cors, resources
from batchyard.handlers.limits import limits_of
from batchyard.handlers.pages import write_page
from batchyard.settings import ApiSettings, load
from batchyard.steps.accounts import Keyring
from batchyard.steps.admit import Admission
from batchyard.surfaces import registry
from batchyard.surfaces.http import Reply, Request
from batchyard.surfaces.operations import Found, Listed, Operation, Page, Wanted
from batchyard.surfaces.route import Asked
from batchyard.surfaces.surface import Surface

_FALLBACK_SURFACE = "openai"
_FRAMES_LOGGED = 12
_OF_A_BODY = ("content-type", "content-encoding")

logger = Logger()


@dataclass(frozen=True, slots=True)
class Call:
    """One request, routed and authenticated. `now`: the unix second at which it is served. `account_id` is empty
    on public routes."""

    request: Request
    surface: Surface
    account_id: str
    settings: ApiSettings
    now: int


Serve = Callable[[Call], Reply]
Handler = Callable[[JsonObject, Any], JsonObject]


def serve(
    operation: Callable[[Surface], Operation[Wanted, Found] | None], step: Callable[[Call, Wanted], Found]
) -> Serve:
    """Serves an operation of every surface that has it. `step` takes what the surface has read, and returns what it
    will write."""

    def answer(call: Call) -> Reply:
        chosen = _chosen(operation(call.surface), call)
        return chosen.write(step(call, chosen.read(call.request)))

    return answer


def serve_page(
    operation: Callable[[Surface], Operation[Wanted, Page[Listed]] | None], step: Callable[[Call, Wanted], Page[Listed]]
) -> Serve:
    """`serve` for lists, whose pages end early if they grow too large for a reply."""

    def answer(call: Call) -> Reply:
        chosen = _chosen(operation(call.surface), call)
        return write_page(chosen.write, step(call, chosen.read(call.request)))

    return answer


def api(operations: Mapping[str, Serve]) -> Handler:
    """The Lambda handler that serves `operations`."""

    @logger.inject_lambda_context(clear_state=True)
    def handler(event: JsonObject, context: LambdaContext) -> JsonObject:
        started = time.perf_counter()
        request_id = f"req_{event['requestContext']['requestId'].replace('-', '')}"
        logger.append_keys(request_id=request_id)
        reply, operation = _preflight(event) or _answer(event, request_id, operations)
        _record(operation, reply.status, time.perf_counter() - started)
        return _to_event(cors.shared(reply, event, load(ApiSettings).cors_origins), event, request_id)

    return handler


@cache
def admission() -> Admission:
    return Admission(resources.windows())


@cache
def keyring() -> Keyring:
    """The API keys that this process knows."""
    return Keyring(resources.accounts(), time.monotonic)


def _preflight(event: JsonObject) -> tuple[Reply, str] | None:
    """The answer to a browser that asks what it may send; None if this is another request."""
    return (Reply(204), "preflight") if event["httpMethod"] == "OPTIONS" else None


def _answer(event: JsonObject, request_id: str, operations: Mapping[str, Serve]) -> tuple[Reply, str]:
    """The reply, and the name of the operation for the log. A HEAD is answered as the GET of its path would be; its
    body is left out in the end."""
    method = "GET" if event["httpMethod"] == "HEAD" else event["httpMethod"]
    route = registry.find(method, event["resource"], _asked(event))
    name = route.operation if route and route.operation in operations else "unknown"
    surface = registry.surface(route.surface if route else _FALLBACK_SURFACE)
    allowance: Allowance | None = None
    try:
        if route is None or route.operation not in operations:
            raise _no_route(event["httpMethod"], event["path"])
        request, settings, now, account_id = _request(event, request_id), load(ApiSettings), int(time.time()), ""
        if not route.public:
            api_key = surface.rules.read_api_key(request)
            account_id = _account(api_key, event, now)
            allowance = _admit(api_key, surface, settings, now)
        reply = operations[route.operation](Call(request, surface, account_id, settings, now))
    except RequestError as error:
        logger.info("refused", extra={"operation": name, "status": error.status, "code": error.code})
        allowance = error.allowance if isinstance(error, RateLimited) else allowance
        reply = surface.rules.write_error(error)
    except Exception as error:  # the caller gets an answer all the same, and the operator a trace
        logger.error("failed", extra={"operation": name, "fault": fault_of(error)})
        reply = surface.rules.write_error(None)
    reply = surface.rules.show_request_id(reply, request_id)
    if allowance is not None:
        reply = replace(reply, headers={**reply.headers, **surface.rules.allowance_headers(allowance)})
    return reply, name


def _asked(event: JsonObject) -> Asked:
    """What tells dialects apart. A body that cannot be decoded counts as none; whoever reads it says so."""
    try:
        body = _body(event)
    except InvalidRequest:
        body = b""
    return Asked(
        headers=[header.lower() for header in event.get("headers") or {}],
        parameters={name: unquote(value) for name, value in (event.get("pathParameters") or {}).items()},
        query=event.get("queryStringParameters") or {},
        body=body,
    )


def _body(event: JsonObject) -> bytes:
    body = event.get("body") or ""
    try:
        return base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode()
    except (binascii.Error, UnicodeEncodeError) as error:
        raise InvalidRequest("The request body could not be decoded.") from error


def _request(event: JsonObject, request_id: str) -> Request:
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise UnsupportedMediaType("Send the body as it is, without a Content-Encoding.")
    return Request(
        method=event["httpMethod"],
        path=event["path"],
        request_id=request_id,
        headers=headers,
        query=event.get("queryStringParameters") or {},
        parameters={name: unquote(value) for name, value in (event.get("pathParameters") or {}).items()},
        body=_body(event),
        api_url=_api_url(event, headers),
    )


def _api_url(event: JsonObject, headers: Mapping[str, str]) -> str:
    """What stands before the path: scheme and domain, and the stage unless the domain is one of the operator's own."""
    context = event["requestContext"]
    whole, path = str(context.get("path", "")).rstrip("/"), str(event["path"]).rstrip("/")
    stage = whole.removesuffix(path) if whole.endswith(path) else ""
    return f"{headers.get('x-forwarded-proto', 'https')}://{context.get('domainName', '')}{stage}"


def _account(api_key: str, event: JsonObject, now: int) -> str:
    source = event["requestContext"].get("identity", {}).get("sourceIp") or ""
    account_id = keyring().account_of(api_key, source, at=now)
    logger.append_keys(account_id=account_id)
    return account_id


def _admit(api_key: str, surface: Surface, settings: ApiSettings, now: int) -> Allowance | None:
    """What the API key has left on this surface; None if there is no limit. Raises RateLimited."""
    limit = limits_of(surface, settings).requests_per_minute
    return admission().admit(f"{surface.name}#{key_hash(api_key)}", limit=limit, now=now) if limit else None


def _chosen(operation: Operation[Wanted, Found] | None, call: Call) -> Operation[Wanted, Found]:
    if operation is None:
        raise _no_route(call.request.method, call.request.path)
    return operation


def _no_route(method: str, path: str) -> RequestError:
    """For a request to an unknown route. API Gateway passes on none, unless it was deployed with other routes than this
    code has."""
    return NotFound(f"Invalid URL ({method} {path[:256]})", code="unknown_url")


def fault_of(error: BaseException) -> JsonObject:
    """An exception without its text, which may quote what the caller sent."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES_LOGGED:]
    fault: JsonObject = {
        "type": type(error).__qualname__,
        "frames": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    }
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        fault["aws_code"] = response.get("Error", {}).get("Code")
        fault["aws_operation"] = getattr(error, "operation_name", None)
    return fault


def _record(operation: str, status: int, seconds: float) -> None:
    logger.info("answered", extra={"operation": operation, "status": status, "milliseconds": round(seconds * 1000)})


def _is_known(reply: Reply, event: JsonObject) -> bool:
    """Whether the caller has this reply already, by its tag."""
    known = {name.lower(): value for name, value in (event.get("headers") or {}).items()}.get("if-none-match", "")
    return reply.status == 200 and reply.headers.get("etag") in [tag.strip() for tag in known.split(",")]


def _to_event(reply: Reply, event: JsonObject, request_id: str) -> JsonObject:
    if _is_known(reply, event):
        kept = {name: value for name, value in reply.headers.items() if name not in _OF_A_BODY}
        reply = Reply(304, headers=kept)
    sent = b"" if event["httpMethod"] == "HEAD" else reply.body
    body = base64.b64encode(sent) if reply.binary else sent
    return {
        "statusCode": reply.status,
        "headers": {**reply.headers, "x-request-id": request_id, "x-content-type-options": "nosniff"},
        "body": body.decode(),
        "isBase64Encoded": reply.binary,
    }
