"""The state machine's steps and executions run more than once: before, during, after, and at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from local.cloud import LocalCloud, LocalCloudError
from local.provider import SimulatedProvider
from tests.customer import CHAT, Customer, eventually, jsonl
from tests.fault.evidence import own_lines, served

Lines = list[dict[str, Any]]
# A lease that does not end by itself: no worker dies here, so a body that is sent twice is a fault.
ENVIRONMENT = {"LEASE_SECONDS": "12"}
CLOUD = {"schedules": False}


@pytest.fixture
def lines(customer: Customer) -> Lines:
    """24 of this test alone, one of which fails."""
    return own_lines(customer, 24, {5: "status:400"})


class Steps:
    """A batch's steps, run by hand; each twice at the same time."""

    def __init__(self, customer: Customer, batch_id: str) -> None:
        self._cloud = customer.cloud
        self._batch = {"account_id": customer.account_id, "batch_id": batch_id}

    def twice(self, step: str, **more: Any) -> list[Any]:
        """What the two invocations answered, or the LocalCloudError."""
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda _: self._once(step, more), range(2)))

    def _once(self, step: str, more: dict[str, Any]) -> Any:
        try:
            return self._cloud.invoke(step, self._batch | more)
        except LocalCloudError as error:
            return error


def test_steps_by_hand_while_the_execution_runs(
    cloud: LocalCloud, customer: Customer, provider: SimulatedProvider, lines: Lines
) -> None:
    """Validate and Dispatch twice at once in the middle of the work, all of them twice at once when it is over."""
    provider.configure(is_holding=True)
    batch = customer.submit(lines)
    steps = Steps(customer, batch.id)
    token = _waiting(customer, batch.id)
    answers = steps.twice("validate") + steps.twice("dispatch", task_token=token)
    assert [answer and answer["status"] for answer in answers] == ["in_progress", "in_progress", None, None]
    provider.configure(is_holding=False)
    batch = customer.wait(batch.id)
    checked = customer.check(batch, lines)
    assert (batch.status, checked.succeeded, checked.failed) == ("completed", 23, 1)
    steps.twice("validate")
    steps.twice("dispatch", task_token=token)
    for ending in ("completed", "cancelled", "expired", "failed"):
        steps.twice("fence", ending=ending, since=0)
        assert [answer["status"] for answer in steps.twice("finalize", ending=ending)] == ["completed"] * 2
    steps.twice("notify")
    assert customer.check(batch, lines) == checked
    assert [count.received for count in served(provider, lines)] == [1] * len(lines)


def test_steps_by_hand_without_an_execution(
    cloud: LocalCloud, customer: Customer, provider: SimulatedProvider, lines: Lines
) -> None:
    """StartExecution was lost. The steps are run by hand, each twice at once, to the end; the execution that Sweep
    starts then finds nothing to do."""
    batch_id = _created_without_execution(customer, lines)
    steps = Steps(customer, batch_id)
    assert [answer["status"] for answer in steps.twice("validate")] == ["in_progress"] * 2
    steps.twice("dispatch", task_token="nobody-waits-for-this")
    eventually(
        lambda: (
            {shard["state"] for shard in customer.rows(batch_id)[1]} == {"settled"}
            and len(customer.rows(batch_id)[1]) == 6
        ),
        "every shard is settled",
    )
    ends = [answer["status"] for answer in steps.twice("finalize", ending="completed")]
    assert ends == ["completed"] * 2
    batch = customer.wait(batch_id)
    checked = customer.check(batch, lines)
    assert checked.succeeded == 23
    cloud.invoke("sweep", {})
    steps.twice("notify")
    assert customer.check(batch, lines) == checked
    assert [count.received for count in served(provider, lines)] == [1] * len(lines)


def test_finalize_comes_too_early(
    cloud: LocalCloud, customer: Customer, provider: SimulatedProvider, lines: Lines
) -> None:
    """It refuses a batch that is not done, and the batch goes on as if it had never been called."""
    provider.configure(is_holding=True)
    batch = customer.submit(lines, extra_body={"settings": {"concurrency": 8}})
    steps = Steps(customer, batch.id)
    _waiting(customer, batch.id)
    assert all(isinstance(answer, LocalCloudError) for answer in steps.twice("finalize", ending="completed"))
    assert customer.openai.batches.retrieve(batch.id).status == "in_progress"
    provider.configure(is_holding=False)
    batch = customer.wait(batch.id)
    assert customer.check(batch, lines).succeeded == 23


def test_sweep_starts_what_never_started(
    cloud: LocalCloud, customer: Customer, provider: SimulatedProvider, lines: Lines
) -> None:
    """The create call died between the row and StartExecution, and its client never came back."""
    batch_id = _created_without_execution(customer, lines)
    assert customer.openai.batches.retrieve(batch_id).status == "validating"
    assert cloud.fire("sweep") == 1
    batch = customer.wait(batch_id)
    assert customer.check(batch, lines).succeeded == 23
    assert [count.received for count in served(provider, lines)] == [1] * len(lines)


def test_the_same_key_finds_what_never_started(
    cloud: LocalCloud, customer: Customer, provider: SimulatedProvider, lines: Lines
) -> None:
    """The create call failed after its row; repeated with its Idempotency-Key it is the same batch, and runs."""
    batch_id = _created_without_execution(customer, lines, "monday")
    (file_id,) = [file.id for file in customer.openai.files.list(purpose="batch")]
    again = customer.openai.batches.create(
        input_file_id=file_id,
        endpoint=CHAT,
        completion_window="24h",
        extra_headers={"Idempotency-Key": "monday"},
    )
    assert again.id == batch_id
    assert customer.check(customer.wait(batch_id), lines).succeeded == 23
    assert len(list(customer.openai.batches.list())) == 1


@pytest.mark.parametrize("moment", ["in Validate", "in the work", "when all is sent"])
def test_an_execution_is_stopped(
    cloud: LocalCloud, customer: Customer, provider: SimulatedProvider, lines: Lines, moment: str
) -> None:
    """Sweep starts the batch again, and what was done is not done again."""
    provider.configure(is_holding=True)
    if moment == "in Validate":
        cloud.fail("validate", operation="PutObject", when="late", hold_seconds=1, about=customer.account_id)
    batch = customer.submit(lines)
    if moment != "in Validate":
        _waiting(customer, batch.id)
    if moment == "when all is sent":
        eventually(lambda: sum(c.received for c in served(provider, lines)) == len(lines), "everything is sent")
    _stop(cloud, batch.id)
    if moment == "when all is sent":
        provider.configure(is_holding=False)
        eventually(lambda: {s["state"] for s in customer.rows(batch.id)[1]} == {"settled"}, "all is settled")
    eventually(lambda: _swept(cloud, customer, batch.id), "sweep has started it again")
    provider.configure(is_holding=False)
    batch = customer.wait(batch.id)
    checked = customer.check(batch, lines)
    assert (batch.status, checked.succeeded) == ("completed", 23)
    assert customer.rows(batch.id)[0]["executions"] == 1
    assert [count.received for count in served(provider, lines)] == [1] * len(lines)


def test_two_executions_at_once(
    cloud: LocalCloud, customer: Customer, provider: SimulatedProvider, lines: Lines
) -> None:
    """A second and a third one beside the first send every shard again while it runs: one of them ends the batch,
    once."""
    provider.configure(is_holding=True)
    batch = customer.submit(lines)
    _start(cloud, customer, batch.id, 1)
    token = _waiting(customer, batch.id)
    _start(cloud, customer, batch.id, 2)
    _waiting(customer, batch.id, not_on=token)
    provider.configure(is_holding=False)
    batch = customer.wait(batch.id)
    checked = customer.check(batch, lines)
    assert (batch.status, checked.succeeded) == ("completed", 23)
    assert [count.received for count in served(provider, lines)] == [1] * len(lines)


def test_a_batch_whose_executions_all_die_is_closed(
    cloud: LocalCloud, customer: Customer, provider: SimulatedProvider
) -> None:
    """Its results are kept, the rest gets error lines, and nobody polls it for ever."""
    slow = own_lines(customer, 24, dict.fromkeys(range(3, 24, 4), "hang"))
    batch = customer.submit(slow)
    token = None
    for execution in range(6):
        token = _waiting(customer, batch.id, not_on=token)
        _stop(cloud, batch.id, execution)
        eventually(lambda e=execution: _swept(cloud, customer, batch.id, e + 1), "sweep has started it again")
    batch = customer.wait(batch.id)
    checked = customer.check(batch, slow)
    assert batch.status == "failed"
    assert checked.codes == {"batch_failed": 6}
    assert checked.succeeded == 18


def _created_without_execution(customer: Customer, lines: Lines, key: str | None = None) -> str:
    """The id of a batch whose row is there and whose execution is not."""
    about = {"about": customer.account_id, "status": 400, "code": "InternalFailure"}
    fault = customer.cloud.fail("batches", operation="StartExecution", **about)
    batch = customer.submit(lines, extra_headers={"Idempotency-Key": key} if key else {})
    assert customer.cloud.unfail(fault)["fired"] == 1
    assert batch.status == "validating"
    return batch.id


def _waiting(customer: Customer, batch_id: str, not_on: str | None = None) -> str:
    """The task token, another one than `not_on`, that an execution of the batch waits on."""

    def token() -> str | None:
        found: str | None = customer.rows(batch_id)[0]["task_token"]
        dispatching = any(each["busy"] for each in customer.cloud.processes("dispatch"))
        return None if found == not_on or dispatching else found

    return eventually(token, "an execution waits")


def _arn(cloud: LocalCloud, batch_id: str, execution: int) -> str:
    machine = cloud.state_machines[0].replace(":stateMachine:", ":execution:")
    return f"{machine}:{batch_id}-{execution}" if execution else f"{machine}:{batch_id}"


def _stop(cloud: LocalCloud, batch_id: str, execution: int = 0) -> None:
    cloud.client("stepfunctions").stop_execution(executionArn=_arn(cloud, batch_id, execution))


def _start(cloud: LocalCloud, customer: Customer, batch_id: str, execution: int) -> None:
    cloud.client("stepfunctions").start_execution(
        stateMachineArn=cloud.state_machines[0],
        name=f"{batch_id}-{execution}",
        input=jsonl([{"account_id": customer.account_id, "batch_id": batch_id}]).decode(),
    )


def _swept(cloud: LocalCloud, customer: Customer, batch_id: str, execution: int = 1) -> bool:
    cloud.invoke("sweep", {})
    executions: int = customer.rows(batch_id)[0]["executions"]
    return executions >= execution
