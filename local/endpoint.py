"""The AWS endpoint: every AWS call of functions, state machines, tests and people comes through here.

read the call ─▶ who is it ─▶ fault? ─▶ allowed? ─▶ carry out ─▶ tell listeners ─▶ count ─▶ answer
                                                      │
                               Lambda's Invoke: our sandboxes · ranged reads of S3: below · the rest: moto
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import orjson
from moto.s3.models import s3_backends

from local.deployment.declared import ACCOUNT_ID
from local.faults import Fault, Faults
from local.functions.invocation import Functions, PayloadTooLarge, Throttled, UnknownFunction
from local.http_server import Request, Response
from local.iam.identities import Principals
from local.iam.permissions import Principal, Resolver, denied, encryption_context, needs
from local.iam.presigned import refuse_presigned
from local.meter import Meter
from local.simulated_aws.calls import Call, read_call
from local.simulated_aws.errors import error_response
from local.simulated_aws.gate import MotoGate

log = logging.getLogger(__name__)

Listener = Callable[[Call, Request, Response], None]


class Endpoint:
    """A handler for HttpServer. `enforce` is set once everything is deployed: from then on permissions are checked."""

    def __init__(
        self, *, gate: MotoGate, functions: Functions, meter: Meter, faults: Faults, principals: Principals
    ) -> None:
        self.gate = gate
        self.functions = functions
        self.meter = meter
        self.faults = faults
        self.principals = principals
        self.resolver: Resolver = Resolver()
        self.enforce = False
        self.listeners: list[Listener] = []
        self.control: Callable[[Request], Response] | None = None
        self._granted: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
        self._denials: set[tuple[str, str, str]] = set()
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Response:
        if request.path.startswith("/_local/"):
            return self.control(request) if self.control is not None else Response(404)
        call = read_call(request)
        principal = self.principals.get(call.access_key)
        name = principal.name if principal is not None else "unknown"
        fault = self.faults.strike(name, call, request)
        if fault is not None and fault.when == "late":
            log.info("fault %d holds %s %s:%s", fault.id, name, call.service, call.operation)
            time.sleep(fault.hold_seconds)
        if fault is not None and fault.when == "before":
            response = self._fail(fault, call, name)
        else:
            response = self._refuse(call, request, principal) or self._carry_out(call, request)
            for listener in self.listeners:
                listener(call, request, response)
            if fault is not None and fault.when == "late":
                self.faults.land(fault.id)
            elif fault is not None:
                response = self._fail(fault, call, name)
        self.meter.count_call(name, call, len(request.body), len(response.body), failed=response.status >= 400)
        return response

    def _fail(self, fault: Fault, call: Call, name: str) -> Response:
        log.info("fault %d strikes %s %s:%s", fault.id, name, call.service, call.operation)
        if fault.kill:
            self.functions.get(name).kill(busy_only=True)
            return Response(500, cut=True)
        return error_response(call, fault.status, fault.code, fault.message)

    def _carry_out(self, call: Call, request: Request) -> Response:
        if call.service == "lambda" and call.operation == "Invoke":
            return self._invoke(call, request)
        if call.operation == "GetObject" and request.header("range"):
            return self._ranged_read(call, request)
        waits = call.operation in ("ReceiveMessage", "StartSyncExecution")
        return self.gate.call(request, call.service, waits=waits)

    # Permissions.

    def _refuse(self, call: Call, request: Request, principal: Principal | None) -> Response | None:
        """None if the caller may make the call, otherwise AWS's refusal."""
        if not self.enforce:
            return None
        if principal is None:
            code = "InvalidAccessKeyId" if call.service == "s3" else "UnrecognizedClientException"
            return error_response(call, 403, code, "The AWS access key id is not known to the local cloud.")
        if call.presigned:
            refused = refuse_presigned(call, request, principal)
            if refused is not None:
                return refused
        elif principal.session_token and request.header("x-amz-security-token") != principal.session_token:
            return error_response(call, 403, "InvalidClientTokenId", "The security token is not the role's.")
        needed = tuple(needs(call, request, ACCOUNT_ID, self.resolver))
        about = encryption_context(call)
        if (principal.name, needed) in self._granted and not about:
            return None
        known = {"aws:securetransport": "true", "aws:principalaccount": ACCOUNT_ID}
        missing = denied(principal, needed, known | about)
        if missing is None:
            if len(self._granted) < 10_000 and not about:
                self._granted.add((principal.name, needed))
            return None
        action, resource = missing
        message = f"User: {principal.arn} is not authorized to perform: {action} on resource: {resource}"
        with self._lock:
            if (principal.name, action, resource) not in self._denials:
                self._denials.add((principal.name, action, resource))
                log.warning("%s", message)
        code = {"s3": "AccessDenied", "sqs": "AccessDenied"}.get(call.service, "AccessDeniedException")
        return error_response(call, 403 if call.service in ("s3", "sqs", "lambda") else 400, code, message)

    def denials(self) -> list[dict[str, str]]:
        """Every permission that was missing so far."""
        with self._lock:
            return [{"function": f, "action": a, "resource": r} for f, a, r in sorted(self._denials)]

    # What moto does not do.

    def _invoke(self, call: Call, request: Request) -> Response:
        name = str(call.parameters["FunctionName"])
        kind = request.header("x-amz-invocation-type", "RequestResponse")
        payload = request.body or b"{}"
        try:
            orjson.loads(payload)
        except orjson.JSONDecodeError as error:
            return error_response(call, 400, "InvalidRequestContentException", f"Could not parse payload: {error}")
        try:
            if kind == "Event":
                self.functions.invoke_async(name, payload)
                return Response(202)
            result = self.functions.get(name).invoke(payload)
        except UnknownFunction as error:
            return error_response(call, 404, "ResourceNotFoundException", str(error))
        except PayloadTooLarge as error:
            return error_response(call, 413, "RequestTooLargeException", str(error))
        except Throttled as error:
            return error_response(call, 429, "TooManyRequestsException", str(error))
        headers = [("Content-Type", "application/json"), ("X-Amz-Executed-Version", "$LATEST")]
        if result.error is not None:
            headers.append(("X-Amz-Function-Error", result.error))
        return Response(200, headers, result.payload)

    def _ranged_read(self, call: Call, request: Request) -> Response:
        """moto reads the whole object for each range of it. So here the headers come from its HEAD, and the bytes from
        the file in which moto keeps them."""
        with self.gate.lock("s3"):
            head = self.gate.call(Request("HEAD", request.target, request.headers, b"", request.client), "s3")
            content_range = next((v for k, v in head.headers if k.lower() == "content-range"), "")
            if head.status != 206 or not content_range:
                return self.gate.call(request, "s3")
            first, last = (int(n) for n in content_range.removeprefix("bytes ").partition("/")[0].split("-"))
            version = call.query.get("versionId", [None])[0]
            key = s3_backends[ACCOUNT_ID]["aws"].get_object(call.bucket, call.key, version_id=version)
            if key is None:
                return self.gate.call(request, "s3")
            with key.lock:
                key._value_buffer.seek(first)
                body = key._value_buffer.read(last - first + 1)
        headers = [(k, v) for k, v in head.headers if k.lower() != "content-length"]
        return Response(206, headers, body)
