"""The state machine's paths, run by moto's interpreter. Functions are played by a script; waits are cut short."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.awslambda_simple.models import LambdaSimpleBackend

from tests.infra.test_state_machine import DEFINITION

REGION = "us-east-1"
BATCH = {"account_id": "acct_1", "batch_id": "batch_1"}
_DEADLINE_SECONDS = 600


class Fault(Exception):
    """What a scripted function raises; the state machine sees the given error type."""


class Functions:
    """`replies[step]` are that step's replies in order, the last one for ever; an exception's name is its error."""

    def __init__(self, **replies: list[Any]) -> None:
        self.replies = replies
        self.calls: list[tuple[str, dict[str, Any]]] = []

    @property
    def steps(self) -> list[str]:
        return [step for step, _ in self.calls]

    def payloads(self, step: str) -> list[dict[str, Any]]:
        return [payload for name, payload in self.calls if name == step]

    def invoke(
        self, backend: Any, name: str, qualifier: str | None, body: Any, headers: Any, response_headers: dict[str, str]
    ) -> bytes:
        step = name.rpartition(":")[2]
        payload = json.loads(body)
        self.calls.append((step, payload))
        script = self.replies[step]
        reply = script.pop(0) if len(script) > 1 else script[0]
        if callable(reply):
            reply = reply(payload)
        if isinstance(reply, Exception):
            response_headers["x-amz-function-error"] = "Unhandled"
            reply = {"errorType": str(reply), "errorMessage": "as the script says"}
        return json.dumps(reply).encode()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., dict[str, Any]]]:
    """Run one execution to its end: run(functions, input) -> what DescribeExecution says."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws(config={"lambda": {"use_docker": False}, "stepfunctions": {"execute_state_machine": True}}):
        client = boto3.client("stepfunctions", region_name=REGION)

        def execute(functions: Functions, state: dict[str, Any] = BATCH) -> dict[str, Any]:
            monkeypatch.setattr(LambdaSimpleBackend, "invoke", lambda backend, *rest: functions.invoke(backend, *rest))
            machine = client.create_state_machine(
                name="batches",
                definition=json.dumps(_quick(DEFINITION)),
                roleArn="arn:aws:iam::123456789012:role/states",
            )
            execution = client.start_execution(stateMachineArn=machine["stateMachineArn"], input=json.dumps(state))
            deadline = time.monotonic() + _DEADLINE_SECONDS
            while time.monotonic() < deadline:
                found: dict[str, Any] = client.describe_execution(executionArn=execution["executionArn"])
                if found["status"] != "RUNNING":
                    return found
                time.sleep(0.02)
            raise AssertionError(f"still running after {functions.steps}")

        yield execute


def _quick(definition: dict[str, Any]) -> dict[str, Any]:
    """The same states with shorter waits and fewer retries."""
    quick = copy.deepcopy(definition)
    for name, state in quick["States"].items():
        if "Parameters" in state:
            state["Parameters"]["FunctionName"] = f"arn:aws:lambda:{REGION}:123456789012:function:{name}"
        for retry in state.get("Retry", ()):
            retry.update(IntervalSeconds=1, MaxAttempts=2, MaxDelaySeconds=1, BackoffRate=1)
        if state["Type"] == "Wait":
            state["Seconds"] = 0
    return quick


def wakes(ending: str) -> Callable[[dict[str, Any]], None]:
    """Dispatch, woken with `ending` by whoever has its task token."""

    def wake(payload: dict[str, Any]) -> None:
        client = boto3.client("stepfunctions", region_name=REGION)
        client.send_task_success(taskToken=payload["task_token"], output=json.dumps({"ending": ending}))

    return wake


IN_PROGRESS = {"status": "in_progress", "seconds_left": 60}
DRAINED = {"drained": True, "live": 0, "since": 5}


def test_a_batch_that_settles_completes(run: Callable[..., dict[str, Any]]) -> None:
    """Validate, Dispatch, Finalize(completed), Notify; each gets account and batch."""
    functions = Functions(
        Validate=[IN_PROGRESS], Dispatch=[wakes("completed")], Finalize=[{"status": "completed"}], Notify=[{}]
    )
    assert run(functions)["status"] == "SUCCEEDED"
    assert functions.steps == ["Validate", "Dispatch", "Finalize", "Notify"]
    assert all(payload.items() >= BATCH.items() for _, payload in functions.calls)
    assert functions.payloads("Finalize") == [BATCH | {"ending": "completed"}]


def test_a_bad_input_file_goes_to_notify(run: Callable[..., dict[str, Any]]) -> None:
    """Validate has failed the batch: nothing is dispatched or finalized."""
    functions = Functions(Validate=[{"status": "failed", "seconds_left": 1}], Notify=[{}])
    assert run(functions)["status"] == "SUCCEEDED"
    assert functions.steps == ["Validate", "Notify"]


def test_a_cancelled_batch_is_fenced_until_it_is_drained(run: Callable[..., dict[str, Any]]) -> None:
    """Cancel wakes the execution; Fence runs round after round, with the second of its first one, then Finalize."""
    functions = Functions(
        Validate=[IN_PROGRESS],
        Dispatch=[wakes("cancelled")],
        Fence=[{"drained": False, "live": 3, "since": 5}, {"drained": False, "live": 1, "since": 5}, DRAINED],
        Finalize=[{"status": "cancelled"}],
        Notify=[{}],
    )
    assert run(functions)["status"] == "SUCCEEDED"
    assert functions.steps == ["Validate", "Dispatch", "Fence", "Fence", "Fence", "Finalize", "Notify"]
    assert [payload["since"] for payload in functions.payloads("Fence")] == [0, 5, 5]
    assert {payload["ending"] for payload in functions.payloads("Fence")} == {"cancelled"}
    assert functions.payloads("Finalize") == [BATCH | {"ending": "cancelled"}]


def test_a_batch_that_reached_its_price_limit_is_fenced(run: Callable[..., dict[str, Any]]) -> None:
    """What has not run is shut out before the batch is completed."""
    functions = Functions(
        Validate=[IN_PROGRESS],
        Dispatch=[wakes("price_reached")],
        Fence=[DRAINED],
        Finalize=[{"status": "completed"}],
        Notify=[{}],
    )
    assert run(functions)["status"] == "SUCCEEDED"
    assert functions.steps == ["Validate", "Dispatch", "Fence", "Finalize", "Notify"]
    assert functions.payloads("Fence")[0]["ending"] == "price_reached"
    assert functions.payloads("Finalize") == [BATCH | {"ending": "price_reached"}]


def test_a_batch_cancelled_while_validating_is_not_dispatched(run: Callable[..., dict[str, Any]]) -> None:
    """Validate finds the batch cancelling."""
    functions = Functions(
        Validate=[{"status": "cancelling", "seconds_left": 60}],
        Fence=[DRAINED],
        Finalize=[{"status": "cancelled"}],
        Notify=[{}],
    )
    assert run(functions)["status"] == "SUCCEEDED"
    assert functions.steps == ["Validate", "Fence", "Finalize", "Notify"]


def test_a_batch_whose_window_ends_expires(run: Callable[..., dict[str, Any]]) -> None:
    """Nobody wakes Dispatch: after `seconds_left` the batch is fenced and finalized as expired."""
    functions = Functions(
        Validate=[{"status": "in_progress", "seconds_left": 1}],
        Dispatch=[None],
        Fence=[DRAINED],
        Finalize=[{"status": "expired"}],
        Notify=[{}],
    )
    assert run(functions)["status"] == "SUCCEEDED"
    assert functions.steps == ["Validate", "Dispatch", "Fence", "Finalize", "Notify"]
    assert functions.payloads("Finalize") == [BATCH | {"ending": "expired"}]


def test_a_batch_that_broke_elsewhere_is_closed_as_failed(run: Callable[..., dict[str, Any]]) -> None:
    """Dispatch's ending `failed` ends the batch with what it has."""
    functions = Functions(
        Validate=[IN_PROGRESS],
        Dispatch=[wakes("failed")],
        Fence=[DRAINED],
        Finalize=[{"status": "failed"}],
        Notify=[{}],
    )
    assert run(functions)["status"] == "SUCCEEDED"
    assert functions.payloads("Finalize") == [BATCH | {"ending": "failed"}]


def test_an_outcome_in_the_input_closes_the_batch(run: Callable[..., dict[str, Any]]) -> None:
    """Sweep's last resort: nothing is validated or dispatched any more."""
    functions = Functions(Fence=[DRAINED], Finalize=[{"status": "failed"}], Notify=[{}])
    assert run(functions, BATCH | {"ending": "failed"})["status"] == "SUCCEEDED"
    assert functions.steps == ["Fence", "Finalize", "Notify"]
    assert functions.payloads("Finalize") == [BATCH | {"ending": "failed"}]


def test_a_batch_that_another_execution_brought_further_is_finalized(run: Callable[..., dict[str, Any]]) -> None:
    """Validate finds it finalizing."""
    functions = Functions(
        Validate=[{"status": "finalizing", "seconds_left": 60}], Finalize=[{"status": "completed"}], Notify=[{}]
    )
    assert run(functions)["status"] == "SUCCEEDED"
    assert functions.steps == ["Validate", "Finalize", "Notify"]


def test_an_input_that_is_on_its_way_is_waited_for(run: Callable[..., dict[str, Any]]) -> None:
    """NotReady from Validate repeats it."""
    functions = Functions(
        Validate=[Fault("NotReady"), IN_PROGRESS],
        Dispatch=[wakes("completed")],
        Finalize=[{"status": "completed"}],
        Notify=[{}],
    )
    assert run(functions)["status"] == "SUCCEEDED"
    assert functions.steps == ["Validate", "Validate", "Dispatch", "Finalize", "Notify"]


@pytest.mark.parametrize("step", ["Validate", "Dispatch", "Fence", "Finalize", "Notify"])
def test_a_step_that_fails_once_is_run_again(run: Callable[..., dict[str, Any]], step: str) -> None:
    """One fault of any step does not change how the batch ends."""
    replies: dict[str, list[Any]] = {
        "Validate": [IN_PROGRESS],
        "Dispatch": [wakes("cancelled")],
        "Fence": [DRAINED],
        "Finalize": [{"status": "cancelled"}],
        "Notify": [{}],
    }
    replies[step].insert(0, Fault("RuntimeError"))
    functions = Functions(**replies)
    assert run(functions)["status"] == "SUCCEEDED"
    assert functions.steps.count(step) == 2


@pytest.mark.parametrize("step", ["Validate", "Dispatch", "Fence", "Finalize", "Notify"])
def test_a_step_that_fails_for_good_strands_the_execution(run: Callable[..., dict[str, Any]], step: str) -> None:
    """The execution fails under the name that Sweep's alarm knows, and takes no step behind the broken one."""
    replies: dict[str, list[Any]] = {
        "Validate": [IN_PROGRESS],
        "Dispatch": [wakes("cancelled")],
        "Fence": [DRAINED],
        "Finalize": [{"status": "cancelled"}],
        "Notify": [{}],
    }
    replies[step] = [Fault("RuntimeError")]
    functions = Functions(**replies)
    found = run(functions)
    assert (found["status"], found["error"]) == ("FAILED", "Stranded")
    assert functions.steps[-1] == step
