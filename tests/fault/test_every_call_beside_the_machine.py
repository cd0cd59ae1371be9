"""Each AWS call of the drop folder and of Sweep fails, throttles, loses its answer or its caller."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import ClientError

from local.cloud import LocalCloud
from local.provider import SimulatedProvider
from tests.customer import END_POLL_SECONDS, eventually, jsonl
from tests.fault.every_call import Attempt, each_way, swept, walk
from tests.fault.evidence import note, own_lines, served
from tests.invariants import check_files

# A function that waits between its tries holds up nobody else.
CLOUD = {"processes": 6, "schedules": False}
# A lease that does not end by itself: no worker dies here, so a body that is sent twice is a fault.
ENVIRONMENT = {"LEASE_SECONDS": "12"}


@each_way
def test_a_dropped_file_survives_any_call(cloud: LocalCloud, provider: SimulatedProvider, way: str) -> None:
    """Call N of the drop folder's function, and of Notify, which brings the results back: one batch, its results
    complete."""

    def run(attempt: Attempt) -> None:
        customer = attempt.customer
        lines = own_lines(customer, 6, {4: "status:400"})
        folder = f"{customer.account_id}/nightly"
        attempt.strike()
        cloud.client("s3").put_object(Bucket=cloud.drop_bucket, Key=f"drop/{folder}.jsonl", Body=jsonl(lines))
        found = eventually(lambda: _result(cloud, f"{folder}.status.json"), "the status file", pause=END_POLL_SECONDS)
        status = json.loads(found)
        attempt.spare()
        assert status["status"] == "completed"
        output, errors = (_result(cloud, f"{folder}.{kind}.jsonl") for kind in ("output", "errors"))
        checked = check_files([line["custom_id"] for line in lines], output, errors)
        assert (checked.succeeded, checked.failed) == (5, 1)
        (batch,) = customer.openai.batches.list()
        assert customer.check(batch, lines) == checked
        assert [count.received for count in served(provider, lines)] == [1] * len(lines)

    # A kill hits the messages of others too, and the queue gives one up after five receives.
    met = walk(cloud, ("drop", "notify"), way, run, side_by_side={"throttled": 12, "killed": 2}.get(way, 8))
    note(f"calls of the drop folder, {way}", met)
    assert met["drop"] >= 8
    assert met["notify"] >= 4


@each_way
def test_sweep_survives_any_call(cloud: LocalCloud, provider: SimulatedProvider, way: str) -> None:
    """A batch that never started: Sweep, run again when it fails as its schedule does, starts it once."""

    def run(attempt: Attempt) -> None:
        customer = attempt.customer
        lines = own_lines(customer, 2)
        lost: dict[str, Any] = {"about": customer.account_id, "status": 400, "code": "InternalFailure"}
        fault = cloud.fail("batches", operation="StartExecution", **lost)
        batch = customer.submit(lines)
        assert cloud.unfail(fault)["fired"] == 1
        attempt.strike()
        eventually(lambda: swept(cloud) and customer.status(batch.id) != "validating", "Sweep has started it")
        attempt.spare()
        batch, checked = attempt.end(batch.id, lines)
        assert (batch.status, checked.succeeded) == ("completed", 2)
        assert [count.received for count in served(provider, lines)] == [1] * len(lines)

    # There is one Sweep at a time, so that all its waiting would add up: here the SDK gets through at its second try.
    times = {"times": 1} if way == "throttled" else {}
    met = walk(cloud, ("sweep",), way, run, scoped=False, **times)
    note(f"calls of Sweep, {way}", met)
    assert met["sweep"] >= 3


def _result(cloud: LocalCloud, name: str) -> bytes | None:
    try:
        found = cloud.client("s3").get_object(Bucket=cloud.drop_bucket, Key=f"results/{name}")
    except ClientError as error:
        assert error.response["Error"]["Code"] == "NoSuchKey"
        return None
    content: bytes = found["Body"].read()
    return content
