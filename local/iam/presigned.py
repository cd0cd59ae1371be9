"""Checks a presigned S3 address, which anybody may hold: its expiry, its session token, its signature (version 4), and
that it comes alone.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

import datetime
import time

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local.http_server import Request, Response
from local.iam.permissions import Principal
from local.simulated_aws.calls import Call
from local.simulated_aws.errors import error_response

_TWO_MECHANISMS = (
    "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or "
    "the Authorization header should be specified"
)


def refuse_presigned(call: Call, request: Request, principal: Principal) -> Response | None:
    """None if the address is valid now; otherwise S3's answer. A client that follows a redirect here and brings along
    its key for the API is refused, too."""
    if request.header("authorization"):
        return error_response(call, 400, "InvalidArgument", _TWO_MECHANISMS)
    query = {name: values[0] for name, values in call.query.items()}
    signed_at = datetime.datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
    if time.time() > signed_at.timestamp() + int(query["X-Amz-Expires"]):
        return error_response(call, 403, "AccessDenied", "Request has expired")
    if principal.session_token and query.get("X-Amz-Security-Token") != principal.session_token:
        return error_response(call, 403, "InvalidToken", "The provided token is malformed or otherwise invalid.")
    if _signature(request, query, principal) != query.get("X-Amz-Signature"):
        return error_response(call, 403, "SignatureDoesNotMatch", "The request signature does not match.")
    return None


def _signature(request: Request, query: dict[str, str], principal: Principal) -> str:
    """The signature that the request must have."""
    access_key, _, region = query["X-Amz-Credential"].split("/")[:3]
    auth = S3SigV4QueryAuth(
        Credentials(access_key, principal.secret_key), "s3", region, expires=int(query["X-Amz-Expires"])
    )
    unsigned = "&".join(pair for pair in request.query.split("&") if not pair.startswith("X-Amz-Signature="))
    signed_headers = set(query["X-Amz-SignedHeaders"].split(";"))
    aws_request = AWSRequest(
        request.method,
        f"http://{request.header('host')}{request.path}?{unsigned}",
        headers={name: value for name, value in request.headers if name in signed_headers},
    )
    aws_request.context["timestamp"] = query["X-Amz-Date"]
    return auth.signature(auth.string_to_sign(aws_request, auth.canonical_request(aws_request)), aws_request)
