"""Workers that are killed all the time: a batch on the local cloud while every worker dies every few seconds.

Real are the processes, the deployed template and the kills (SIGKILL). Shards are smaller, leases, flushes and the
visibility of messages shorter, and Sweep comes more often than as deployed, because so are the lives of the workers.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from bench import items
from bench.product import Product
from local.cloud import LocalCloud
from local.options import realtime_only
from local.provider import SimulatedProvider

PROCESSES = 2
KILL_SECONDS = 5.0
_SWEEP_SECONDS = 5.0
_VISIBILITY_SECONDS = 60.0
"""Sweep does not know of a worker that died before it claimed anything: its messages come back by themselves."""
_KILLING_SECONDS = 120.0
"""At most; the batch goes on after that."""
_LATENCY_MS = 100.0
_ENVIRONMENT = {
    "SHARD_ITEMS": "16",
    "DISPATCH_STRIDE": "512",
    "work.MAX_IN_FLIGHT": "32",
    "work.LEASE_SECONDS": "3",
    "work.FLUSH_SECONDS": "0.5",
    "SWEEP_GRACE_SECONDS": "5",
}
"""A worker holds as much as it does in half a second: 160 items. Sweep looks at batches older than its grace."""


@dataclass(frozen=True, slots=True)
class KillRun:
    """`repeated`: calls for items that had been called before. `lines`: of the output file, `different`: custom_ids in
    it. `alone_seconds`: the same batch without kills, `seconds`: with them."""

    items: int
    kills: int
    killed_processes: int
    lines: int
    different: int
    calls: int
    repeated: int
    alone_seconds: float
    seconds: float

    @property
    def killed_share(self) -> float:
        """The part of the calls whose work was killed."""
        return self.repeated / self.calls

    @property
    def slowdown(self) -> float:
        """By how much longer it took, as a part of all the time."""
        return 1 - self.alone_seconds / self.seconds


@dataclass(slots=True)
class _Killed:
    times: int = 0
    processes: int = 0


def measure(folder: Path, count: int) -> KillRun:
    """A batch of `count` items twice, first without kills."""
    source, target = folder / "killed.jsonl", folder / "killed-output.jsonl"
    items.write(source, count)
    with (
        SimulatedProvider(seed=1) as simulator,
        LocalCloud(
            provider_url=simulator.url, environment=_ENVIRONMENT | realtime_only(), processes=PROCESSES
        ) as cloud,
    ):
        product = Product(cloud, simulator, may_repeat=True)
        alone = product.run(source, target, count, latency_ms=_LATENCY_MS)
        with _kills(cloud) as killed:
            run = product.run(source, target, count, latency_ms=_LATENCY_MS)
    with target.open("rb") as lines:
        custom_ids = [orjson.loads(line)["custom_id"] for line in lines]
    return KillRun(
        count,
        killed.times,
        killed.processes,
        len(custom_ids),
        len(set(custom_ids)),
        run.provider_calls,
        run.provider_calls - count,
        alone.batch_seconds,
        run.batch_seconds,
    )


@contextmanager
def _kills(cloud: LocalCloud) -> Iterator[_Killed]:
    """Every worker is killed every few seconds meanwhile, and Sweep comes as often."""
    killed, over = _Killed(), threading.Event()
    cloud.deliver(visibility_seconds=_VISIBILITY_SECONDS)

    def kill() -> None:
        while not over.wait(KILL_SECONDS) and killed.times * KILL_SECONDS < _KILLING_SECONDS:
            killed.times += 1
            killed.processes += cloud.kill("work", busy_only=False)

    def sweep() -> None:
        while not over.wait(_SWEEP_SECONDS):
            cloud.fire("sweep")

    threads = [threading.Thread(target=each, daemon=True) for each in (kill, sweep)]
    for thread in threads:
        thread.start()
    try:
        yield killed
    finally:
        over.set()
        for thread in threads:
            thread.join()
