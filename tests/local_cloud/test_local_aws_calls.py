"""How the local cloud reads AWS calls, policies, event patterns and errors: as AWS does."""

from __future__ import annotations

from typing import Any

import pytest

from local.functions.events import matches
from local.http_server import Request
from local.iam.permissions import Principal, Resolver, denied, needs, read_statements
from local.simulated_aws.calls import Call, copy_source, read_call
from local.simulated_aws.errors import error_response


@pytest.fixture(autouse=True)
def aws() -> None:
    """These tests need no AWS in the process."""


def principal(*statements: dict[str, Any]) -> Principal:
    return Principal("it", "arn:aws:iam::1:role/it", tuple(read_statements({"Statement": list(statements)})))


TABLE = "arn:aws:dynamodb:us-east-1:1:table/t"


@pytest.mark.parametrize(
    ("statements", "expected"),
    [
        ([], False),
        ([{"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": TABLE}], True),
        ([{"Effect": "Allow", "Action": "dynamodb:Get*", "Resource": "*"}], True),
        ([{"Effect": "Allow", "Action": ["dynamodb:getitem"], "Resource": [TABLE, "x"]}], True),
        ([{"Effect": "Allow", "Action": "dynamodb:GetItem", "Resource": TABLE + "/index/*"}], False),
        (
            [
                {"Effect": "Allow", "Action": "*", "Resource": "*"},
                {"Effect": "Deny", "Action": "dynamodb:*", "Resource": TABLE},
            ],
            False,
        ),
        (
            [
                {
                    "Effect": "Allow",
                    "Action": "*",
                    "Resource": "*",
                    "Condition": {"Bool": {"aws:SecureTransport": "true"}},
                }
            ],
            True,
        ),
        (
            [{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"StringEquals": {"no:such": "x"}}}],
            False,
        ),
    ],
)
def test_policies_are_read_as_iam_reads_them(statements: list[dict[str, Any]], expected: bool) -> None:
    """Wildcards, an explicit deny, conditions."""
    missing = denied(principal(*statements), [("dynamodb:GetItem", TABLE)], {"aws:securetransport": "true"})
    assert (missing is None) == expected


@pytest.mark.parametrize(
    "statement",
    [
        {"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"},
        {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"StringNotEquals": {"a": "b"}}},
    ],
)
def test_what_is_not_played_of_a_policy_is_an_error(statement: dict[str, Any]) -> None:
    """Rather than a statement that silently grants too much or too little."""
    with pytest.raises(ValueError, match=r"NotAction|StringNotEquals"):
        principal(statement)


def request(method: str, target: str, body: bytes = b"", service: str = "s3", **headers: str) -> Request:
    credential = f"AWS4-HMAC-SHA256 Credential=AKIAX/20260101/us-east-1/{service}/aws4_request, SignedHeaders=x"
    named = [(name.replace("_", "-"), value) for name, value in headers.items()]
    return Request(method, target, [("authorization", credential), *named], body, "127.0.0.1")


@pytest.mark.parametrize(
    ("asked", "operation", "needed"),
    [
        (request("GET", "/b/a%20b"), "GetObject", [("s3:GetObject", "arn:aws:s3:::b/a b")]),
        (request("GET", "/b/k?versionId=1"), "GetObject", [("s3:GetObjectVersion", "arn:aws:s3:::b/k")]),
        (request("HEAD", "/b/k"), "HeadObject", [("s3:GetObject", "arn:aws:s3:::b/k")]),
        (request("GET", "/b?list-type=2"), "ListObjectsV2", [("s3:ListBucket", "arn:aws:s3:::b")]),
        (request("POST", "/b/k?uploads"), "CreateMultipartUpload", [("s3:PutObject", "arn:aws:s3:::b/k")]),
        (request("PUT", "/b/k?partNumber=1&uploadId=2"), "UploadPart", [("s3:PutObject", "arn:aws:s3:::b/k")]),
        (
            request("DELETE", "/b/k?uploadId=2"),
            "AbortMultipartUpload",
            [("s3:AbortMultipartUpload", "arn:aws:s3:::b/k")],
        ),
        (
            request("PUT", "/b/k", x_amz_copy_source="/c/x%20y?versionId=7"),
            "CopyObject",
            [("s3:PutObject", "arn:aws:s3:::b/k"), ("s3:GetObjectVersion", "arn:aws:s3:::c/x y")],
        ),
        (
            request(
                "POST", "/b?delete", b"<Delete><Object><Key>x</Key></Object><Object><Key>y</Key></Object></Delete>"
            ),
            "DeleteObjects",
            [("s3:DeleteObject", "arn:aws:s3:::b/x"), ("s3:DeleteObject", "arn:aws:s3:::b/y")],
        ),
        (
            request(
                "POST",
                "/",
                b'{"TransactItems":[{"Put":{"TableName":"t"}},{"Update":{"TableName":"u"}}]}',
                service="dynamodb",
                x_amz_target="DynamoDB_20120810.TransactWriteItems",
            ),
            "TransactWriteItems",
            [
                ("dynamodb:PutItem", "arn:aws:dynamodb:us-east-1:1:table/t"),
                ("dynamodb:UpdateItem", "arn:aws:dynamodb:us-east-1:1:table/u"),
            ],
        ),
        (
            request(
                "POST",
                "/",
                b'{"QueueUrl":"http://x/1/q","Entries":[{},{}]}',
                service="sqs",
                x_amz_target="AmazonSQS.SendMessageBatch",
            ),
            "SendMessageBatch",
            [("sqs:SendMessage", "arn:aws:sqs:us-east-1:1:q")],
        ),
        (
            request(
                "POST",
                "/",
                b'{"SourceArn":"arn:d","DestinationArn":"arn:q"}',
                service="sqs",
                x_amz_target="AmazonSQS.StartMessageMoveTask",
            ),
            "StartMessageMoveTask",
            [
                ("sqs:StartMessageMoveTask", "arn:d"),
                ("sqs:ReceiveMessage", "arn:d"),
                ("sqs:DeleteMessage", "arn:d"),
                ("sqs:GetQueueAttributes", "arn:d"),
                ("sqs:SendMessage", "arn:q"),
            ],
        ),
        (
            request("POST", "/2015-03-31/functions/f/invocations", service="lambda"),
            "Invoke",
            [("lambda:InvokeFunction", "arn:aws:lambda:us-east-1:1:function:f")],
        ),
    ],
)
def test_what_a_call_needs(asked: Request, operation: str, needed: list[tuple[str, str]]) -> None:
    """Operation, action and resource are read from the request as AWS reads them."""
    call = read_call(asked)
    assert call.operation == operation
    assert needs(call, asked, "1", Resolver()) == needed


def test_items_of_batch_calls_are_counted() -> None:
    """What a batch operation is billed for."""
    assert Call("sqs", "SendMessageBatch", "", "", parameters={"Entries": [1, 2]}).items == 2
    assert Call("dynamodb", "TransactWriteItems", "", "", parameters={"TransactItems": [1, 2, 3]}).items == 3
    assert Call("dynamodb", "BatchGetItem", "", "", parameters={"RequestItems": {"t": {"Keys": [1, 2]}}}).items == 2
    assert Call("dynamodb", "BatchWriteItem", "", "", parameters={"RequestItems": {"t": [1, 2]}}).items == 2


def test_a_copy_source_is_read() -> None:
    """With and without a leading slash, with escapes."""
    assert copy_source(request("PUT", "/b/k", x_amz_copy_source="c/x%20y")) == ("c", "x y", False)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ({"source": ["aws.s3"]}, True),
        ({"source": ["aws.ec2"]}, False),
        ({"detail": {"object": {"key": [{"prefix": "drop/"}]}}}, True),
        ({"detail": {"object": {"key": [{"prefix": "x"}, {"prefix": "drop/a/"}]}}}, True),
        ({"detail": {"object": {"size": [{"prefix": "3"}]}}}, False),
        ({"detail": {"bucket": {"name": ["b"]}}, "source": ["x"]}, False),
        ({"resources": ["arn:b", "arn:c"]}, True),
    ],
)
def test_event_patterns(pattern: dict[str, Any], expected: bool) -> None:
    """Every field must match, one filter of each is enough."""
    event = {
        "source": "aws.s3",
        "resources": ["arn:c"],
        "detail": {"bucket": {"name": "b"}, "object": {"key": "drop/a/x.jsonl", "size": 3}},
    }
    assert matches(pattern, event) == expected


def test_an_unknown_event_filter_is_an_error() -> None:
    """Rather than a rule that silently never fires."""
    with pytest.raises(ValueError, match="cidr"):
        matches({"source": [{"cidr": "10.0.0.0/8"}]}, {"source": "aws.s3"})


def test_error_bodies_escape_their_text() -> None:
    """An injected code cannot break the XML."""
    answer = error_response(Call("s3", "GetObject", "", ""), 500, "<x>", "a & b")
    assert b"<Code>&lt;x&gt;</Code><Message>a &amp; b</Message>" in answer.body
