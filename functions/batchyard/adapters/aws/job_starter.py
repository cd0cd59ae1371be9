"""Has the native executor look at provider jobs: its function is invoked once per job, and nobody waits for it.

Nothing is lost with an invocation: the job's row says when it is due, and Sweep starts what is overdue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from batchyard.core.jobs import JobRef

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


class JobStarter:
    """`function`: the name of the native executor's. `client` is made only if there is a job. `at_once`: how many jobs
    of a batch are started together at most, in an account whose concurrency they might use up; the others come next
    time."""

    def __init__(self, client: Callable[[], LambdaClient], function: str, at_once: int | None = None) -> None:
        self._client = client
        self._function = function
        self._at_once = at_once

    def start(self, refs: Sequence[JobRef]) -> None:
        for ref in refs[: self._at_once]:
            self._client().invoke(FunctionName=self._function, InvocationType="Event", Payload=ref.to_json().encode())
