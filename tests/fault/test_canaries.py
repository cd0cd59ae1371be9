"""The tester is tested: each way of breaking the product, in a copy of it, must be noticed by the checks that the other
fault tests end with, and by the invariant that it breaks."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from openai.types import Batch

from local.cloud import LocalCloud
from local.deployment.templates import ROOT
from local.provider import SimulatedProvider
from tests.customer import Customer, eventually
from tests.fault.conftest import ENVIRONMENT, UNDISTURBED, WAIT_SCALE
from tests.fault.evidence import flushed, own_lines, served
from tests.invariants import Invariant, InvariantBroken, check_calls, check_ended


@contextmanager
def broken(
    path: Path, provider: SimulatedProvider, file: str, was: str, becomes: str, **environment: str
) -> Iterator[Customer]:
    """A customer of a cloud that runs a copy of the product in which `was`, in `file`, has become something else."""
    copy = path / "functions"
    shutil.copytree(ROOT / "functions", copy)
    source = copy / "batchyard" / file
    text = source.read_text()
    assert text.count(was) == 1, f"{file} has changed: the canary does not know where to sit"
    source.write_text(text.replace(was, becomes))
    settings = ENVIRONMENT | environment
    with (
        LocalCloud(
            provider_url=provider.url,
            environment=settings,
            wait_scale=WAIT_SCALE,
            preload=True,
            functions_path=copy,
        ) as cloud,
        Customer(cloud, "canary") as customer,
    ):
        cloud.deliver(**UNDISTURBED)
        yield customer


@pytest.mark.parametrize(
    ("was", "becomes", "invariant"),
    [
        ("self._writer.write(line)", "self._writer.write(line if self._lines != 2 else b'')", Invariant.ONE_LINE),
        ("self._writer.write(line)", "self._writer.write(line * (1 + (self._lines == 2)))", Invariant.ONE_LINE),
        (
            "return _Published(output, error, tally + Tally(**copied))",
            "return _Published(output, error, tally + Tally(succeeded=1))",
            Invariant.COUNTS,
        ),
    ],
    ids=["an item is lost", "an item is there twice", "the counts are wrong"],
)
def test_a_wrong_result_is_noticed(
    tmp_path: Path, provider: SimulatedProvider, was: str, becomes: str, invariant: Invariant
) -> None:
    """Finalize drops an item, writes one twice, or miscounts."""
    with broken(tmp_path, provider, "steps/finalize.py", was, becomes) as customer:
        lines = own_lines(customer, 8)
        batch = customer.wait(customer.submit(lines).id)
        with pytest.raises(InvariantBroken) as noticed:
            customer.check(batch, lines)
    assert noticed.value.invariant is invariant


def test_a_lease_that_holds_nobody_off_is_noticed(tmp_path: Path, provider: SimulatedProvider) -> None:
    """Claims ignore other owners: a message that is back too early runs the shard beside its owner, and the provider's
    counts show it."""
    was, becomes = "AND #lease_until < :now AND", "AND (#lease_until < :now OR #version > :now OR #version < :now) AND"
    with broken(tmp_path, provider, "adapters/aws/shards.py", was, becomes) as customer:
        provider.configure(latency_ms=4000)
        customer.cloud.deliver(visibility_seconds=1)
        lines = own_lines(customer, 16)
        customer.submit(lines)
        eventually(lambda: all(count.received for count in served(provider, lines)), "every item was sent")
        with pytest.raises(InvariantBroken) as noticed:
            eventually(lambda: check_calls(each.received for each in served(provider, lines)), "a repeated call")
    assert noticed.value.invariant is Invariant.CALLED_ONCE


def test_a_late_owner_that_is_let_in_is_noticed(tmp_path: Path, provider: SimulatedProvider) -> None:
    """Writes ignore who owns the shard: a worker that was paused writes over its successor's work, and the batch does
    not end, or its books do not balance."""
    was = '_OWNED = "#owner = :holder AND #version = :claimed AND #state = :still_open"'
    becomes = '_OWNED = "(#owner = :holder OR #version >= :claimed OR #state = :still_open)"'
    settings = {"SHARD_ITEMS": "16", "MAX_IN_FLIGHT": "2"}
    with broken(tmp_path, provider, "adapters/aws/shards.py", was, becomes, **settings) as customer:
        provider.configure(latency_ms=800)
        cloud = customer.cloud
        cloud.deliver(visibility_seconds=3)
        lines = own_lines(customer, 16)
        batch = customer.submit(lines)
        eventually(lambda: len(flushed(customer, batch.id)) > 0, "a flush")
        stopped = [each["pid"] for each in cloud.processes("work") if each["busy"]]
        known = len(flushed(customer, batch.id))
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        eventually(lambda: len(flushed(customer, batch.id)) > known, "the successor's flush")
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        with pytest.raises(InvariantBroken) as noticed:
            customer.check(ended(customer, batch.id, seconds=10), lines)
    assert noticed.value.invariant in (Invariant.ENDS, Invariant.SUMS)


def ended(customer: Customer, batch_id: str, seconds: float) -> Batch:
    """The batch after `seconds` or, if that is sooner, when it is over."""
    with contextlib.suppress(AssertionError):
        return customer.wait(batch_id, seconds=seconds)
    check_ended(customer.status(batch_id))
    return customer.wait(batch_id)
