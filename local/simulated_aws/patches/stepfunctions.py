"""What is changed in moto's Step Functions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

from botocore.client import BaseClient
from moto.stepfunctions.exceptions import AWSError
from moto.stepfunctions.parser import models as parser_models
from moto.stepfunctions.parser.api import ExecutionStatus
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_callback
from moto.stepfunctions.parser.asl.component.state.wait.wait_function import wait_function
from moto.stepfunctions.parser.asl.eval.callback.callback import (
    CallbackConsumerTimeout,
    CallbackOutcome,
    CallbackPoolManager,
)
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.asl.parse.preprocessor import Preprocessor
from moto.stepfunctions.parser.asl.utils import json_path
from moto.stepfunctions.parser.backend.execution import Execution

_lambda_clients: dict[str, BaseClient] = {}
"""ARN of a state machine's role -> its client for Lambda."""


def use_client(role_arn: str, client: BaseClient) -> None:
    """State machines of this role invoke functions with `client`."""
    _lambda_clients[role_arn] = client


def call_functions_as_the_state_machine() -> None:
    """moto 5.2.5 makes a new client for every task, signs with the access key "ak" and calls localhost. AWS uses the
    state machine's role: https://docs.aws.amazon.com/step-functions/latest/dg/procedure-create-iam-role.html"""

    def client_of_the_role(region: str, service: str, state_credentials: Any = None) -> BaseClient:
        return _lambda_clients[state_credentials.role_arn]

    lambda_eval_utils.boto_client_for = client_of_the_role


def stop_executions_at_once() -> None:
    """moto 5.2.5 leaves an execution that was stopped RUNNING until its current step has ended, and for ever if that
    step waits for a task token. AWS answers with the stop date, and the execution is ABORTED from then on:
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_StopExecution.html"""
    stop = Execution.stop

    def stop_at_once(self: Execution, stop_date: Any, error: str | None, cause: str | None) -> None:
        stop(self, stop_date=stop_date, error=error, cause=cause)
        if self.exec_status == ExecutionStatus.RUNNING:
            self.exec_status, self.stop_date = ExecutionStatus.ABORTED, stop_date

    Execution.stop = stop_at_once


class TaskTimedOut(AWSError):
    """The error AWS gives for a token whose task has ended. moto's own class has no error type on the wire."""

    TYPE = "TaskTimedOut"

    def __init__(self) -> None:
        super().__init__("Task Timed Out: 'Provided task does not exist anymore'")


def accept_a_task_token_once() -> None:
    """moto 5.2.5 accepts a task token a second time while its execution runs, also after the task timed out, and does
    not know it any more when the execution has ended. AWS answers TaskTimedOut in all these cases:
    https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskSuccess.html"""
    waiting_task = state_task_service_callback.StateTaskServiceCallback
    waiting_task._eval_state = _closing_its_token(waiting_task._eval_state)
    CallbackPoolManager.notify = _notify_once
    parser_models.TaskTimedOut = TaskTimedOut
    backend = parser_models.StepFunctionsParserBackend
    backend.send_task_success = _refusing_closed_tokens(backend.send_task_success)
    backend.send_task_failure = _refusing_closed_tokens(backend.send_task_failure)


def _closing_its_token(evaluate: Callable[..., None]) -> Callable[..., None]:
    """Closed before the next state is entered. A state gives up its task when the time is over; the thread that waits
    for the token may not even have begun to wait."""

    def evaluate_and_close(self: Any, env: Environment) -> None:
        try:
            evaluate(self, env)
        finally:
            task = env.states.context_object.context_object_data.get("Task")
            endpoint = env.callback_pool_manager.get(task["Token"]) if task else None
            if endpoint is not None:
                endpoint.report(CallbackConsumerTimeout())

    return evaluate_and_close


_one_notification_at_a_time = threading.Lock()


def _notify_once(self: CallbackPoolManager, callback_id: str, outcome: CallbackOutcome) -> bool:
    """The pool's own `notify`, except that a token is good for one outcome."""
    endpoint = self.get(callback_id)
    if endpoint is None:
        return False
    with _one_notification_at_a_time:
        if endpoint.consumer_error is not None or endpoint.get_outcome() is not None:
            raise TaskTimedOut
        endpoint.notify(outcome=outcome)
    return True


def _refusing_closed_tokens(send: Callable[..., Any]) -> Callable[..., Any]:
    """moto only asks executions that are running; a token of one that has ended is known here, too."""

    def send_unless_closed(self: Any, task_token: str, *arguments: Any, **named: Any) -> Any:
        for execution in self._get_executions():
            env = getattr(execution.exec_worker, "env", None)
            endpoint = env.callback_pool_manager.get(task_token) if env is not None else None
            if endpoint is None:
                continue
            if endpoint.consumer_error is not None or execution.status != ExecutionStatus.RUNNING:
                raise TaskTimedOut
        return send(self, task_token, *arguments, **named)

    return send_unless_closed


def parse_definitions_once() -> None:
    """moto 5.2.5 parses the whole definition for each execution, and a JSONPath each time that it is evaluated, which
    takes an eighth of the CPU time of a local cloud that runs small batches. Programs are still made anew: they have
    state."""
    parse = AmazonStateLanguageParser.parse

    @cache
    def tree_of(definition: str) -> Any:
        return parse(definition)[1]

    def parse_once(definition: str) -> tuple[Any, Any]:
        tree = tree_of(definition)
        return Preprocessor().visit(tree), tree

    AmazonStateLanguageParser.parse = staticmethod(parse_once)
    json_path.parse = cache(json_path.parse)


def scale_waits(factor: float) -> None:
    """No deviation of moto's, but a switch for tests: Wait states and retry intervals take `factor` of their time."""

    def wait(self: Any, env: Any, wait_seconds: float) -> None:
        deadline = time.monotonic() + wait_seconds * factor
        while env.is_running() and (left := deadline - time.monotonic()) > 0:
            env.program_state_event.wait(left)

    wait_function.WaitFunction._wait_interval = wait
    retrier_decl.time = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds * factor))
