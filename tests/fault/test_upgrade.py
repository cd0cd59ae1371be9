"""Every function is replaced by a newer version while batches run, and put back: nobody notices."""

from __future__ import annotations

import shutil
from pathlib import Path

from local.cloud import LocalCloud
from local.deployment.templates import ROOT
from local.provider import SimulatedProvider
from tests.customer import Customer, eventually
from tests.fault.evidence import note, own_lines, served

ENVIRONMENT = {"SHARD_ITEMS": "4", "MAX_IN_FLIGHT": "2", "LEASE_SECONDS": "12", "DISPATCH_STRIDE": "2"}
WORKER_TIMEOUT_SECONDS = 12.0
"""A worker draws shards as long as there are some. What runs ends with the code that it had, so workers have to end."""
MARK = "a newer version starts"
_CHANGES = (
    ("__init__.py", 'map of this package."""', f'map of this package."""\nprint(\'{MARK}\')'),
    ("core/batches.py", '"executions": self.executions,', '"executions": self.executions, "invented": {"later": [1]},'),
    ("core/sharding.py", '"run": self.run,', '"run": self.run, "invented": {"later": [1]},'),
    ("core/files.py", '{"status": str(self.status)} | ttl', '{"status": str(self.status), "invented": 1} | ttl'),
    ("core/messages.py", 'asdict(self) | {"price": price}', 'asdict(self) | {"price": price, "invented": 1}'),
    ("adapters/aws/shards.py", "**tally.to_row(),", '**tally.to_row(), "invented": 1,'),
)
"""(file, a text in it, what the newer version says instead): fields that the older one has never heard of, in the rows
and messages of a batch."""
_REPLACED = ("files", "batches", "validate", "dispatch", "work", "finalize", "notify")


def test_a_batch_runs_through_an_upgrade_and_a_rollback(
    cloud: LocalCloud, customer: Customer, provider: SimulatedProvider, tmp_path: Path
) -> None:
    """Three batches: one that both versions work on in turns, one that is the newer's alone, and one that the newer
    leaves to the older. Every item is sent once."""
    provider.configure(latency_ms=2_000)
    cloud.limit("work", WORKER_TIMEOUT_SECONDS)
    lines = own_lines(customer, 300, {7: "status:400", 290: "status:400"})
    long_lines, short_lines, left_lines = lines[:240], lines[240:244], lines[244:]
    long = customer.submit(long_lines)
    eventually(lambda: _shards(customer, long.id, newer=False), "the older version works")

    cloud.replace_code(_newer_version(tmp_path))
    eventually(lambda: _shards(customer, long.id, newer=True), "the newer version works on")
    short, checked = customer.run(short_lines)
    assert (short.status, checked.succeeded) == ("completed", 4)
    eventually(lambda: _started_anew(cloud) >= set(_REPLACED), "every function was the newer version")
    left = customer.submit(left_lines)
    eventually(lambda: customer.status(left.id) == "in_progress", "the newer version has sent it")
    by_the_older = _shards(customer, long.id, newer=False)

    cloud.replace_code()
    assert {customer.status(each.id) for each in (long, left)} == {"in_progress"}
    eventually(lambda: len(_shards(customer, long.id, newer=False)) > len(by_the_older), "the older version works on")
    provider.configure(latency_ms=50)
    for batch_id, sent in ((long.id, long_lines), (left.id, left_lines)):
        batch = customer.wait(batch_id)
        checked = customer.check(batch, sent)
        assert (batch.status, checked.failed) == ("completed", 1)
    assert [count.received for count in served(provider, lines)] == [1] * len(lines)
    shards = {newer: len(_shards(customer, long.id, newer=newer)) for newer in (False, True)}
    note("shards of the long batch", {"older": shards[False], "newer": shards[True]})


def _newer_version(path: Path) -> Path:
    copy = path / "functions"
    shutil.copytree(ROOT / "functions", copy, ignore=shutil.ignore_patterns("__pycache__"))
    for file, was, becomes in _CHANGES:
        source = copy / "batchyard" / file
        text = source.read_text()
        assert text.count(was) == 1, f"{file} has changed: the newer version has to be written anew"
        source.write_text(text.replace(was, becomes))
    return copy


def _shards(customer: Customer, batch_id: str, *, newer: bool) -> list[int]:
    """The shards of the batch that were settled, the last word being the newer version's or the older one's."""
    settled = [shard for shard in customer.rows(batch_id)[1] if shard["state"] == "settled"]
    return [shard["number"] for shard in settled if ("invented" in shard) == newer]


def _started_anew(cloud: LocalCloud) -> set[str]:
    return {function for function in _REPLACED if MARK in cloud.log(function)}
