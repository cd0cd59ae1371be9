"""Each AWS call of the API's functions fails, throttles, loses its answer or its caller. The official client repeats
what came back as a 5xx, with the same Idempotency-Key: the batch is made once and runs once."""

from __future__ import annotations

from contextlib import suppress

import openai
import pytest

from local.cloud import LocalCloud
from local.provider import SimulatedProvider
from tests.customer import END_POLL_SECONDS, eventually, jsonl
from tests.fault.every_call import Attempt, each_way, swept, walk
from tests.fault.evidence import flushed, note, own_lines, served

# A fence's rounds are half a second apart, so that a walk through its calls has an end. A function that waits between
# its tries holds up nobody else.
CLOUD = {"wait_scale": 0.25, "processes": 6, "schedules": False}
ENVIRONMENT = {"work.DRAIN_SECONDS": "0.5", "LEASE_SECONDS": "3"}


@each_way
def test_a_session_survives_any_call(cloud: LocalCloud, provider: SimulatedProvider, way: str) -> None:
    """Upload, create, retrieve and list; then, of the finished batch, retrieve, list and download."""

    def run(attempt: Attempt) -> None:
        customer = attempt.customer
        lines = own_lines(customer, 6, {4: "status:400"})
        attempt.strike()
        file_id = customer.upload(jsonl(lines))
        created = customer.openai.batches.create(
            input_file_id=file_id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            extra_headers={"Idempotency-Key": customer.account_id},
        )
        assert customer.openai.batches.retrieve(created.id).input_file_id == file_id
        assert [batch.id for batch in customer.openai.batches.list()] == [created.id]
        attempt.spare()
        # If StartExecution failed, the batch exists and waits for Sweep.
        attempt.end_with_sweeps(created.id)
        batch = customer.wait(created.id)
        attempt.strike()
        checked = customer.check(batch, lines)
        assert (batch.status, checked.succeeded, checked.failed) == ("completed", 5, 1)
        assert len(list(customer.openai.files.list(purpose="batch_output"))) == 2
        assert [count.received for count in served(provider, lines)] == [1] * len(lines)

    # A kill ends what the same process does for others, whose clients have only so much patience.
    met = walk(cloud, ("files", "batches"), way, run, side_by_side=1 if way == "killed" else 8)
    note(f"calls of a session, {way}", met)
    assert met["files"] >= 3
    assert met["batches"] >= 4


@pytest.mark.parametrize("way", ["refused", "lost_answer"])
def test_no_call_makes_a_second_batch(cloud: LocalCloud, provider: SimulatedProvider, way: str) -> None:
    """Upload and create without an Idempotency-Key, as SDKs do: what the client repeats by itself is made once."""

    def run(attempt: Attempt) -> None:
        customer = attempt.customer
        lines = own_lines(customer, 2)
        attempt.strike()
        file_id = customer.upload(jsonl(lines))
        created = customer.openai.batches.create(
            input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h"
        )
        attempt.spare()
        assert [file.id for file in customer.openai.files.list(purpose="batch")] == [file_id]
        assert [batch.id for batch in customer.openai.batches.list()] == [created.id]

    met = walk(cloud, ("files", "batches"), way, run)
    assert met["files"] >= 2
    assert met["batches"] >= 3


@pytest.mark.parametrize("way", ["refused", "lost_answer"])
def test_a_deletion_survives_any_call(cloud: LocalCloud, provider: SimulatedProvider, way: str) -> None:
    """Delete input, output and error file of a batch, call N goes wrong: the client repeats, Sweep finishes what is
    left, and nothing of the content is stored any more."""

    def run(attempt: Attempt) -> None:
        customer = attempt.customer
        batch, _ = attempt.run(own_lines(customer, 4, {2: "status:400"}))
        file_ids = [batch.input_file_id, batch.output_file_id, batch.error_file_id]
        attempt.strike(batch.id, *map(str, file_ids))
        for file_id in file_ids:
            with suppress(openai.NotFoundError):  # the repeat may find that the first one had removed the file
                customer.openai.files.delete(str(file_id))
        attempt.spare()
        s3 = cloud.client("s3")

        def stored() -> list[str]:
            found = s3.list_objects_v2(Bucket=cloud.data_bucket).get("Contents", [])
            return [each["Key"] for each in found if customer.account_id in each["Key"]]

        eventually(lambda: not stored() or (swept(cloud) and None), "nothing is stored", pause=END_POLL_SECONDS)

    met = walk(cloud, ("files",), way, run)
    assert met["files"] >= 10


@each_way
def test_the_key_cannot_be_looked_up(cloud: LocalCloud, provider: SimulatedProvider, way: str) -> None:
    """Reads that know no account yet: who is calling."""

    def run(attempt: Attempt) -> None:
        customer = attempt.customer
        lines = own_lines(customer, 1)
        attempt.strike()
        file_id = customer.upload(jsonl(lines))
        assert customer.openai.files.retrieve(file_id).id == file_id

    met = walk(cloud, ("files",), way, run, scoped=False, operation="GetItem")
    assert met["files"] >= 2


@each_way
def test_a_cancel_survives_any_call(cloud: LocalCloud, provider: SimulatedProvider, way: str) -> None:
    """Call N of the cancel request and of Fence: what is done is kept, what hangs is batch_cancelled."""

    def run(attempt: Attempt) -> None:
        customer = attempt.customer
        lines = own_lines(customer, 8, {1: "hang", 6: "hang"})
        batch = customer.submit(lines)
        eventually(lambda: len(flushed(customer, batch.id)) == 6, "what answers is flushed")
        attempt.strike(batch.id, customer.rows(batch.id)[0]["task_token"])
        assert customer.openai.batches.cancel(batch.id).status in ("cancelling", "cancelled")
        attempt.end_with_sweeps(batch.id)
        attempt.spare()
        batch = customer.wait(batch.id)
        checked = customer.check(batch, lines)
        assert (batch.status, checked.succeeded) == ("cancelled", 6)
        assert checked.codes == {"batch_cancelled": 2}

    # The rounds of a fence are alike: three of them are enough.
    met = walk(cloud, ("batches", "fence"), way, run, enough=12, side_by_side=2 if way == "killed" else 8)
    note(f"calls of a cancel, {way}", met)
    assert met["batches"] >= 3
    assert met["fence"] >= 6
