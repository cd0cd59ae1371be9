"""Errors in the wire format of each AWS service, as the SDKs parse them."""

from __future__ import annotations

from xml.sax.saxutils import escape

import orjson

from local.http_server import Response
from local.simulated_aws.calls import Call


def error_response(call: Call, status: int, code: str, message: str) -> Response:
    """The answer to a call that failed."""
    request_id = ("x-amzn-RequestId", "00000000-0000-0000-0000-000000000000")
    if call.service == "s3":
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{escape(code)}</Code>'
            f"<Message>{escape(message)}</Message><RequestId>local</RequestId></Error>"
        )
        return Response(status, [("Content-Type", "application/xml"), request_id], body.encode())
    if call.service == "lambda":
        headers = [("Content-Type", "application/json"), ("x-amzn-ErrorType", code), request_id]
        return Response(status, headers, orjson.dumps({"Type": "User", "Message": message, "message": message}))
    if call.service in ("iam", "sts", "cloudformation"):
        body = (
            f"<ErrorResponse><Error><Type>Sender</Type><Code>{escape(code)}</Code>"
            f"<Message>{escape(message)}</Message></Error><RequestId>local</RequestId></ErrorResponse>"
        )
        return Response(status, [("Content-Type", "text/xml"), request_id], body.encode())
    headers = [("Content-Type", "application/x-amz-json-1.0"), request_id]
    namespace = "com.amazonaws.dynamodb.v20120810#" if call.service == "dynamodb" else "com.amazonaws#"
    return Response(status, headers, orjson.dumps({"__type": namespace + code, "message": message, "Message": message}))
