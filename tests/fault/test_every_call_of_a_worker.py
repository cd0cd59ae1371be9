"""Each AWS call of the worker fails, throttles, loses its answer or its process: no item is lost or counted twice."""

from __future__ import annotations

from local.cloud import LocalCloud
from local.provider import SimulatedProvider
from tests.customer import chat_line
from tests.fault.every_call import Attempt, each_way, walk
from tests.fault.evidence import note

ENVIRONMENT = {"DISPATCH_STRIDE": "2"}
LINES = [chat_line(number, "status:400" if number == 5 else None) for number in range(12)]


@each_way
def test_a_batch_survives_any_call(cloud: LocalCloud, provider: SimulatedProvider, way: str) -> None:
    """Call N of the worker, through claims, flushes, followers, settlements and the wake-up at the end."""

    def run(attempt: Attempt) -> None:
        attempt.strike()
        batch, checked = attempt.run(LINES)
        assert (batch.status, checked.succeeded, checked.failed) == ("completed", 11, 1)

    # A kill takes the shards of every batch that is in the same process with it.
    met = walk(cloud, ("work",), way, run, side_by_side=1 if way == "killed" else 8)
    note(f"calls of the worker, {way}", met)
    assert met["work"] >= 15


@each_way
def test_the_providers_key_cannot_be_read(cloud: LocalCloud, provider: SimulatedProvider, way: str) -> None:
    """Secrets Manager fails a worker that has just started: the shards wait, then run."""

    def run(attempt: Attempt) -> None:
        cloud.kill("work", busy_only=False)
        attempt.strike()
        _, checked = attempt.run(LINES)
        assert checked.succeeded == 11

    assert walk(cloud, ("work",), way, run, scoped=False, service="secretsmanager")["work"] >= 1


def test_a_message_that_cannot_be_postponed_comes_back(cloud: LocalCloud, provider: SimulatedProvider) -> None:
    """A shard fails, and so does the call that would bring its message back early: visibility brings it back."""
    cloud.deliver(visibility_seconds=1)

    def run(attempt: Attempt) -> None:
        attempt.strike()
        cloud.fail("work", operation="ChangeMessageVisibility", times=1, status=400, code="InternalFailure")
        _, checked = attempt.run(LINES)
        assert checked.succeeded == 11

    assert walk(cloud, ("work",), "refused", run, scoped=False, operation="PutObject")["work"] >= 3
