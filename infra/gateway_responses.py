"""What API Gateway answers by itself: error objects of OpenAI's form, which all clients can read, with the request id
that every reply has. If the gateway chooses the status, the object cannot name it.

API Gateway expects a request without a route to be signed as for AWS. Without an Authorization header it answers
MISSING_AUTHENTICATION_TOKEN. A bearer key looks like a broken signature to it: it answers INVALID_SIGNATURE or, as
others report, a kind without a name of its own, for which DEFAULT_4XX is used. These three are 404 here; so every other
kind of 4XX is listed with its own status.
https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html

The gateway's own words are never passed on: they quote the Authorization header, with the caller's key.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from aws_cdk import aws_apigateway as apigateway

_TOO_LARGE = (
    "The request is larger than the API takes. Send the file through the Uploads API (POST /v1/uploads, parts of at "
    "most 4 MB), or put it at the address that POST /v1/files/presigned gives you, or copy it into the drop folder. "
    "Requests of a batch go into such a file, one on each line, which the batch then names as input_file_id."
)
_UNKNOWN = "Unknown request URL, or a URL that does not take this method. GET /openapi.json lists them all."
_REFUSED = "The request was refused before it was read. Compare its URL and its method with GET /openapi.json."
_KEYLESS = "Send your API key in the header: Authorization: Bearer <key>."
_DENIED = "This address or key sends too many requests, or may not use this API from where it is."
_SLOWER = "Too many requests. Slow down and try again."
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


_REQUEST = "invalid_request_error"
RESPONSES = (
    GatewayResponse("MISSING_AUTHENTICATION_TOKEN", 404, _REQUEST, "unknown_url", _UNKNOWN),
    GatewayResponse("INVALID_SIGNATURE", 404, _REQUEST, "unknown_url", _UNKNOWN),
    GatewayResponse("EXPIRED_TOKEN", 404, _REQUEST, "unknown_url", _UNKNOWN),
    GatewayResponse("RESOURCE_NOT_FOUND", 404, _REQUEST, "unknown_url", _UNKNOWN),
    GatewayResponse("DEFAULT_4XX", 404, _REQUEST, "unknown_url", _UNKNOWN),
    GatewayResponse("BAD_REQUEST_BODY", 400, _REQUEST, "bad_request", _REFUSED),
    GatewayResponse("BAD_REQUEST_PARAMETERS", 400, _REQUEST, "bad_request", _REFUSED),
    GatewayResponse("UNAUTHORIZED", 401, _REQUEST, "invalid_api_key", _KEYLESS),
    GatewayResponse("INVALID_API_KEY", 401, _REQUEST, "invalid_api_key", _KEYLESS),
    GatewayResponse("ACCESS_DENIED", 403, "permission_error", "access_denied", _DENIED),
    GatewayResponse("WAF_FILTERED", 403, "permission_error", "refused_by_firewall", _DENIED),
    GatewayResponse("REQUEST_TOO_LARGE", 413, _REQUEST, "request_too_large", _TOO_LARGE),
    GatewayResponse("UNSUPPORTED_MEDIA_TYPE", 415, _REQUEST, "unsupported_media_type", _REFUSED),
    GatewayResponse("THROTTLED", 429, "rate_limit_error", "rate_limit_exceeded", _SLOWER),
    GatewayResponse("QUOTA_EXCEEDED", 429, "rate_limit_error", "rate_limit_exceeded", _SLOWER),
    GatewayResponse("DEFAULT_5XX", None, "server_error", _KIND, _FAILED),
)


def add_gateway_responses(api: apigateway.RestApi, *, for_browsers: bool = False) -> None:
    """`for_browsers`: pages of any origin may read them; they say nothing of anybody."""
    for response in RESPONSES:
        headers = {"x-request-id": "context.requestId", "request-id": "context.requestId"}
        if for_browsers:
            headers["Access-Control-Allow-Origin"] = "'*'"
        if response.status == 429:
            headers["Retry-After"] = "'1'"
        api.add_gateway_response(
            response.kind,
            type=apigateway.ResponseType.of(response.kind),
            status_code=str(response.status) if response.status else None,
            response_headers=headers,
            templates={"application/json": _envelope(response)},
        )


def _envelope(response: GatewayResponse) -> str:
    error: dict[str, str | int | None]
    error = {"message": response.message, "type": response.type, "param": None, "code": response.code}
    error = error if response.status is None else error | {"status": response.status}
    return json.dumps({"error": error})
