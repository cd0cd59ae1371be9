"""Batches that end before they are done: cancelled or expired, at every stage, with workers that die on the way."""

from __future__ import annotations

import openai
import pytest
from openai.types import Batch

from local.cloud import LocalCloud
from local.provider import SimulatedProvider
from tests.customer import Customer, chat_line, eventually
from tests.fault.evidence import served
from tests.invariants import TERMINAL

WINDOW_SECONDS = 20
"""Long enough for a busy machine to get half of a batch done."""
TRIES = 10
ENVIRONMENT = {"SHARD_ITEMS": "8", "batches.COMPLETION_WINDOW_SECONDS": str(WINDOW_SECONDS)}


def partly_hanging(items: int) -> list[dict[str, object]]:
    """Every other item never answers."""
    return [chat_line(number, "hang" if number % 2 else None) for number in range(items)]


def flushed_something(customer: Customer, batch_id: str, at_least: int) -> bool:
    _, shards = customer.rows(batch_id)
    return sum(shard.get("succeeded", 0) for shard in shards) >= at_least


def half_done(customer: Customer, lines: list[dict[str, object]]) -> Batch:
    """A batch of `lines` half of which is flushed. On a machine so busy that the window ends before that, the next one
    may be luckier."""
    for _ in range(TRIES - 1):
        batch = customer.submit(lines)
        if is_half_done_in_time(customer, batch.id, len(lines)):
            return batch
    return customer.submit(lines)


def is_half_done_in_time(customer: Customer, batch_id: str, items: int) -> bool:
    def is_half_done() -> bool:
        return flushed_something(customer, batch_id, items // 2)

    eventually(lambda: is_half_done() or customer.status(batch_id) in TERMINAL, "the half that answers is flushed")
    return is_half_done()


@pytest.mark.parametrize("killed", [False, True], ids=["undisturbed", "workers die"])
def test_a_cancelled_batch_keeps_what_is_done(
    cloud: LocalCloud, customer: Customer, provider: SimulatedProvider, killed: bool
) -> None:
    """Half of the items are done, half hang: the first half is in the output file, the second is batch_cancelled, and
    the provider is sent nothing once the batch is over."""
    lines = partly_hanging(24)
    batch = customer.submit(lines)
    eventually(lambda: flushed_something(customer, batch.id, 12), "the half that answers is flushed")
    assert customer.openai.batches.cancel(batch.id).status == "cancelling"
    if killed:
        cloud.kill("work")
    batch = customer.wait(batch.id)
    checked = customer.check(batch, lines)
    assert batch.status == "cancelled"
    assert checked.succeeded == 12
    assert checked.codes == {"batch_cancelled": 12}
    sent = provider.stats()["requests"]
    eventually(lambda: not any(each["busy"] for each in cloud.processes("work")), "the workers are done")
    assert provider.stats()["requests"] == sent
    assert all(count.succeeded == 1 for count in served(provider, lines[::2]))


def test_a_cancel_may_be_repeated_and_comes_too_late_once_it_is_over(
    customer: Customer, provider: SimulatedProvider
) -> None:
    """Cancelling twice is one cancel, also after the end; what is completed is a conflict."""
    batch = customer.submit([chat_line(0, "hang")])
    for _ in range(2):
        assert customer.openai.batches.cancel(batch.id).status in ("cancelling", "cancelled")
    assert customer.wait(batch.id).status == "cancelled"
    assert customer.openai.batches.cancel(batch.id).status == "cancelled"
    done = customer.wait(customer.submit([chat_line(1)]).id)
    with pytest.raises(openai.ConflictError):
        customer.openai.batches.cancel(done.id)


def test_a_batch_cancelled_while_it_is_validated_has_no_files(
    cloud: LocalCloud, customer: Customer, provider: SimulatedProvider
) -> None:
    """Validate is killed until the cancel is in: cancelled without a plan, and nothing was ever sent."""
    cloud.limit("validate", 0.001)
    batch = customer.submit([chat_line(number) for number in range(4)])
    assert customer.openai.batches.cancel(batch.id).status == "cancelling"
    cloud.limit("validate", None)
    cloud.fire("sweep")
    batch = customer.wait(batch.id)
    assert (batch.status, batch.output_file_id, batch.error_file_id) == ("cancelled", None, None)
    assert batch.request_counts is not None
    assert batch.request_counts.total == 0
    assert provider.stats()["requests"] == 0


@pytest.mark.parametrize("killed", [False, True], ids=["undisturbed", "workers die"])
def test_an_expired_batch_keeps_what_is_done(
    cloud: LocalCloud, customer: Customer, provider: SimulatedProvider, killed: bool
) -> None:
    """The window ends while half of the items hang: they are batch_expired, the others are paid for and kept; nothing
    is sent after that."""
    lines = partly_hanging(24)
    batch = half_done(customer, lines)
    if killed:
        cloud.kill("work")
    batch = customer.wait(batch.id)
    checked = customer.check(batch, lines)
    assert batch.status == "expired"
    assert batch.expires_at == batch.created_at + WINDOW_SECONDS
    assert checked.succeeded == 12
    assert checked.codes == {"batch_expired": 12}
    sent = provider.stats()["requests"]
    eventually(lambda: not any(each["busy"] for each in cloud.processes("work")), "the workers are done")
    assert provider.stats()["requests"] == sent


def test_a_batch_whose_provider_never_answers_expires_whole(customer: Customer, provider: SimulatedProvider) -> None:
    """No output file, every line says batch_expired, the counts add up."""
    lines = [chat_line(number, "hang") for number in range(16)]
    batch = customer.wait(customer.submit(lines).id)
    checked = customer.check(batch, lines)
    assert (batch.status, batch.output_file_id, checked.codes) == ("expired", None, {"batch_expired": 16})


def test_retries_end_with_the_window(customer: Customer, provider: SimulatedProvider) -> None:
    """A provider that answers 429 for ever costs no retry budget, and the batch expires all the same."""
    lines = [chat_line(number, "status:429;retry_after:0.2") for number in range(4)]
    batch = customer.wait(customer.submit(lines).id)
    checked = customer.check(batch, lines)
    assert (batch.status, checked.codes) == ("expired", {"batch_expired": 4})
