"""The local cloud does what AWS would do, with functions and stacks that are made for these tests."""

from __future__ import annotations

import concurrent.futures
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from local import cloud as cloud_module
from local.cloud import LocalCloud, LocalCloudError
from local.deployment.templates import ROOT
from local.options import Options
from tests.customer import NO_TLS
from tests.local_cloud.probe_stacks import stacks

PROBES = Path(__file__).with_name("probes")
NO_PROVIDER = "http://127.0.0.1:9/v1"


@pytest.fixture(autouse=True)
def aws() -> None:
    """The local cloud has its own moto: these tests need none in their process."""


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    templates = tmp_path_factory.mktemp("probes") / "stacks.json"
    templates.write_text(json.dumps(stacks()))
    with LocalCloud(
        templates=templates,
        functions_path=PROBES,
        provider_url=NO_PROVIDER,
        account=None,
        processes=3,
        environment={"EXTRA": "yes"},
    ) as cloud:
        yield cloud


@pytest.fixture(autouse=True)
def undisturbed(local: LocalCloud) -> Iterator[None]:
    yield
    local.clear_faults()
    local.deliver(duplicate=False, visibility_seconds=None, redelivery_seconds=None, noisy_messages=30)


def eventually(probe: Callable[[], Any], seconds: float = 600.0) -> Any:
    """The first true value of `probe`."""
    deadline = time.monotonic() + seconds
    while not (value := probe()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)
    return value


def raw_invoke(local: LocalCloud, function: str, event: Any, **more: Any) -> tuple[str | None, Any]:
    """(function error, payload)"""
    answer = local.client("lambda").invoke(FunctionName=local.functions[function], Payload=json.dumps(event), **more)
    body = answer["Payload"].read()
    return answer.get("FunctionError"), json.loads(body) if body else None


def counted(local: LocalCloud, pk: str, sk: str) -> dict[str, Any]:
    row = local.client("dynamodb").get_item(
        TableName=local.table_name, Key={"pk": {"S": pk}, "sk": {"S": sk}}, ConsistentRead=True
    )
    return {name: next(iter(value.values())) for name, value in row.get("Item", {}).items()}


def send(local: LocalCloud, *bodies: dict[str, Any], group: str | None = None) -> None:
    sqs = local.client("sqs")
    url = sqs.get_queue_url(QueueName="probe")["QueueUrl"]
    grouped = {} if group is None else {"MessageGroupId": group}
    sqs.send_message_batch(
        QueueUrl=url,
        Entries=[{"Id": str(n), "MessageBody": json.dumps(body), **grouped} for n, body in enumerate(bodies)],
    )


# Functions.


def test_a_function_sees_what_lambda_would_give_it(local: LocalCloud) -> None:
    """Name, ARN, remaining time and the template's variables, references resolved across stacks."""
    seen = local.invoke("echo", {"x": 1})
    assert seen["event"] == {"x": 1}
    assert seen["name"] == "probe-echo"
    assert seen["arn"] == "arn:aws:lambda:us-east-1:123456789012:function:probe-echo"
    assert 0 < seen["left"] <= 20_000
    assert seen["environment"] == {"GREETING": "hello", "TABLE_NAME": local.table_name, "EXTRA": "yes"}


def test_a_warm_process_is_used_again_and_frozen_in_between(local: LocalCloud) -> None:
    """Two invokes meet one process, and between them its process state is T (stopped)."""
    first = local.invoke("narrow", {})
    stat = Path(f"/proc/{first['pid']}/stat")
    eventually(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")
    second = local.invoke("narrow", {})
    assert (second["pid"], second["count"]) == (first["pid"], first["count"] + 1)


def test_concurrent_invokes_scale_out(local: LocalCloud) -> None:
    """Invokes that overlap run in processes of their own, and one more than the cap waits instead of failing."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(local.invoke, "echo", {"do": "sleep", "seconds": 2}) for _ in range(4)]
        assert len({each.result()["pid"] for each in asked}) == 3


def test_reserved_concurrency_throttles(local: LocalCloud) -> None:
    """A second invoke of a function that may run once is refused with 429, as Lambda does it; who asks again until it
    is free gets through."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(local.invoke, "narrow", {"do": "sleep", "seconds": 4})
        eventually(lambda: any(each["busy"] for each in local.processes("narrow")))
        with pytest.raises(ClientError) as caught:
            local.client("lambda", retries={"total_max_attempts": 1}).invoke(FunctionName="probe-narrow")
        assert local.invoke("narrow", {})["pid"]
        running.result()
    assert caught.value.response["Error"]["Code"] == "TooManyRequestsException"


def test_replaced_code_is_for_later_invocations(local: LocalCloud, tmp_path: Path) -> None:
    """As after UpdateFunctionCode: what runs ends with its old code, what comes next has the new one; and back."""
    other = Path(shutil.copytree(PROBES, tmp_path / "other"))
    echo = other / "probe" / "echo.py"
    echo.write_text(echo.read_text().replace('"name": context.function_name', '"name": "other code"'))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(local.invoke, "echo", {"do": "sleep", "seconds": 4})
        eventually(lambda: any(each["busy"] for each in local.processes("echo")))
        local.replace_code(other)
        assert local.invoke("echo", {})["name"] == "other code"
        assert running.result()["name"] == "probe-echo"
    assert local.invoke("echo", {})["name"] == "other code"
    local.replace_code()
    assert local.invoke("echo", {})["name"] == "probe-echo"


def test_an_exception_is_reported(local: LocalCloud) -> None:
    """FunctionError with the exception's type, message and trace."""
    error, payload = raw_invoke(local, "echo", {"do": "raise"})
    assert error == "Unhandled"
    assert (payload["errorType"], payload["errorMessage"]) == ("ValueError", "as asked")
    assert payload["stackTrace"]


def test_a_process_that_dies_is_reported_and_replaced(local: LocalCloud) -> None:
    """Runtime.ExitError, and the next invoke gets a new process."""
    error, payload = raw_invoke(local, "echo", {"do": "exit"})
    assert (error, payload["errorType"]) == ("Unhandled", "Runtime.ExitError")
    assert payload["errorMessage"].endswith("exit status 3")
    assert local.invoke("echo", {})["event"] == {}


def test_a_function_that_outlives_its_timeout_is_killed(local: LocalCloud) -> None:
    """Sandbox.Timedout after the template's timeout; the process is gone, and its log says so."""
    before = local.invoke("brief", {})["pid"]
    error, payload = raw_invoke(local, "brief", {"do": "sleep", "seconds": 30})
    assert (error, payload["errorType"]) == ("Unhandled", "Sandbox.Timedout")
    assert "Task timed out after 1.00 seconds" in payload["errorMessage"]
    eventually(lambda: not Path(f"/proc/{before}").exists())
    assert "Task timed out after 1.00 seconds" in local.log("brief")
    assert local.meter()["functions"]["brief"]["timeouts"] == 1


def test_a_killed_process_is_reported(local: LocalCloud) -> None:
    """`kill` ends a busy process with SIGKILL; the invoke in it fails as a crash does."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(raw_invoke, local, "echo", {"do": "sleep", "seconds": 30})
        eventually(lambda: any(each["busy"] for each in local.processes("echo")))
        assert local.kill("echo") == 1
        error, payload = running.result()
    assert (error, payload["errorType"]) == ("Unhandled", "Runtime.ExitError")
    assert payload["errorMessage"].endswith("signal: killed")


def test_a_module_that_does_not_import_is_reported(local: LocalCloud) -> None:
    """Runtime.ImportModuleError, not a hang."""
    error, payload = raw_invoke(local, "missing", {})
    assert (error, payload["errorType"]) == ("Unhandled", "Runtime.ImportModuleError")


def test_payload_limits(local: LocalCloud) -> None:
    """6 MB in (413), 6 MB out (a function error), 1 MB asynchronous."""
    client = local.client("lambda", retries={"total_max_attempts": 1})
    with pytest.raises(ClientError) as caught:
        client.invoke(FunctionName="probe-echo", Payload=json.dumps({"x": "x" * 6_300_000}))
    assert caught.value.response["Error"]["Code"] == "RequestTooLargeException"
    with pytest.raises(ClientError):
        client.invoke(FunctionName="probe-echo", InvocationType="Event", Payload=json.dumps({"x": "x" * 1_100_000}))
    error, payload = raw_invoke(local, "echo", {"do": "large", "bytes": 6_300_000})
    assert (error, payload["errorType"]) == ("Unhandled", "Function.ResponseSizeTooLarge")


def test_an_asynchronous_invoke_is_tried_three_times(local: LocalCloud) -> None:
    """InvocationType=Event answers 202 at once, and two retries follow a failure."""
    answer = local.client("lambda").invoke(
        FunctionName="probe-step", InvocationType="Event", Payload=json.dumps({"name": "async", "fail": 2})
    )
    assert answer["StatusCode"] == 202
    eventually(lambda: counted(local, "step", "async").get("tries") == "3")


def test_peak_memory_is_measured(local: LocalCloud) -> None:
    """The meter's peak of a function grows by what it allocates."""
    local.invoke("echo", {"do": "fill", "bytes": 150_000_000})
    assert local.meter()["functions"]["echo"]["peak_rss_bytes"] > 150_000_000


def test_a_process_that_outgrows_its_memory_is_killed(local: LocalCloud) -> None:
    """In the middle of its work, as a crash: Runtime.ExitError, "signal: killed", and the next invoke gets a new
    process. What fits into the function's memory goes through."""
    fits = local.invoke("filler", {"do": "fill", "bytes": 40_000_000})
    error, payload = raw_invoke(local, "filler", {"do": "fill", "bytes": 150_000_000, "seconds": 15})
    assert (error, payload["errorType"]) == ("Unhandled", "Runtime.ExitError")
    assert payload["errorMessage"].endswith("Runtime exited with error: signal: killed")
    assert local.invoke("filler", {"do": "fill", "bytes": 40_000_000})["pid"] != fits["pid"]
    assert "Memory Size: 128 MB" in local.log("filler")


def test_memory_that_was_held_for_a_moment_counts(local: LocalCloud) -> None:
    """A process that let go of its memory before anybody looked fails all the same, as it would in AWS."""
    error, payload = raw_invoke(local, "filler", {"do": "fill", "bytes": 150_000_000, "let_go": True})
    assert (error, payload["errorType"]) == ("Unhandled", "Runtime.ExitError")
    assert local.invoke("filler", {})["event"] == {}


def test_an_unknown_function_is_not_found(local: LocalCloud) -> None:
    """ResourceNotFoundException."""
    with pytest.raises(ClientError) as caught:
        local.client("lambda").invoke(FunctionName="nobody")
    assert caught.value.response["Error"]["Code"] == "ResourceNotFoundException"


def test_what_a_function_prints_is_in_its_log(local: LocalCloud) -> None:
    """Its standard output, and a REPORT line per invocation."""
    local.invoke("echo", {"do": "print", "text": "lorem ipsum"})
    assert "lorem ipsum" in local.log("echo")
    assert "REPORT RequestId:" in local.log("echo")


# Permissions.


def storage(local: LocalCloud, service: str, method: str, **arguments: Any) -> dict[str, Any]:
    answer: dict[str, Any] = local.invoke("storage", {"service": service, "method": method, "arguments": arguments})
    return answer


def test_a_role_may_do_what_its_policy_says_and_no_more(local: LocalCloud) -> None:
    """Actions and resources both count, for DynamoDB, S3 and a service that no policy names; every denial is listed."""
    key = {"pk": {"S": "p"}, "sk": {"S": "s"}}
    assert storage(local, "dynamodb", "put_item", TableName="$TABLE_NAME", Item=key) == {"ok": []}
    assert storage(local, "dynamodb", "get_item", TableName="$TABLE_NAME", Key=key) == {"ok": ["Item"]}
    denied = storage(local, "dynamodb", "delete_item", TableName="$TABLE_NAME", Key=key)
    assert denied == {"error": "AccessDeniedException", "status": 400}
    assert storage(local, "dynamodb", "get_item", TableName="another", Key=key)["error"] == "AccessDeniedException"
    assert "ETag" in storage(local, "s3", "put_object", Bucket="$DATA_BUCKET", Key="mine/a", Body="a")["ok"]
    assert storage(local, "s3", "put_object", Bucket="$DATA_BUCKET", Key="yours/a", Body="a")["error"] == "AccessDenied"
    assert storage(local, "sqs", "list_queues")["error"] == "AccessDenied"
    listed = {(each["function"], each["action"]) for each in local.denials()}
    assert {("storage", "dynamodb:DeleteItem"), ("storage", "s3:PutObject"), ("storage", "sqs:ListQueues")} <= listed


def test_an_unknown_access_key_gets_nothing(local: LocalCloud) -> None:
    """S3 and DynamoDB both refuse it."""
    local.access_key_id, own = "AKIA0000000000000000", local.access_key_id
    try:
        with pytest.raises(ClientError, match="InvalidAccessKeyId"):
            local.client("s3").list_buckets()
        with pytest.raises(ClientError, match="UnrecognizedClientException"):
            local.client("dynamodb").list_tables()
    finally:
        local.access_key_id = own


def test_a_presigned_address_works_as_it_was_signed(local: LocalCloud) -> None:
    """It serves its object to anybody, until it expires, and nothing else when it is tampered with, or when it comes
    with a second authentication, which S3 refuses."""
    s3 = local.client("s3", signature_version="s3v4")
    s3.put_object(Bucket=local.data_bucket, Key="a b/ü.txt", Body=b"hello")
    arguments = {
        "Bucket": local.data_bucket,
        "Key": "a b/ü.txt",
        "ResponseContentDisposition": 'attachment; filename="x y.txt"',
    }
    url = s3.generate_presigned_url("get_object", Params=arguments, ExpiresIn=60)
    answer = httpx.get(url)
    assert (answer.status_code, answer.content) == (200, b"hello")
    assert answer.headers["content-disposition"] == 'attachment; filename="x y.txt"'
    twice = httpx.get(url, headers={"Authorization": "Bearer by_live_key"})
    assert twice.status_code == 400 and "<Code>InvalidArgument</Code>" in twice.text
    assert httpx.get(url.replace("a%20b", "a%20c")).status_code == 403
    expired = s3.generate_presigned_url("get_object", Params=arguments, ExpiresIn=-5)
    assert httpx.get(expired).status_code == 403
    put = s3.generate_presigned_url("put_object", Params={"Bucket": local.data_bucket, "Key": "up"}, ExpiresIn=60)
    assert httpx.put(put, content=b"sent").status_code == 200
    assert s3.get_object(Bucket=local.data_bucket, Key="up")["Body"].read() == b"sent"


# S3 and events.


def test_ranged_reads_match_the_object(local: LocalCloud) -> None:
    """Every form of Range, of a small object and of one that moto keeps on disk."""
    s3 = local.client("s3")
    for size in (10, 9_000_000):
        data = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        s3.put_object(Bucket=local.data_bucket, Key="ranged", Body=data)
        for spec, expected in {
            "bytes=0-3": data[:4],
            "bytes=5-": data[5:],
            "bytes=-3": data[-3:],
            f"bytes=2-{size * 2}": data[2:],
        }.items():
            answer = s3.get_object(Bucket=local.data_bucket, Key="ranged", Range=spec)
            assert answer["Body"].read() == expected
            assert answer["ContentRange"].endswith(f"/{size}")
        with pytest.raises(ClientError, match="InvalidRange"):
            s3.get_object(Bucket=local.data_bucket, Key="ranged", Range=f"bytes={size}-")
    with pytest.raises(ClientError, match="NoSuchKey"):
        s3.get_object(Bucket=local.data_bucket, Key="not there", Range="bytes=0-3")


def test_an_object_in_the_drop_bucket_becomes_a_message(local: LocalCloud) -> None:
    """S3 sends EventBridge an event, the rule's pattern filters by object key, the target queue gets it with the
    version."""
    s3, sqs = local.client("s3"), local.client("sqs")
    s3.put_object(Bucket=local.drop_bucket, Key="elsewhere/x.jsonl", Body=b"1")
    put = s3.put_object(Bucket=local.drop_bucket, Key="drop/a b/ü.jsonl", Body=b"12345")
    url = sqs.get_queue_url(QueueName="probe-objects")["QueueUrl"]
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=5)["Messages"]
    assert len(messages) == 1
    event = json.loads(messages[0]["Body"])
    assert (event["source"], event["detail-type"], event["region"]) == ("aws.s3", "Object Created", "us-east-1")
    assert event["detail"]["bucket"] == {"name": local.drop_bucket}
    created = event["detail"]["object"]
    assert (created["key"], created["size"], created["version-id"]) == ("drop/a b/ü.jsonl", 5, put["VersionId"])
    assert created["etag"] == put["ETag"].strip('"')
    assert event["detail"]["reason"] == "PutObject"


def test_a_schedule_fires_on_demand(local: LocalCloud) -> None:
    """The rule's function runs with the rule's input."""
    assert local.fire("step") == 1
    eventually(lambda: counted(local, "step", "clock").get("tries") == "1")
    assert local.fire("nothing") == 0


# Queues.


def test_records_come_in_batches_and_are_deleted(local: LocalCloud) -> None:
    """Five messages, batch size two: each is delivered once and the queue ends empty."""
    send(local, *({"name": f"plain-{n}"} for n in range(5)))
    eventually(lambda: local.queue_depths()["probe"] == 0)
    rows = [counted(local, "records", f"plain-{n}") for n in range(5)]
    assert [row["deliveries"] for row in rows] == ["1"] * 5
    assert max(int(row["largest_batch"]) for row in rows) == 2


def test_a_reported_failure_comes_back_alone(local: LocalCloud) -> None:
    """Partial batch response: the failed record is delivered again, the other is not."""
    local.deliver(redelivery_seconds=0.2)
    send(local, {"name": "again", "do": "report", "times": 1}, {"name": "beside"})
    eventually(lambda: counted(local, "records", "again").get("deliveries") == "2")
    eventually(lambda: local.queue_depths()["probe"] == 0)
    assert counted(local, "records", "beside")["deliveries"] == "1"


def test_a_record_that_always_fails_ends_in_the_dead_letter_queue(local: LocalCloud) -> None:
    """After maxReceiveCount deliveries, and not before."""
    local.deliver(redelivery_seconds=0)
    before = local.queue_depths()["probe-dead-letters"]
    send(local, {"name": "poison", "do": "raise"})
    eventually(lambda: local.queue_depths()["probe-dead-letters"] == before + 1)
    assert counted(local, "records", "poison")["deliveries"] == "3"
    assert local.queue_depths()["probe"] == 0


def test_a_visibility_timeout_that_ends_early_delivers_again(local: LocalCloud) -> None:
    """The message is delivered to a second process while the first still works on it."""
    local.deliver(visibility_seconds=0.5)
    send(local, {"name": "slow", "do": "sleep", "seconds": 3})
    eventually(lambda: int(counted(local, "records", "slow").get("deliveries", 0)) >= 2)
    local.deliver(visibility_seconds=None)
    eventually(lambda: local.queue_depths()["probe"] == 0)


def test_every_message_can_be_delivered_twice(local: LocalCloud) -> None:
    """The switch for duplicates."""
    local.deliver(duplicate=True)
    send(local, {"name": "double"})
    eventually(lambda: counted(local, "records", "double").get("deliveries") == "2")
    eventually(lambda: local.queue_depths()["probe"] == 0)


def test_maximum_concurrency_holds(local: LocalCloud) -> None:
    """Six slow messages never run in more than two processes at once."""
    send(local, *({"name": f"wide-{n}", "do": "sleep", "seconds": 1.5} for n in range(6)))
    most = 0

    def is_over() -> bool:
        nonlocal most
        most = max(most, sum(each["busy"] for each in local.processes("records")))
        return local.queue_depths()["probe"] == 0

    eventually(is_over)
    assert most == 2


def test_a_newcomer_goes_before_a_group_that_has_much_in_flight(local: LocalCloud) -> None:
    """Fair queues: while ten messages of one group wait, one of another is delivered as soon as a process is free; the
    function sees the group."""
    local.deliver(noisy_messages=2)
    send(local, *({"name": f"crowd-{n}", "do": "sleep", "seconds": 1} for n in range(10)), group="crowd")
    eventually(lambda: sum(each["busy"] for each in local.processes("records")) == 2)
    send(local, {"name": "newcomer"}, group="newcomer")
    newcomer = eventually(lambda: counted(local, "records", "newcomer"))
    assert newcomer["message_group"] == "newcomer"
    assert counted(local, "records", "crowd-9") == {}
    eventually(lambda: local.queue_depths()["probe"] == 0)


# The state machine.


def start(local: LocalCloud, name: str, **more: Any) -> str:
    body = json.dumps({"name": name, "fail": 0, "seconds": 60, "hold_seconds": 0} | more)
    arn: str = local.client("stepfunctions").start_execution(
        stateMachineArn=local.state_machines[0], name=name, input=body
    )["executionArn"]
    return arn


def ended(local: LocalCloud, arn: str) -> dict[str, Any]:
    states = local.client("stepfunctions")
    eventually(lambda: states.describe_execution(executionArn=arn)["status"] != "RUNNING")
    found: dict[str, Any] = states.describe_execution(executionArn=arn)
    return found


def token(local: LocalCloud, name: str) -> str:
    return str(eventually(lambda: counted(local, "step", f"{name}-token").get("task_token")))


def test_a_task_token_ends_its_task_once(local: LocalCloud) -> None:
    """The first success wins and its output is the state's result; a second one is TaskTimedOut, then and later."""
    states = local.client("stepfunctions")
    arn = start(local, "once")
    states.send_task_success(taskToken=token(local, "once"), output='{"a":1}')
    with pytest.raises(ClientError, match="TaskTimedOut"):
        states.send_task_success(taskToken=token(local, "once"), output='{"a":2}')
    done = ended(local, arn)
    assert (done["status"], json.loads(done["output"])["answer"]) == ("SUCCEEDED", {"a": 1})
    with pytest.raises(ClientError, match="TaskTimedOut"):
        states.send_task_success(taskToken=token(local, "once"), output="{}")
    with pytest.raises(ClientError, match="InvalidToken"):
        states.send_task_success(taskToken="nonsense", output="{}")


def test_of_ten_that_end_a_task_at_once_one_does(local: LocalCloud) -> None:
    """The others get TaskTimedOut, not a fault of the service."""
    states = local.client("stepfunctions", max_pool_connections=10, retries={"total_max_attempts": 1})
    arn = start(local, "contested")
    held = token(local, "contested")

    def end(number: int) -> str:
        try:
            states.send_task_success(taskToken=held, output=str(number))
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return f"won {number}"

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(end, range(10)))
    (winner,) = [each for each in answers if each.startswith("won")]
    assert set(answers) == {winner, "TaskTimedOut"}
    assert winner == f"won {json.loads(ended(local, arn)['output'])['answer']}"


def test_a_task_that_nobody_ends_times_out(local: LocalCloud) -> None:
    """TimeoutSecondsPath counts, States.Timeout is caught, and the token is dead from then on."""
    arn = start(local, "late", seconds=1)
    assert json.loads(ended(local, arn)["output"])["end"] == "too late"
    with pytest.raises(ClientError, match="TaskTimedOut"):
        local.client("stepfunctions").send_task_success(taskToken=token(local, "late"), output="{}")


def test_a_task_times_out_while_its_function_runs(local: LocalCloud) -> None:
    """The state gives it up although nobody waits for the token yet, and the token is dead all the same."""
    arn = start(local, "held", seconds=1, hold_seconds=3)
    assert json.loads(ended(local, arn)["output"])["end"] == "too late"
    with pytest.raises(ClientError, match="TaskTimedOut"):
        local.client("stepfunctions").send_task_success(taskToken=token(local, "held"), output="{}")


def test_a_task_is_retried_and_then_caught(local: LocalCloud) -> None:
    """A function's exception matches Retry by its name; when the retries are used up, Catch takes over."""
    arn = start(local, "retried", fail=2)
    local.client("stepfunctions").send_task_success(taskToken=token(local, "retried"), output="{}")
    assert ended(local, arn)["status"] == "SUCCEEDED"
    assert counted(local, "step", "retried")["tries"] == "3"
    assert json.loads(ended(local, start(local, "hopeless", fail=9))["output"])["end"] == "broken"
    assert counted(local, "step", "hopeless")["tries"] == "4"


def test_an_execution_is_idempotent_by_name(local: LocalCloud) -> None:
    """The same name and input while it runs is the same execution; other input, or an ended one, is an error."""
    arn = start(local, "named")
    assert start(local, "named") == arn
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        start(local, "named", seconds=61)
    local.client("stepfunctions").send_task_success(taskToken=token(local, "named"), output="{}")
    ended(local, arn)
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        start(local, "named")
    assert counted(local, "step", "named")["tries"] == "1"


def test_ten_starts_at_once_are_one_execution(local: LocalCloud) -> None:
    """The name decides, however close together the calls are."""
    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        assert len(set(pool.map(lambda _: start(local, "crowd"), range(10)))) == 1
    local.client("stepfunctions").send_task_success(taskToken=token(local, "crowd"), output="{}")
    assert counted(local, "step", "crowd")["tries"] == "1"


def test_a_condition_is_true_for_one_of_many(local: LocalCloud) -> None:
    """Forty conditional writes at once, and the version moves once for each that succeeded."""
    dynamodb = local.client("dynamodb", max_pool_connections=20)
    key = {"pk": {"S": "race"}, "sk": {"S": "it"}}
    dynamodb.put_item(TableName=local.table_name, Item=key | {"version": {"N": "0"}})

    def bump(number: int) -> bool:
        try:
            dynamodb.update_item(
                TableName=local.table_name,
                Key=key,
                UpdateExpression="SET version = :next",
                ConditionExpression="version = :now",
                ExpressionAttributeValues={":now": {"N": str(number // 10)}, ":next": {"N": str(number // 10 + 1)}},
            )
        except dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        won = sum(pool.map(bump, range(40)))
    assert won == int(counted(local, "race", "it")["version"])
    assert 1 <= won <= 4


# Faults and the meter.


def put(local: LocalCloud, name: str, attempts: int = 1) -> dict[str, Any]:
    item = {"pk": {"S": "fault"}, "sk": {"S": name}}
    event = {
        "service": "dynamodb",
        "method": "put_item",
        "attempts": attempts,
        "arguments": {"TableName": "$TABLE_NAME", "Item": item},
    }
    answer: dict[str, Any] = local.invoke("storage", event)
    return answer


def test_the_nth_call_fails(local: LocalCloud) -> None:
    """Counted from when the fault was set, for one function and operation; the one before and the one after work."""
    local.fail("storage", operation="PutItem", nth=2, status=400, code="ProvisionedThroughputExceededException")
    assert put(local, "n1") == {"ok": []}
    assert put(local, "n2") == {"error": "ProvisionedThroughputExceededException", "status": 400}
    assert put(local, "n3") == {"ok": []}
    assert counted(local, "fault", "n2") == {}
    assert [(each["seen"], each["fired"]) for each in local.faults()] == [(3, 1)]


def test_a_call_can_fail_after_it_happened(local: LocalCloud) -> None:
    """when="after": the caller sees an error, the row is there."""
    local.fail("storage", operation="PutItem", when="after")
    assert put(local, "after")["status"] == 500
    assert counted(local, "fault", "after") != {}


def test_a_short_fault_is_ridden_out_by_the_sdk(local: LocalCloud) -> None:
    """One 500 in a row is retried away, three in a row are not."""
    local.fail("storage", operation="PutItem", times=1)
    assert put(local, "ridden", attempts=3) == {"ok": []}
    local.clear_faults()
    local.fail("storage", operation="PutItem", times=3)
    assert put(local, "thrown", attempts=3)["status"] == 500


def test_faults_of_s3_and_sqs_have_their_wire_formats(local: LocalCloud) -> None:
    """The SDK reads code and status of an injected S3 and SQS error."""
    local.fail("storage", service="s3", status=503, code="SlowDown")
    body = {"Bucket": "$DATA_BUCKET", "Key": "mine/b", "Body": "b"}
    assert storage(local, "s3", "put_object", **body) == {"error": "SlowDown", "status": 503}
    local.fail("storage", service="sqs", status=400, code="RequestThrottled")
    assert storage(local, "sqs", "list_queues") == {"error": "RequestThrottled", "status": 400}


def test_a_fault_that_is_misspelt_is_refused(local: LocalCloud) -> None:
    """A field that no fault has is an error, not a fault that never fires."""
    with pytest.raises(LocalCloudError, match="a fault has no nht"):
        local._control("POST", "faults", nht=1)


def test_the_meter_counts_by_function_and_operation(local: LocalCloud) -> None:
    """Calls and units of one put, and the invocation that made it."""
    local.reset_meter()
    put(local, "metered")
    meter = local.meter()
    (row,) = [each for each in meter["calls"] if each["function"] == "storage"]
    assert (row["service"], row["operation"], row["calls"]) == ("dynamodb", "PutItem", 1)
    assert row["units"] == 1
    assert meter["functions"]["storage"]["invocations"] == 1
    assert meter["functions"]["storage"]["gigabyte_seconds"] > 0


# The API.


def call(local: LocalCloud, method: str, path: str, **more: Any) -> httpx.Response:
    return httpx.request(method, f"{local.api_url}{path}", verify=NO_TLS, **more)


def test_a_request_becomes_a_proxy_event(local: LocalCloud) -> None:
    """Path, query, headers, binary body and request context have the REST API's shape."""
    answer = call(
        local,
        "POST",
        "/things?a=1&a=2&b=%20x",
        headers=[("X-Twice", "1"), ("X-Twice", "2"), ("user-agent", "probe")],
        content=b"\x00\xff",
    )
    assert (answer.status_code, answer.headers["x-one"]) == (201, "1")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    event = answer.json()
    assert (event["resource"], event["path"], event["httpMethod"]) == ("/things", "/things", "POST")
    assert event["queryStringParameters"] == {"a": "2", "b": " x"}
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"], "b": [" x"]}
    assert event["headers"]["X-Twice"] == "2"
    assert event["multiValueHeaders"]["X-Twice"] == ["1", "2"]
    assert (event["body"], event["isBase64Encoded"]) == ("AP8=", True)
    assert event["pathParameters"] is None
    context = event["requestContext"]
    assert context["identity"]["sourceIp"] == "127.0.0.1"
    assert context["identity"]["userAgent"] == "probe"
    assert context["requestId"] == answer.headers["x-amzn-requestid"]
    # The local API is at the root of its address, as one under a domain of the operator's own: no stage in the path.
    assert (context["stage"], context["path"], context["resourcePath"]) == ("api", "/things", "/things")


@pytest.mark.parametrize(
    ("path", "resource", "parameters"),
    [
        ("/things/a%2Fb%20c", "/things/{thing_id}", {"thing_id": "a/b c"}),
        ("/things/best", "/things/best", None),
        ("/things/best/x/y", "/things/best/{rest+}", {"rest": "x/y"}),
    ],
)
def test_the_most_specific_route_wins(local: LocalCloud, path: str, resource: str, parameters: Any) -> None:
    """A literal segment beats a placeholder; a greedy one takes the rest."""
    event = call(local, "GET", path).json()
    assert (event["resource"], event["pathParameters"]) == (resource, parameters)
    assert (event["body"], event["isBase64Encoded"], event["queryStringParameters"]) == (None, False, None)


@pytest.mark.parametrize(("method", "path"), [("GET", "/nothing"), ("DELETE", "/things"), ("GET", "/"), ("GET", "//")])
def test_an_unknown_route_gets_the_templates_answer(local: LocalCloud, method: str, path: str) -> None:
    """The template's MISSING_AUTHENTICATION_TOKEN response, its variables filled in."""
    answer = call(local, method, path)
    assert (answer.status_code, answer.json()) == (404, {"error": {"message": "Missing Authentication Token"}})


@pytest.mark.parametrize("size", [5_000_000, 11_000_000, 40_000_000])
def test_a_request_that_is_too_large_gets_the_templates_answer(local: LocalCloud, size: int) -> None:
    """Over Lambda's 6 MB (after base64) and over the API's 10 MB alike, while the client is still sending."""
    answer = call(local, "POST", "/things", content=b"x" * size)
    assert (answer.status_code, answer.json()["error"]["message"]) == (413, "take the drop folder")
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("what", ["raise", "nonsense", "large"])
def test_a_function_that_fails_is_a_502(local: LocalCloud, what: str) -> None:
    """Exceptions, answers that are no proxy response, and answers over 6 MB."""
    assert call(local, "GET", f"/things?do={what}").status_code == 502


def test_the_control_surface_knows_no_other_paths(local: LocalCloud) -> None:
    """A misspelt control is an error."""
    with pytest.raises(LocalCloudError, match="no such control"):
        local._control("GET", "metre")


@pytest.mark.parametrize("preload", [False, True], ids=["by itself", "as a fork"])
def test_nothing_is_left_running(tmp_path: Path, preload: bool) -> None:
    """Stopping the cloud ends every process it started, frozen ones too."""
    templates = tmp_path / "stacks.json"
    templates.write_text(json.dumps(stacks()))
    options: dict[str, Any] = {"templates": templates, "functions_path": PROBES, "account": None, "preload": preload}
    with LocalCloud(provider_url=NO_PROVIDER, **options) as cloud:
        pids = [cloud.invoke(name, {})["pid"] for name in ("echo", "narrow")]
        url = cloud.api_url
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url, timeout=5)


def test_a_terminals_ctrl_c_leaves_the_cloud_to_its_caller(tmp_path: Path) -> None:
    """It goes to every process of the caller's group, and the cloud is in another: the demo can still cancel."""
    templates = tmp_path / "stacks.json"
    templates.write_text(json.dumps(stacks()))
    with LocalCloud(templates=templates, functions_path=PROBES, provider_url=NO_PROVIDER, account=None) as cloud:
        assert isinstance(cloud._process, subprocess.Popen)
        assert os.getpgid(cloud._process.pid) != os.getpgid(0)


def test_a_start_that_is_interrupted_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the cloud starts ends its process, and no timer keeps the caller's."""
    started: list[subprocess.Popen[bytes]] = []

    class Interrupted:
        def __init__(self, end: socket.socket) -> None:
            self.close = end.close

        def makefile(self) -> None:
            raise KeyboardInterrupt

    def socket_pair(real: Any = socket.socketpair) -> tuple[Interrupted, socket.socket]:
        end, theirs = real()
        return Interrupted(end), theirs

    def start(*arguments: Any, real: Any = cloud_module._start) -> Any:
        started.append(real(*arguments))
        return started[-1]

    monkeypatch.setattr(socket, "socketpair", socket_pair)
    monkeypatch.setattr(cloud_module, "_start", start)
    with pytest.raises(KeyboardInterrupt):
        LocalCloud().start()
    assert started[0].poll() is not None
    timers = [thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)]
    assert all(timer.finished.is_set() for timer in timers)


@pytest.mark.parametrize(
    ("resource", "complaint"),
    [
        ("ApiMayInvoke", "API Gateway may not invoke echo"),
        ("ClockMayInvoke", "EventBridge may not invoke step"),
        ("ObjectsPolicy", "EventBridge may not send to .*probe-objects"),
        ("RecordsPolicy", "the role of records needs sqs:ReceiveMessage on .*:probe"),
    ],
)
def test_a_template_without_a_grant_does_not_start(tmp_path: Path, resource: str, complaint: str) -> None:
    """What AWS would refuse or drop without a word is an error that names the grant."""
    broken = stacks()
    del broken[1]["template"]["Resources"][resource]
    templates = tmp_path / "stacks.json"
    templates.write_text(json.dumps(broken))
    options = {"templates": templates, "functions_path": PROBES, "account": None, "preload": True}
    cloud = LocalCloud(provider_url=NO_PROVIDER, **options)
    with pytest.raises(LocalCloudError, match=complaint):
        cloud.start()


def test_a_port_that_is_taken_is_a_clear_error(local: LocalCloud, tmp_path: Path) -> None:
    """It names the port and says what to do."""
    templates = tmp_path / "stacks.json"
    templates.write_text(json.dumps(stacks()))
    port = int(local.api_url.rpartition(":")[2])
    options = Options(port=port, folder=tmp_path, templates=templates, provider_url=NO_PROVIDER)
    command = [sys.executable, "-m", "local", "--attached", options.to_json()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert re.search(rf"Port {port} is in use.*PORT={port + 1} make local", done.stderr)
