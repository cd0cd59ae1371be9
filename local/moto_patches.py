"""What is changed in moto 5.2, each change with its reason. `apply` is called once per process, before moto is used.

- CloudFormation reads its templates with a YAML loader in Python, which takes seconds for a synthesized template; they
  are JSON.
- CloudFormation puts state machines into the backend that does not run them.
- Step Functions calls Lambda with the credentials ak/sk and a new client every time. Here it has the state machine's
  role and keeps its clients.
- A task token is accepted after its task ended (timed out, or completed before). AWS answers TaskTimedOut, and code
  that completes a token twice has to live with that.
- DynamoDB gets slower with every row it holds; see moto_dynamodb.
- An execution that is stopped is RUNNING until its step has ended, and for ever where that step begins to wait.
- Sending to a queue counts all messages in it three times.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import boto3
from botocore.config import Config
from moto.cloudformation.models import Stack
from moto.core.config import default_user_config
from moto.sqs.models import Queue
from moto.stepfunctions import models as stepfunctions_models
from moto.stepfunctions.exceptions import AWSError
from moto.stepfunctions.parser import models as parser_models
from moto.stepfunctions.parser.api import ExecutionStatus
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import state_task_service_callback
from moto.stepfunctions.parser.asl.component.state.wait.wait_function import wait_function
from moto.stepfunctions.parser.asl.eval.callback.callback import (
    CallbackConsumerTimeout,
    CallbackEndpoint,
    CallbackOutcome,
    CallbackPoolManager,
)
from moto.stepfunctions.parser.backend.execution import Execution

from local import moto_dynamodb

TaskClients = Callable[[str, str], Any]
"""(service, ARN of the state machine's role) -> boto3 client"""

_task_clients: list[TaskClients] = []


def apply() -> None:
    default_user_config["stepfunctions"] = {"execute_state_machine": True}
    default_user_config["lambda"] = {"use_docker": False}
    Stack.parse_template = staticmethod(_parse_template)
    stepfunctions_models.stepfunctions_backends = parser_models.stepfunctions_parser_backends
    lambda_eval_utils.boto_client_for = _task_client
    state_task_service_callback.StateTaskServiceCallback._eval_wait_for_task_token = _close_after(
        state_task_service_callback.StateTaskServiceCallback._eval_wait_for_task_token
    )
    CallbackPoolManager.notify = _notify
    parser_models.TaskTimedOut = TaskTimedOut
    for name in ("send_task_success", "send_task_failure"):
        setattr(parser_models.StepFunctionsParserBackend, name, _token_of_an_ended_execution(name))
    Execution.stop = _stop_at_once(Execution.stop)
    moto_dynamodb.apply()
    Queue.attributes = property(lambda queue: _LazyAttributes(queue))


def _parse_template(template: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(template)
    return parsed


# Step Functions.


def call_tasks_with(clients: TaskClients) -> None:
    _task_clients[:] = [clients]


def scale_waits(factor: float) -> None:
    """Wait states and retry intervals take `factor` of their time."""

    def wait(self: Any, env: Any, wait_seconds: float) -> None:
        deadline = time.monotonic() + wait_seconds * factor
        while env.is_running() and (left := deadline - time.monotonic()) > 0:
            env.program_state_event.wait(left)

    wait_function.WaitFunction._wait_interval = wait
    retrier_decl.time = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds * factor))


def _stop_at_once(stop: Callable[..., None]) -> Callable[..., None]:
    """An execution that is stopped is ABORTED from then on, also while a step of it still runs."""

    def stop_at_once(self: Any, stop_date: Any, error: str | None, cause: str | None) -> None:
        stop(self, stop_date=stop_date, error=error, cause=cause)
        if self.exec_status == ExecutionStatus.RUNNING:
            self.exec_status, self.stop_date = ExecutionStatus.ABORTED, stop_date

    return stop_at_once


def _task_client(region: str, service: str, state_credentials: Any = None) -> Any:
    return _task_clients[0](service, state_credentials.role_arn)


def new_task_client(service: str, region: str, endpoint: str, credentials: tuple[str, str, str]) -> Any:
    access_key, secret_key, token = credentials
    return boto3.session.Session().client(
        service,
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        aws_session_token=token,
        # A function may take its 15 minutes; a retry would run it twice behind the state machine's back.
        config=Config(
            retries={"total_max_attempts": 1}, read_timeout=1000, max_pool_connections=256, parameter_validation=False
        ),
    )


def _close_after(wait: Callable[..., CallbackOutcome]) -> Callable[..., CallbackOutcome]:
    def wait_and_close(
        self: Any, env: Any, timeout_seconds: int, callback_endpoint: CallbackEndpoint, heartbeat_endpoint: Any
    ) -> CallbackOutcome:
        try:
            return wait(
                self,
                env=env,
                timeout_seconds=timeout_seconds,
                callback_endpoint=callback_endpoint,
                heartbeat_endpoint=heartbeat_endpoint,
            )
        finally:
            callback_endpoint.report(CallbackConsumerTimeout())

    return wait_and_close


class TaskTimedOut(AWSError):
    """moto's own has no error type on the wire."""

    TYPE = "TaskTimedOut"

    def __init__(self) -> None:
        super().__init__("Task Timed Out: 'Provided task does not exist anymore'")


_tokens = threading.Lock()


def _notify(self: CallbackPoolManager, callback_id: str, outcome: CallbackOutcome) -> bool:
    """The pool's own `notify`, except that a token is good for one outcome."""
    endpoint = self.get(callback_id)
    if endpoint is None:
        return False
    with _tokens:
        if endpoint.consumer_error is not None or endpoint.get_outcome() is not None:
            raise TaskTimedOut
        endpoint.notify(outcome=outcome)
    return True


def _token_of_an_ended_execution(name: str) -> Callable[..., Any]:
    original = getattr(parser_models.StepFunctionsParserBackend, name)

    def send(self: Any, task_token: str, *args: Any, **kwargs: Any) -> Any:
        for execution in self._get_executions():
            env = getattr(execution.exec_worker, "env", None)
            endpoint = env.callback_pool_manager.get(task_token) if env is not None else None
            if endpoint is not None and endpoint.consumer_error is not None:
                raise TaskTimedOut
        return original(self, task_token, *args, **kwargs)

    return send


# SQS.


class _LazyAttributes:
    """A queue's attributes, counted only when somebody reads the counts."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def get(self, name: str, default: Any = None) -> Any:
        if name == "ContentBasedDeduplication" and not self._queue.fifo_queue:
            return default
        return self._all().get(name, default)

    def __getitem__(self, name: str) -> Any:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def keys(self) -> Any:
        return self._all().keys()

    def items(self) -> Any:
        return self._all().items()

    def _all(self) -> dict[str, Any]:
        counted: dict[str, Any] = _counted_attributes(self._queue)
        return counted


_counted_attributes: Callable[[Queue], dict[str, Any]] = Queue.attributes.fget
