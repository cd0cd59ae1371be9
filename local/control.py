"""Ways in which tests, benchmarks and people control a running local cloud: JSON over HTTP under /_local/ of the AWS
endpoint. `cloud.LocalCloud` is its client.

    GET  /_local/meter       (POST …/meter/reset)                GET  /_local/denials    grants that were missing
    GET  /_local/processes   POST /_local/kill                   POST /_local/limit      another timeout
    GET  /_local/faults      POST /_local/faults (…/clear, …/remove)
    GET  /_local/queues      messages per queue                  POST /_local/delivery   the poller's switches
    POST /_local/neighbours  executions of the account that others use
    POST /_local/code        every function's code is replaced
    POST /_local/accounts    an account with its first key       POST /_local/fire       a scheduled rule, now
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import orjson

from local.faults import Fault
from local.http_server import Request, Response

Action = Callable[[Mapping[str, Any]], Any]


class Control:
    """A handler for the endpoint. Routes map "GET /_local/meter" to a function of the parsed body."""

    def __init__(self, routes: Mapping[str, Action]) -> None:
        self._routes = routes

    def __call__(self, request: Request) -> Response:
        action = self._routes.get(f"{request.method} {request.path}")
        if action is None:
            return _json(404, {"error": f"no such control: {request.method} {request.path}"})
        try:
            body = orjson.loads(request.body or b"{}")
            return _json(200, action(body))
        except (orjson.JSONDecodeError, TypeError, ValueError, KeyError) as error:
            return _json(400, {"error": f"{type(error).__name__}: {error}"})


def read_fault(body: Mapping[str, Any]) -> Fault:
    """Raises TypeError for a field that a fault does not have."""
    known = {each.name for each in fields(Fault)} - {"id", "seen", "fired", "landed"}
    unknown = set(body) - known
    if unknown:
        raise TypeError(f"a fault has no {', '.join(sorted(unknown))}")
    return Fault(**body)


def _json(status: int, body: Any) -> Response:
    return Response(status, [("Content-Type", "application/json")], orjson.dumps(body))
