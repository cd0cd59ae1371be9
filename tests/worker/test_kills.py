"""Workers that are killed all the time, simulated: nothing is lost, nothing comes twice, and little time goes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from batchyard.core.parts import decode_part
from batchyard.core.shards import LOST_AFTER_SECONDS
from simulation.kills import Kills
from simulation.yard import Deployment, Yard

CALL_SECONDS = 0.1
_USUAL = Deployment()
SHORT_LIVED = Deployment(
    run_limits=replace(_USUAL.run_limits, lease_seconds=3, flush_seconds=0.5),
    shard_items=16,
    stride=512,
    max_in_flight=32,
)
"""As in `bench.kills`: workers that live for five seconds instead of fifteen minutes have shorter leases and flushes,
and smaller shards."""
KILLS = Kills(5.0, start_seconds=0.36, visibility_seconds=60.0, sweep_seconds=5.0)
"""A worker starts in as long as a cold start takes."""


def items(workers: int) -> int:
    """Of a batch that takes about half a minute."""
    return 7_500 * workers


def run(workers: int, kills: Kills | None) -> Yard:
    """One batch on an unlimited lane, to its end."""
    yard = Yard(100_000, workers, CALL_SECONDS, kills=kills, deployment=SHORT_LIVED)
    yard.add("batch", items(workers))
    yard.run(3_600)
    yard.close()
    return yard


def test_kills_cost_no_more_than_what_was_killed() -> None:
    """Every worker dies every five seconds: the batch ends, each item has one result. What it takes longer is no more
    than the calls whose work was killed took, the starts of new workers, and the time until the last dead owner is
    missed."""
    workers = 2
    alone, killed = run(workers, None), run(workers, KILLS)
    assert killed.killed >= 3 * workers
    results: Counter[int] = Counter()
    for row in killed.stores.shards.rows("batch", 0, 1 << 20):
        for key in row.parts:
            results.update(result.index for result in decode_part(killed.stores.objects.get(key)))
    assert results == dict.fromkeys(range(items(workers)), 1)
    assert killed.tally.succeeded == items(workers)
    seconds, alone_seconds = killed.ended_at["batch"], alone.ended_at["batch"]
    work_killed = (1 - items(workers) / killed.provider.received) * seconds
    starts = killed.killed / workers * KILLS.start_seconds
    missing = SHORT_LIVED.run_limits.lease_seconds + LOST_AFTER_SECONDS + KILLS.sweep_seconds
    report = (seconds, alone_seconds, work_killed, starts, missing)
    assert seconds - alone_seconds <= work_killed + starts + missing, report
