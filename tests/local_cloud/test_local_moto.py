"""What the local cloud changes in moto changes no answer; what it adds to permissions and events is AWS's rule."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from local.calls import Call, copy_source, read_call
from local.events import matches
from local.faults import error_response
from local.http_server import Request
from local.permissions import Principal, Resolver, denied, needs, read_statements


@pytest.fixture(autouse=True)
def aws() -> None:
    """These tests want no AWS."""


_COMPARE = """
import json
from local import moto_dynamodb, moto_patches
from local.http_server import Request
from local.moto_gate import MotoGate
from moto.dynamodb.models import DynamoDBBackend, Table
from moto.dynamodb.responses import DynamoResult

moto_patches.apply()
gate = MotoGate()
CREDENTIAL = "AWS4-HMAC-SHA256 Credential=ASIAAAAAAAAAAAAAAAAA/20261120/us-east-1/dynamodb/aws4_request, Signature=b"
ROW = {
    "pk": {"S": "a"}, "b": {"B": "AAH/"}, "bs": {"BS": ["AAA=", "AAH/"]}, "ss": {"SS": ["x", "y"]},
    "ns": {"NS": ["1", "2"]}, "n": {"N": "1.5"}, "nothing": {"NULL": True}, "no": {"BOOL": False}, "m": {"M": {}},
    "l": {"L": [{"S": "\\u00e9\\u2028"}, {"B": "AAH/"}, {"M": {"x": {"B": "AAH/"}, "e": {"L": []}}}]},
}
KEY = {"TableName": "t", "Key": {"pk": {"S": "a"}}}
SET = KEY | {"UpdateExpression": "SET q=:q", "ExpressionAttributeValues": {":q": {"B": "AAH/"}}}
FIND = {"TableName": "t", "KeyConditionExpression": "pk=:p"}
PAGE = {"TableName": "u", "KeyConditionExpression": "p=:p", "ExpressionAttributeValues": {":p": {"S": "b"}}}

def write(p, s):
    return {"Update": {"TableName": "u", "Key": {"p": {"S": p}, "s": {"S": s}}, "UpdateExpression": "ADD v :v",
                       "ExpressionAttributeValues": {":v": {"N": "1"}}}}

def delete(p, s):
    return {"Delete": {"TableName": "u", "Key": {"p": {"S": p}, "s": {"S": s}}}}

def insert(p, s):
    return {"Put": {"TableName": "u", "Item": {"p": {"S": p}, "s": {"S": s}},
                    "ConditionExpression": "attribute_not_exists(p)"}}

CALLS = [
    ("PutItem", {"TableName": "t", "Item": ROW, "ReturnValues": "ALL_OLD"}),
    ("PutItem", {"TableName": "t", "Item": ROW, "ReturnValues": "ALL_OLD"}),
    ("GetItem", KEY),
    ("GetItem", KEY | {"ReturnConsumedCapacity": "TOTAL"}),
    ("GetItem", KEY | {"ProjectionExpression": "b,l"}),
    ("GetItem", {"TableName": "t", "Key": {"pk": {"S": "nobody"}}}),
    ("UpdateItem", SET | {"ReturnValues": "ALL_NEW"}),
    ("UpdateItem", SET),
    ("Query", FIND | {"ExpressionAttributeValues": {":p": {"S": "a"}}}),
    ("Query", FIND | {"ExpressionAttributeValues": {":p": {"S": "nobody"}}}),
    ("Query", FIND | {"ExpressionAttributeValues": {":p": {"S": "a"}}, "Select": "COUNT"}),
    ("DeleteItem", KEY | {"ReturnValues": "ALL_OLD"}),
    *[("PutItem", {"TableName": "u", "Item": {"p": {"S": p}, "s": {"S": f"{s:02}"}, "v": {"N": "1"}}})
      for p in "ab" for s in range(5)],
    ("Query", PAGE),
    ("Query", PAGE | {"ScanIndexForward": False, "Limit": 2}),
    ("Query", PAGE | {"ExclusiveStartKey": {"p": {"S": "b"}, "s": {"S": "02"}}}),
    ("Query", PAGE | {"KeyConditionExpression": "p=:p AND begins_with(s,:s)",
                      "ExpressionAttributeValues": {":p": {"S": "b"}, ":s": {"S": "03"}}}),
    ("Scan", {"TableName": "u"}),
    ("TransactWriteItems", {"TransactItems": [write("a", "00"), delete("a", "01"), insert("a", "new")]}),
    ("Scan", {"TableName": "u"}),
    ("TransactWriteItems", {"TransactItems": [
        write("b", "00"), delete("b", "01"), insert("b", "new"), insert("a", "new"),
    ]}),
    ("TransactWriteItems", {"TransactItems": [write("b", "00"), write("b", "00")]}),
    ("Scan", {"TableName": "u"}),
]

def call(operation, body):
    headers = [("host", "x"), ("authorization", CREDENTIAL), ("x-amz-target", "DynamoDB_20120810." + operation)]
    headers.append(("content-type", "application/x-amz-json-1.0"))
    answer = gate.call(Request("POST", "/", headers, json.dumps(body).encode(), "x"), "dynamodb")
    return answer.status, json.loads(answer.body), sorted(name.lower() for name, _ in answer.headers)

def run():
    for name, keys in {"t": ["pk"], "u": ["p", "s"]}.items():
        call("DeleteTable", {"TableName": name})
        call("CreateTable", {
            "TableName": name,
            "KeySchema": [{"AttributeName": k, "KeyType": t} for k, t in zip(keys, ["HASH", "RANGE"])],
            "AttributeDefinitions": [{"AttributeName": k, "AttributeType": "S"} for k in keys],
            "BillingMode": "PAY_PER_REQUEST",
        })
    return [call(*each) for each in CALLS]

ours = run()
DynamoResult.execute_result = moto_dynamodb._execute_any
Table.all_items, Table.query = moto_dynamodb._all_items, moto_dynamodb._query
del Table.__deepcopy__
DynamoDBBackend.transact_write_items = moto_dynamodb._transact_unguarded
print(json.dumps([ours, run()]))
"""


def test_dynamodb_answers_as_moto_does() -> None:
    """Every type of attribute through every operation that takes the short way, pages of a partition, transactions that
    succeed and that are undone: each equals the answer of moto as it is."""
    done = subprocess.run([sys.executable, "-c", _COMPARE], stdout=subprocess.PIPE, check=True)
    ours, motos = json.loads(done.stdout)
    assert [status for status, _, _ in ours].count(400) == 2
    assert len(ours) == 32
    assert ours == motos


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
        ([{"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}], True),
        ([{"Effect": "Allow", "NotAction": "dynamodb:*", "Resource": "*"}], False),
        ([{"Effect": "Allow", "Action": "*", "NotResource": TABLE}], False),
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
    """Wildcards, negations, an explicit deny, conditions."""
    missing = denied(principal(*statements), [("dynamodb:GetItem", TABLE)], {"aws:securetransport": "true"})
    assert (missing is None) == expected


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
        ({"detail": {"object": {"key": [{"prefix": "x"}, {"suffix": ".jsonl"}]}}}, True),
        ({"detail": {"object": {"key": [{"wildcard": "drop/*/*.json"}]}}}, False),
        ({"detail": {"object": {"key": [{"anything-but": {"suffix": ".jsonl"}}]}}}, False),
        ({"detail": {"object": {"size": [{"exists": True}], "etag": [{"exists": False}]}}}, True),
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
