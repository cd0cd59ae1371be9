"""What API Gateway answers by itself: the OpenAI surface's error envelope, with the request id that every answer
carries. Where the status is the gateway's own choice, the envelope cannot name it.

The gateway's own words are never passed on. Of a request that has no route it takes the Authorization header for one of
AWS's signatures, and quotes it: to every client with a bearer's key it would answer a 403 with that key.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from aws_cdk import aws_apigateway as apigateway

_TOO_LARGE = (
    "The request is larger than the API takes. Send the file through the Uploads API (POST /v1/uploads, parts of at "
    "most 4 MB), or put it at the address that POST /v1/files/presigned gives you, or copy it into the drop folder."
)
_UNKNOWN = "Unknown request URL, or a URL that does not take this method. GET /openapi.json lists them all."
_REFUSED = "The request was refused before it was read. Compare its URL and its method with GET /openapi.json."
_FAILED = "The request could not be processed. Send it again; if it makes a batch, with the same Idempotency-Key."
_KIND = "$context.error.responseType"


@dataclass(frozen=True, slots=True)
class GatewayResponse:
    """`status` None keeps the gateway's own."""

    kind: str
    status: int | None
    type: str
    code: str
    message: str


RESPONSES = (
    GatewayResponse("REQUEST_TOO_LARGE", 413, "invalid_request_error", "request_too_large", _TOO_LARGE),
    GatewayResponse("MISSING_AUTHENTICATION_TOKEN", 404, "invalid_request_error", "unknown_url", _UNKNOWN),
    GatewayResponse("INVALID_SIGNATURE", 404, "invalid_request_error", "unknown_url", _UNKNOWN),
    GatewayResponse(
        "THROTTLED", 429, "rate_limit_error", "rate_limit_exceeded", "Too many requests. Slow down and try again."
    ),
    GatewayResponse("DEFAULT_4XX", None, "invalid_request_error", _KIND, _REFUSED),
    GatewayResponse("DEFAULT_5XX", None, "server_error", _KIND, _FAILED),
)


def add_gateway_responses(api: apigateway.RestApi) -> None:
    for response in RESPONSES:
        headers = {"x-request-id": "context.requestId"}
        if response.kind == "THROTTLED":
            headers["Retry-After"] = "'1'"
        api.add_gateway_response(
            response.kind,
            type=apigateway.ResponseType.of(response.kind),
            status_code=str(response.status) if response.status else None,
            response_headers=headers,
            templates={"application/json": _envelope(response)},
        )


def _envelope(response: GatewayResponse) -> str:
    error = {"message": response.message, "type": response.type, "param": None, "code": response.code}
    return json.dumps({"error": error if response.status is None else error | {"status": response.status}})
