"""Each change in moto is still needed: moto as it is still behaves as its patch says. And no patch changes an answer.

A test here that fails after an upgrade of moto names the patch that can go (its name is in the test's first line).
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import moto.cloudformation.models as cloudformation_models
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core import responses
from moto.dynamodb.comparisons import ConditionExpressionParser
from moto.dynamodb.models import Table
from moto.dynamodb.parsing.ast_nodes import DepthFirstTraverser
from moto.dynamodb.parsing.tokens import ExpressionTokenizer
from moto.sqs.models import Queue
from moto.sqs.responses import SQSResponse
from moto.stepfunctions.parser.asl.antlr.runtime.ASLParser import ASLParser
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils
from moto.stepfunctions.parser.asl.utils import json_path
from moto.stepfunctions.parser.models import stepfunctions_parser_backends

REGION = "us-east-1"
ROLE = "arn:aws:iam::123456789012:role/states"


@pytest.fixture(autouse=True)
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """moto as it is, with the interpreter for state machines."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        yield


def client(service: str) -> Any:
    return boto3.session.Session().client(service, region_name=REGION)  # type: ignore[call-overload]


def eventually(probe: Callable[[], Any]) -> Any:
    """The first true value of `probe`."""
    deadline = time.monotonic() + 600
    while not (value := probe()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)
    return value


class Watched:
    """Keeps (arguments, result) of every call of a function that it replaces."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        self.calls: list[Any] = []
        original = getattr(owner, name)

        def watching(*arguments: Any, **named: Any) -> Any:
            result = original(*arguments, **named)
            self.calls.append((arguments, result))
            return result

        monkeypatch.setattr(owner, name, watching)


# CloudFormation.


def test_templates_are_read_with_a_yaml_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    """read_templates_as_json: a template in JSON still goes through PyYAML's slow loader."""
    loads = Watched(monkeypatch, cloudformation_models.yaml, "load")
    assert cloudformation_models.Stack.parse_template('{"Resources": {}}') == {"Resources": {}}
    assert loads.calls


def test_state_machines_of_a_template_do_not_run() -> None:
    """create_state_machines_that_run: the backend that executes does not know a state machine of a stack."""
    definition = json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}})
    machine = {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {"StateMachineName": "it", "RoleArn": ROLE, "DefinitionString": definition},
    }
    client("cloudformation").create_stack(StackName="it", TemplateBody=json.dumps({"Resources": {"Machine": machine}}))
    assert stepfunctions_parser_backends["123456789012"][REGION].state_machines == []


# Step Functions.


def waiting_execution(seconds: int = 60) -> tuple[str, str]:
    """(ARN, task token) of an execution that waits for its token."""
    queue = client("sqs").create_queue(QueueName="tokens")["QueueUrl"]
    ask = {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "Parameters": {"QueueUrl": queue, "MessageBody.$": "$$.Task.Token"},
        "TimeoutSeconds": seconds,
        "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": None, "Next": "Rest"}],
        "Next": "Rest",
    }
    rest = {"Type": "Wait", "Seconds": 60, "End": True}
    states = client("stepfunctions")
    machine = states.create_state_machine(
        name="it",
        roleArn=ROLE,
        definition=json.dumps({"StartAt": "Ask", "States": {"Ask": ask, "Rest": rest}}),
    )["stateMachineArn"]
    arn = states.start_execution(stateMachineArn=machine, input="{}")["executionArn"]
    sent = eventually(lambda: client("sqs").receive_message(QueueUrl=queue).get("Messages"))
    return arn, sent[0]["Body"]


def entered(arn: str, state: str) -> bool:
    events = client("stepfunctions").get_execution_history(executionArn=arn)["events"]
    return any(event.get("stateEnteredEventDetails", {}).get("name") == state for event in events)


def test_tasks_are_called_with_made_up_credentials() -> None:
    """call_functions_as_the_state_machine: the access key is "ak", whatever the role."""
    made = lambda_eval_utils.boto_client_for(REGION, "lambda", state_credentials=None)
    assert made._request_signer._credentials.access_key == "ak"


def test_a_stopped_execution_that_waits_stays_running() -> None:
    """stop_executions_at_once: after StopExecution, one that waits for a token is still RUNNING."""
    arn, _ = waiting_execution()
    client("stepfunctions").stop_execution(executionArn=arn)
    assert client("stepfunctions").describe_execution(executionArn=arn)["status"] == "RUNNING"


def test_a_token_is_accepted_after_its_task_timed_out() -> None:
    """accept_a_task_token_once: a success is accepted although the task has ended long ago."""
    arn, token = waiting_execution(seconds=1)
    eventually(lambda: entered(arn, "Rest"))
    client("stepfunctions").send_task_success(taskToken=token, output="{}")


def test_a_token_of_an_ended_execution_is_not_known() -> None:
    """accept_a_task_token_once: the answer is InvalidToken instead of TaskTimedOut."""
    arn, token = waiting_execution(seconds=1)
    eventually(lambda: entered(arn, "Rest"))
    client("stepfunctions").stop_execution(executionArn=arn)
    eventually(lambda: client("stepfunctions").describe_execution(executionArn=arn)["status"] != "RUNNING")
    with pytest.raises(ClientError, match="InvalidToken"):
        client("stepfunctions").send_task_success(taskToken=token, output="{}")


def test_a_definition_is_parsed_for_every_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    """parse_definitions_once: of the same definition, two executions parse it all, and its paths, twice more."""
    definitions = Watched(monkeypatch, ASLParser, "state_machine")
    paths = Watched(monkeypatch, json_path, "parse")
    seconds = {"Type": "Wait", "SecondsPath": "$.seconds", "End": True}
    states = client("stepfunctions")
    machine = states.create_state_machine(
        name="it", roleArn=ROLE, definition=json.dumps({"StartAt": "Wait", "States": {"Wait": seconds}})
    )["stateMachineArn"]
    parsed = len(definitions.calls)
    for name in ("first", "second"):
        arn = states.start_execution(stateMachineArn=machine, name=name, input='{"seconds": 0}')["executionArn"]
        eventually(lambda arn=arn: states.describe_execution(executionArn=arn)["status"] == "SUCCEEDED")  # type: ignore[misc]
    assert len(definitions.calls) == parsed + 2
    assert len([each for each in paths.calls if each[0] == ("$.seconds",)]) == 2


_PARSE_TWICE = """
import json
from moto.stepfunctions.parser.asl.antlr.runtime.ASLParser import ASLParser
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser, ASLParserException
from local.simulated_aws import patches

parsed = []
parse_all = ASLParser.state_machine
ASLParser.state_machine = lambda self: parsed.append(self) or parse_all(self)
patches.apply()
definition = json.dumps({"StartAt": "End", "States": {"End": {"Type": "Succeed"}}})
first, second = (AmazonStateLanguageParser.parse(definition)[0] for _ in range(2))
assert first is not second and first.start_at.start_at_name == second.start_at.start_at_name
for wrong in range(2):
    try:
        AmazonStateLanguageParser.parse('{"States": ')
    except ASLParserException as error:
        assert error.errors
    else:
        raise AssertionError("taken")
print(len(parsed))
"""


def test_a_definition_is_parsed_once_for_programs_of_their_own() -> None:
    """parse_definitions_once: two executions have a program each, from one parse; a wrong definition is refused each
    time."""
    done = subprocess.run([sys.executable, "-c", _PARSE_TWICE], stdout=subprocess.PIPE, check=True)
    assert int(done.stdout) == 3


# DynamoDB.


@pytest.fixture
def table() -> Any:
    """A table with five rows in each of two partitions."""
    dynamodb = client("dynamodb")
    dynamodb.create_table(
        TableName="t",
        KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "s", "KeyType": "RANGE"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in "ps"],
        BillingMode="PAY_PER_REQUEST",
    )
    for partition in "ab":
        for number in range(5):
            dynamodb.put_item(TableName="t", Item={"p": {"S": partition}, "s": {"S": str(number)}})
    return dynamodb


def test_rows_are_written_by_the_general_serializer(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """write_rows_without_the_serializer: GetItem still takes the long way, which looks up every attribute."""
    from moto.core import serialize

    picked = Watched(monkeypatch, serialize.AttributePicker, "__call__")
    table.get_item(TableName="t", Key={"p": {"S": "a"}, "s": {"S": "0"}})
    assert picked.calls


def test_a_query_reads_all_partitions(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """query_one_partition: a query of one partition still goes through the rows of the table."""
    reads = Watched(monkeypatch, Table, "all_items")
    found = table.query(TableName="t", KeyConditionExpression="p = :p", ExpressionAttributeValues={":p": {"S": "a"}})
    assert found["Count"] == 5
    assert any(len(rows) == 10 for _, rows in reads.calls)


def test_a_transaction_copies_its_table(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """undo_transactions_by_row: a transaction of one row still copies the whole table."""
    copies = Watched(monkeypatch, copy, "deepcopy")
    put = {"Put": {"TableName": "t", "Item": {"p": {"S": "c"}, "s": {"S": "0"}}}}
    table.transact_write_items(TransactItems=[put])
    assert any(isinstance(copied, Table) and copied is not original[0] for original, copied in copies.calls)


UPDATE = {
    "TableName": "t",
    "Key": {"p": {"S": "a"}, "s": {"S": "0"}},
    "UpdateExpression": "SET v = :v, w = :v",
    "ExpressionAttributeValues": {":v": {"N": "1"}},
}


def test_a_text_is_parsed_for_every_update(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """parse_update_expressions_once: of the same text, two updates parse it twice."""
    parsed = Watched(monkeypatch, ExpressionTokenizer, "make_list")
    for _ in range(2):
        table.update_item(**UPDATE)
    assert len(parsed.calls) >= 2


def test_a_condition_is_split_for_every_update(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """split_conditions_once: each of two updates splits the same condition twice, of six words and spaces."""
    words = Watched(monkeypatch, ConditionExpressionParser, "_lex_one_node")
    for _ in range(2):
        table.update_item(**UPDATE, ConditionExpression="v = :v OR attribute_not_exists(v)")
    assert len(words.calls) >= 2 * 2 * 6


def test_a_walk_asks_at_every_node(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """walk_trees_quickly: an update of two attributes makes tables for hundreds of nodes."""
    asked = Watched(monkeypatch, DepthFirstTraverser, "nodes_to_be_processed")
    table.update_item(**UPDATE)
    assert len(asked.calls) > 100


# All services.


def test_a_request_lists_the_methods_of_its_service(table: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """list_methods_once: two requests list the same class twice."""
    listed = Watched(monkeypatch, responses, "method_names_from_class")
    for _ in range(2):
        table.update_item(**UPDATE)
    assert len(listed.calls) == 2


# SQS.


def test_a_send_counts_the_messages_of_its_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """count_messages_only_when_asked: a send still counts what is in the queue."""
    queue = client("sqs").create_queue(QueueName="q")["QueueUrl"]
    counted: list[Queue] = []
    monkeypatch.setattr(Queue, "approximate_number_of_messages", property(lambda queue: counted.append(queue) or 0))
    client("sqs").send_message(QueueUrl=queue, MessageBody="x")
    assert counted


def test_dead_letters_are_not_moved() -> None:
    """move_dead_letters: moto has no StartMessageMoveTask."""
    assert not hasattr(SQSResponse, "start_message_move_task")


# Answers.

_COMPARE = """
import json
import re
from local.http_server import Request
from local.simulated_aws import patches
from local.simulated_aws.gate import MotoGate

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

def row(text):
    names = {"#s": "status", "#k": "s"}
    values = {":n": {"N": "2"}, ":m": {"M": {"x": {"L": [{"N": "1"}, {"N": "5"}]}}}, ":l": {"L": [{"S": "y"}]},
              ":ss": {"SS": ["x", "y"]}, ":s": {"SS": ["x"]}}
    given = {
        "ExpressionAttributeNames": {name: names[name] for name in re.findall("#[a-z]+", text)},
        "ExpressionAttributeValues": {name: values[name] for name in re.findall(":[a-z]+", text) if name in values},
    }
    key = {"p": {"S": "a"}, "s": {"S": "00"}}
    return {"TableName": "u", "Key": key, "UpdateExpression": text} | {k: v for k, v in given.items() if v}

GOOD = [
    "SET #s = :n, m = :m, l = :l, ss = :ss",
    "SET v = v + :n, d = :n - v, l = list_append(l, :l), w = if_not_exists(w, :n), u = if_not_exists(v, :n)",
    "SET m.x[0] = :n, m.y = :m, l[7] = :n REMOVE m.x[1], #s ADD v :n DELETE ss :s",
    "REMOVE l[0], l[1], l[2], nothing",
    "ADD a :n, ss :s",
]
BAD = [
    "SET v = :n SET w = :n", "ADD v :n ADD w :n", "SET v = :n, v = :n", "SET m = :m, m.x = :n",
    "SET #k = :n", "SET p = :n", "SET v = :nobody", "SET v = nobody", "SET size = :n", "SET nobody.x = :n",
    "SET v = v + :l", "SET v == :n", "ADD l :n", "",
]
CONDITIONS = [
    "v = :n AND p = :n", "v > :n OR attribute_exists(p)", "(v IN (:n, :n)) OR NOT attribute_exists(nobody)",
    "size(p) < :n", "nobody = :n",
]
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
    *[("UpdateItem", row(text) | {"ReturnValues": "ALL_NEW"}) for _ in range(2) for text in GOOD],
    *[("UpdateItem", row(text)) for _ in range(2) for text in BAD],
    *[("UpdateItem", row("SET q = :n") | {"ConditionExpression": text}) for _ in range(2) for text in CONDITIONS],
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

motos = run()
patches.apply()
print(json.dumps([run(), motos]))
"""


def test_dynamodb_answers_as_moto_does() -> None:
    """Every type of attribute through every operation that takes the short way, pages of a partition, updates right and
    wrong, conditions that hold or do not, each twice, transactions that succeed and that are undone: each equals the
    answer of moto as it is."""
    done = subprocess.run([sys.executable, "-c", _COMPARE], stdout=subprocess.PIPE, check=True)
    ours, motos = json.loads(done.stdout)
    assert [status for status, _, _ in ours].count(400) == 2 + 2 * 14 + 2 * 2
    assert len(ours) == 31 + 2 * (5 + 14 + 5) + 2
    assert ours == motos
