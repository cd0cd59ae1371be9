"""Fence: what is idle is sealed, what is live may flush once more, and patience ends."""

from __future__ import annotations

from collections import Counter

from batchyard.adapters.aws.batches import Batches
from batchyard.adapters.aws.objects import Objects
from batchyard.adapters.aws.shards import Shards
from batchyard.core.batches import Ending
from batchyard.core.shards import ShardState
from batchyard.core.usage import Tally
from batchyard.steps.fence import Fenced, fence
from tests.steps.running import ACCOUNT, BATCH_ID, NOW, create_batch, plan, start_batch


def run(batches: Batches, shards: Shards, now: int) -> Fenced:
    return fence(
        ACCOUNT, BATCH_ID, Ending.CANCELLED, since=NOW, now=now, drain_seconds=60, batches=batches, shards=shards
    )


def test_a_batch_without_live_owners_is_drained_at_once(batches: Batches, shards: Shards, objects: Objects) -> None:
    """Never claimed, given back, lease run out: all sealed; settled stays settled."""
    start_batch(batches, objects, plan({"a": 5}))
    shards.release(BATCH_ID, shards.claim(BATCH_ID, 1, "w", NOW, NOW + 60))
    shards.claim(BATCH_ID, 2, "w", NOW - 100, NOW - 40)
    claim = shards.claim(BATCH_ID, 3, "w", NOW, NOW + 60)
    shards.flush(BATCH_ID, claim, part_key="p", done=b"\x01", tally=Tally(), lease_until=NOW + 60, settled=True)
    assert run(batches, shards, NOW).drained
    assert Counter(row.state for row in shards.rows(BATCH_ID)) == {ShardState.SEALED: 4, ShardState.SETTLED: 1}


def test_a_live_owner_keeps_what_it_flushes(batches: Batches, shards: Shards, objects: Objects) -> None:
    """Its flush goes through, tells it to stop, and the next round seals the shard with its part."""
    start_batch(batches, objects, plan({"a": 2}))
    claim = shards.claim(BATCH_ID, 0, "w", NOW, NOW + 60)
    assert run(batches, shards, NOW + 1).live == 1
    assert run(batches, shards, NOW + 3).live == 1
    row = shards.flush(
        BATCH_ID, claim, part_key="p", done=b"\x01", tally=Tally(succeeded=1), lease_until=NOW + 63, settled=False
    )
    assert row.fence is Ending.CANCELLED
    shards.release(BATCH_ID, claim)
    assert run(batches, shards, NOW + 5).drained
    assert [(r.state, r.parts) for r in shards.rows(BATCH_ID)] == [(ShardState.SEALED, ("p",)), (ShardState.SEALED, ())]


def test_patience_ends(batches: Batches, shards: Shards, objects: Objects) -> None:
    """An owner that renews its lease for ever is shut out after `drain_seconds`."""
    start_batch(batches, objects, plan({"a": 1}))
    claim = shards.claim(BATCH_ID, 0, "w", NOW, NOW + 60)
    assert not run(batches, shards, NOW + 59).drained
    shards.heartbeat(BATCH_ID, claim, NOW + 600)
    assert run(batches, shards, NOW + 60).drained
    assert next(shards.rows(BATCH_ID)).state is ShardState.SEALED


def test_a_batch_without_a_plan_has_nothing_to_stop(batches: Batches, shards: Shards) -> None:
    """Cancelled while it was validated."""
    create_batch(batches)
    assert run(batches, shards, NOW).drained
