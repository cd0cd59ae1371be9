"""Reads an AWS request: who calls which operation of which service, and about what.

Nothing is executed here. The cost meter, the fault switchboard and the permission check all work on the `Call`.
S3's operations and the permissions they need: https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, unquote_plus

import orjson

from local.http_server import Request

_CREDENTIAL = re.compile(r"(?:Credential=)?([A-Za-z0-9]+)/\d{8}/([a-z0-9-]+)/([A-Za-z0-9.-]+)/aws4_request")
_LAMBDA_PATH = re.compile(r"^/20\d\d-\d\d-\d\d/functions/([^/]+)/(invocations|invoke-async)/?$")
_NAMES = {"DynamoDBStreams": "dynamodb", "eventbridge": "events"}


@dataclass(slots=True)
class Call:
    """`parameters`: the body of a JSON or form request. `bucket`, `key` (the object key) and `query`: of S3 only."""

    service: str
    operation: str
    access_key: str
    region: str
    presigned: bool = False
    parameters: dict[str, Any] = field(default_factory=dict)
    query: dict[str, list[str]] = field(default_factory=dict)
    bucket: str = ""
    key: str = ""

    @property
    def items(self) -> int:
        """How many rows or messages the call is about: what a batch operation is billed for."""
        if self.service == "dynamodb":
            if "TransactItems" in self.parameters:
                return len(self.parameters["TransactItems"])
            requested = self.parameters.get("RequestItems")
            if isinstance(requested, dict):
                return sum(
                    len(part.get("Keys", ())) if isinstance(part, dict) else len(part) for part in requested.values()
                )
        if self.service == "sqs" and "Entries" in self.parameters:
            return len(self.parameters["Entries"])
        return 1


def read_call(request: Request) -> Call:
    query = parse_qs(request.query, keep_blank_values=True)
    access_key, region, service, presigned = _credential(request, query)
    service = _NAMES.get(service, service)
    target = request.header("x-amz-target")
    if service == "s3":
        return _s3_call(request, query, access_key, region, presigned)
    if target:
        return Call(service, target.rpartition(".")[2], access_key, region, parameters=_json(request.body))
    if service == "lambda":
        match = _LAMBDA_PATH.match(request.path)
        operation = "Invoke" if match else f"{request.method} {request.path}"
        parameters = {"FunctionName": unquote(match.group(1))} if match else {}
        return Call(service, operation, access_key, region, parameters=parameters)
    form = {name: values[-1] for name, values in parse_qs(request.body.decode("latin-1")).items()}
    form |= {name: values[-1] for name, values in query.items()}
    operation = form.get("Action") or request.path.rpartition("/")[2] or request.method
    return Call(service, operation, access_key, region, parameters=form)


def _credential(request: Request, query: dict[str, list[str]]) -> tuple[str, str, str, bool]:
    """(access key, region, service, presigned?). A request without a signature of version 4 counts as one to S3."""
    if match := _CREDENTIAL.search(request.header("authorization")):
        return match.group(1), match.group(2), match.group(3).lower(), False
    if match := _CREDENTIAL.search(query.get("X-Amz-Credential", [""])[0]):
        return match.group(1), match.group(2), match.group(3).lower(), True
    return "", "us-east-1", "s3", False


def _json(body: bytes) -> dict[str, Any]:
    try:
        parsed = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


_BUCKET_QUERIES = {
    "GET": {"versions": "ListObjectVersions", "location": "GetBucketLocation", "uploads": "ListMultipartUploads"},
    "POST": {"delete": "DeleteObjects"},
}
_KEY_QUERIES = {
    "GET": {"uploadId": "ListParts", "tagging": "GetObjectTagging", "attributes": "GetObjectAttributes"},
    "PUT": {"partNumber": "UploadPart", "tagging": "PutObjectTagging"},
    "POST": {"uploads": "CreateMultipartUpload", "uploadId": "CompleteMultipartUpload"},
    "DELETE": {"uploadId": "AbortMultipartUpload", "tagging": "DeleteObjectTagging"},
}
_BUCKET_DEFAULT = {
    "GET": "ListObjectsV2",
    "HEAD": "HeadBucket",
    "PUT": "CreateBucket",
    "DELETE": "DeleteBucket",
    "POST": "PostObject",
}
_KEY_DEFAULT = {
    "GET": "GetObject",
    "HEAD": "HeadObject",
    "PUT": "PutObject",
    "DELETE": "DeleteObject",
    "POST": "PostObject",
}


def _s3_call(request: Request, query: dict[str, list[str]], access_key: str, region: str, presigned: bool) -> Call:
    bucket, _, key = unquote(request.path.lstrip("/")).partition("/")
    queries, default = (_KEY_QUERIES, _KEY_DEFAULT) if key else (_BUCKET_QUERIES, _BUCKET_DEFAULT)
    if not bucket:
        operation = "ListBuckets"
    else:
        named = queries.get(request.method, {})
        operation = next((named[name] for name in query if name in named), default.get(request.method, request.method))
    if request.header("x-amz-copy-source"):
        operation = {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}.get(operation, operation)
    return Call("s3", operation, access_key, region, presigned, query=query, bucket=bucket, key=key)


def copy_source(request: Request) -> tuple[str, str, bool]:
    """(bucket, object key, whether a version is named) of what is copied."""
    path, _, version = request.header("x-amz-copy-source").partition("?")
    bucket, _, key = unquote_plus(path).lstrip("/").partition("/")
    return bucket, key, version.startswith("versionId=")
