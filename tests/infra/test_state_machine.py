"""The state machine's definition: its form here, its paths in test_state_machine_paths."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.infra.conftest import ROOT
from tests.infra.templates import Synthesized

DEFINITION = json.loads((ROOT / "infra" / "state_machine.asl.json").read_text())
STATES: dict[str, dict[str, Any]] = DEFINITION["States"]
TASKS = {name: state for name, state in STATES.items() if state["Type"] == "Task"}


def _nexts(state: dict[str, Any]) -> Iterator[str]:
    for key in ("Next", "Default"):
        if key in state:
            yield state[key]
    for branch in (*state.get("Choices", ()), *state.get("Catch", ())):
        yield branch["Next"]


def test_a_task_has_the_name_of_its_function() -> None:
    """State, function and handler share one word."""
    for name, task in TASKS.items():
        assert task["Parameters"]["FunctionName"] == f"${{{name}}}"
        assert (ROOT / "functions" / "batchyard" / "handlers" / f"{name.lower()}.py").exists()


def test_every_task_is_bounded_repeated_and_caught() -> None:
    """Each has a timeout, retries with backoff and jitter, and a catch for everything."""
    assert DEFINITION["TimeoutSeconds"] > 0
    for name, task in TASKS.items():
        assert "TimeoutSeconds" in task or "TimeoutSecondsPath" in task, name
        assert any("States.TaskFailed" in retry["ErrorEquals"] for retry in task["Retry"]), name
        for retry in task["Retry"]:
            assert retry["BackoffRate"] > 1 and retry["MaxDelaySeconds"] <= 600 and retry["MaxAttempts"] > 0, name
        assert any(retry.get("JitterStrategy") == "FULL" for retry in task["Retry"]), name
        assert task["Catch"][-1]["ErrorEquals"] == ["States.ALL"], name


def test_a_function_that_is_busy_is_waited_for() -> None:
    """Functions have a reserved concurrency, so that a rush of batches finds them full. That is no fault of a batch: it
    waits for half an hour and more before its execution strands. The first retrier that knows an error is the one."""
    for name, task in TASKS.items():
        first = task["Retry"][0] if name != "Validate" else task["Retry"][1]
        assert first["ErrorEquals"] == ["Lambda.TooManyRequestsException"], name
        assert first["JitterStrategy"] == "FULL", name
        assert first["MaxAttempts"] * first["MaxDelaySeconds"] / 2 >= 1800, name


def test_results_are_delivered_after_a_long_fault_too() -> None:
    """When Notify gives up nobody delivers any more: the batch is over, and Sweep looks after open ones."""
    last = TASKS["Notify"]["Retry"][-1]
    assert last["MaxAttempts"] * last["MaxDelaySeconds"] / 2 >= 6 * 3600


def test_the_deadline_is_not_repeated() -> None:
    """Dispatch's timeout is the end of the completion window: it leads to Expired, and no retry starts it anew."""
    dispatch = TASKS["Dispatch"]
    assert dispatch["Resource"].endswith(".waitForTaskToken")
    assert dispatch["Catch"][0] == {"ErrorEquals": ["States.Timeout"], "ResultPath": "$.error", "Next": "Expired"}
    repeated = {error for retry in dispatch["Retry"] for error in retry["ErrorEquals"]}
    assert repeated.isdisjoint({"States.ALL", "States.Timeout", "States.HeartbeatTimeout"})


def test_a_function_gives_up_before_its_state_does(synthesized: Synthesized) -> None:
    """A function that is too slow then fails as a task that is tried again, not as a timeout of the state."""
    functions = synthesized.stateless.resources("AWS::Lambda::Function").values()
    timeouts = {each["Handler"].split(".")[2]: each["Timeout"] for each in functions}
    for name, task in TASKS.items():
        if "TimeoutSeconds" in task:
            assert timeouts[name.lower()] < task["TimeoutSeconds"], name


def test_every_state_is_reached_and_ends() -> None:
    """No state is out of reach, every next state exists, and an end can be reached from all of them."""
    reached, waiting = set(), [DEFINITION["StartAt"]]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += _nexts(STATES[name])
    assert reached == STATES.keys()
    ending = {name for name, state in STATES.items() if state["Type"] in ("Succeed", "Fail") or state.get("End")}
    while more := {name for name, state in STATES.items() if name not in ending and ending & set(_nexts(state))}:
        ending |= more
    assert ending == STATES.keys()


def test_the_template_has_the_definition_with_its_functions(synthesized: Synthesized) -> None:
    """The deployed definition is the file's, each function's name replaced by that function's ARN."""
    (machine,) = synthesized.stateless.resources("AWS::StepFunctions::StateMachine").values()
    assert "DefinitionSubstitutions" not in machine
    functions = synthesized.stateless.resources("AWS::Lambda::Function")
    names = {name: each["Handler"].split(".")[2].capitalize() for name, each in functions.items()}
    parts = machine["DefinitionString"]["Fn::Join"][1]
    text = "".join(part if isinstance(part, str) else f"${{{names[part['Fn::GetAtt'][0]]}}}" for part in parts)
    assert json.loads(text) == DEFINITION
    assert not re.search(r"\$\{(?!Validate|Dispatch|Fence|Finalize|Notify)", text)


def test_executions_are_logged_and_traced(synthesized: Synthesized) -> None:
    """Every event is logged, without the data: a task token in a log would let its reader end a batch."""
    (machine,) = synthesized.stateless.resources("AWS::StepFunctions::StateMachine").values()
    assert machine["LoggingConfiguration"]["Level"] == "ALL"
    assert machine["LoggingConfiguration"]["IncludeExecutionData"] is False
    assert machine["TracingConfiguration"] == {"Enabled": True}
    assert machine.get("StateMachineType", "STANDARD") == "STANDARD"
