"""The Step Functions state machine: one execution per batch, woken by one task token."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson
from botocore.exceptions import ClientError

from batchyard.core.batches import BatchRef, Ending

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

_OVER = frozenset({"TaskTimedOut", "TaskDoesNotExist", "InvalidToken"})


class Life(enum.Enum):
    """Where an execution is in its life."""

    ABSENT = "absent"
    RUNNING = "running"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Execution:
    """`ended_at`: unix second, 0 if it has not ended."""

    life: Life
    ended_at: int = 0


class Workflow:
    def __init__(self, client: SFNClient, state_machine_arn: str) -> None:
        self._client = client
        self._arn = state_machine_arn

    def start(self, ref: BatchRef, execution: int = 0, ending: Ending | None = None) -> None:
        """Start an execution of the batch. Its name derives from its number, so AWS starts it once however often this
        is called. With `ending` it does not run the batch, but brings it to that ending.
        """
        state = {"account_id": ref.account_id, "batch_id": ref.batch_id} | ({"ending": str(ending)} if ending else {})
        try:
            self._client.start_execution(
                stateMachineArn=self._arn,
                name=execution_name(ref.batch_id, execution),
                input=orjson.dumps(state).decode(),
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ExecutionAlreadyExists":
                raise

    def running(self) -> frozenset[str]:
        """The names of the executions that run, as of a moment ago: a call for a thousand of them. Those that started
        or ended just now may be missing, or still be there."""
        pages = self._client.get_paginator("list_executions").paginate(
            stateMachineArn=self._arn, statusFilter="RUNNING"
        )
        return frozenset(execution["name"] for page in pages for execution in page["executions"])

    def execution(self, batch_id: str, number: int = 0) -> Execution:
        """Whether that execution was started, and has ended."""
        arn = f"{self._arn.replace(':stateMachine:', ':execution:')}:{execution_name(batch_id, number)}"
        try:
            found = self._client.describe_execution(executionArn=arn)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ExecutionDoesNotExist":
                return Execution(Life.ABSENT)
            raise
        if found["status"] in ("RUNNING", "PENDING_REDRIVE"):
            return Execution(Life.RUNNING)
        return Execution(Life.ENDED, int(found["stopDate"].timestamp()))

    def wake(self, task_token: str, ending: Ending) -> None:
        """Lets the execution go on from Dispatch, to end as `ending`. It is no error if the token was used before: that
        woke the same execution."""
        try:
            self._client.send_task_success(taskToken=task_token, output=orjson.dumps({"ending": str(ending)}).decode())
        except ClientError as error:
            if error.response["Error"]["Code"] not in _OVER:
                raise


def execution_name(batch_id: str, execution: int) -> str:
    """The first execution of a batch (number 0) has the batch's id as its name."""
    return f"{batch_id}-{execution}" if execution else batch_id
