"""Workers that die or are paused in the middle of a shard."""

from __future__ import annotations

import os
import signal

from local.cloud import LocalCloud
from local.provider import SimulatedProvider
from tests.customer import Customer, chat_line, eventually
from tests.fault.every_call import swept
from tests.fault.evidence import flushed, note, own_lines, served
from tests.invariants import TERMINAL

SHARD_ITEMS = 24
FLUSH_ITEMS = 4
MAX_IN_FLIGHT = 4
PROCESSES = 2
ENVIRONMENT = {
    "SHARD_ITEMS": str(SHARD_ITEMS),
    "FLUSH_ITEMS": str(FLUSH_ITEMS),
    "MAX_IN_FLIGHT": str(MAX_IN_FLIGHT),
    "LEASE_SECONDS": "3",
}
CLOUD = {"processes": PROCESSES}
KILLS = 5
MANY_KILLS = 8
CALLS_BETWEEN_KILLS = 12


def test_workers_killed_again_and_again(cloud: LocalCloud, customer: Customer, provider: SimulatedProvider) -> None:
    """Five kills in a batch of four shards: every item succeeds; what was flushed is never sent again; what is sent
    again is no more than what was in flight or not yet flushed when its worker died."""
    provider.configure(latency_ms=800)
    lines = [chat_line(number) for number in range(4 * SHARD_ITEMS)]
    shards = len(lines) // SHARD_ITEMS
    batch = customer.submit(lines)
    kept: set[int] = set()
    received_when_kept: dict[int, int] = {}
    lost = 0
    for _ in range(KILLS):
        before = len(kept)
        eventually(lambda b=before: len(flushed(customer, batch.id)) > b, "another flush")
        eventually(lambda: provider.stats()["in_flight"] > 0, "calls in flight")
        assert cloud.kill("work")
        kept = flushed(customer, batch.id)
        counts = served(provider, lines)
        received_when_kept |= {i: counts[i].received for i in kept - received_when_kept.keys()}
        at_risk = sum(count.received > 0 for count in counts) - len(kept)
        # Each process holds its calls in flight, and per shard what a flush is writing and what waits for the next.
        assert at_risk <= PROCESSES * MAX_IN_FLIGHT + shards * 2 * FLUSH_ITEMS
        lost += at_risk
    batch = customer.wait(batch.id)
    checked = customer.check(batch, lines)
    assert (batch.status, checked.succeeded) == ("completed", len(lines))
    counts = served(provider, lines)
    for index, received in received_when_kept.items():
        assert counts[index].received == received, f"item {index} was sent again after it was flushed"
    repeats = sum(count.received - 1 for count in counts)
    note("killed workers", {"kills": KILLS, "items": len(lines), "kept": len(kept), "repeats": repeats, "bound": lost})
    assert repeats <= lost


def test_all_workers_killed_again_and_again(cloud: LocalCloud, customer: Customer, provider: SimulatedProvider) -> None:
    """Every worker dies as soon as it has got going, eight times: the batch ends with every item once, nobody is
    blamed, and the calls made again, which is what it is slowed by, are no more than were killed."""
    provider.configure(latency_ms=100)
    lines = own_lines(customer, 5 * SHARD_ITEMS)
    batch = customer.submit(lines)
    killed_calls = 0
    for _ in range(MANY_KILLS):
        wanted = provider.stats()["requests"] + CALLS_BETWEEN_KILLS
        eventually(lambda w=wanted: provider.stats()["requests"] >= w, "some more calls")
        assert cloud.kill("work", busy_only=False)
        kept = len(flushed(customer, batch.id))
        killed_calls += sum(count.received > 0 for count in served(provider, lines)) - kept
    assert customer.status(batch.id) == "in_progress"
    batch = customer.wait(batch.id)
    checked = customer.check(batch, lines)
    assert (batch.status, checked.succeeded) == ("completed", len(lines))
    calls = sum(count.received for count in served(provider, lines))
    repeats = calls - len(lines)
    note("all workers killed", {"kills": MANY_KILLS, "calls": calls, "repeats": repeats, "bound": killed_calls})
    assert 0 < repeats <= killed_calls


def test_a_worker_that_stood_still_too_long_writes_nothing(
    cloud: LocalCloud, customer: Customer, provider: SimulatedProvider
) -> None:
    """Stopped in the middle of its calls, overtaken when its lease ended, woken after the batch was over: what it
    holds is dropped."""
    eventually(lambda: not busy_workers(cloud), "nobody is left of other tests")
    provider.configure(latency_ms=3000)
    lines = own_lines(customer, SHARD_ITEMS)
    batch = customer.submit(lines)
    eventually(lambda: len(flushed(customer, batch.id)) > 0, "a flush")
    provider.configure(is_holding=True)
    (stopped,) = busy_workers(cloud)
    os.kill(stopped, signal.SIGSTOP)
    provider.configure(is_holding=False, latency_ms=0)
    eventually(lambda: swept(cloud) and customer.status(batch.id) in TERMINAL, "another worker has ended the batch")
    batch = customer.wait(batch.id)
    before = customer.check(batch, lines)
    os.kill(stopped, signal.SIGCONT)
    eventually(lambda: not busy_workers(cloud), "the woken worker is done")
    assert customer.check(batch, lines) == before
    assert before.succeeded == len(lines)
    repeats = sum(count.received - 1 for count in served(provider, lines))
    note("a paused worker", {"repeats": repeats})
    assert repeats > 0, "nobody took over from it"


def busy_workers(cloud: LocalCloud) -> list[int]:
    """Their process ids."""
    return [each["pid"] for each in cloud.processes("work") if each["busy"]]
