"""Fence: idle shards are sealed, live ones may flush once more, and after a while all are sealed."""

from __future__ import annotations

from collections import Counter

from batchyard.adapters.aws.stores import Stores
from batchyard.core.batches import Ending
from batchyard.core.shards import ShardState
from batchyard.core.usage import Tally
from batchyard.steps.fence import Drain, Fenced, fence
from tests.steps.running import BATCH, BATCH_ID, NOW, create_batch, plan, sent_jobs, start_batch


def run(stores: Stores, now: int) -> Fenced:
    return fence(
        BATCH, Ending.CANCELLED, since=NOW, now=now, drain=Drain(60, 600), stores=stores, job_starter=sent_jobs()
    )


def test_a_batch_without_live_owners_is_drained_at_once(stores: Stores) -> None:
    """Never claimed, given back, lease run out: all sealed; settled stays settled."""
    start_batch(stores.batches, stores.objects, plan({"a": 5}))
    stores.shards.release(BATCH_ID, stores.shards.claim(BATCH_ID, 1, "w", NOW, NOW + 60))
    stores.shards.claim(BATCH_ID, 2, "w", NOW - 100, NOW - 40)
    claim = stores.shards.claim(BATCH_ID, 3, "w", NOW, NOW + 60)
    stores.shards.flush(BATCH_ID, claim, part_key="p", done=b"\x01", tally=Tally(), lease_until=NOW + 60, settled=True)
    assert run(stores, NOW).drained
    assert Counter(row.state for row in stores.shards.rows(BATCH_ID)) == {ShardState.SEALED: 4, ShardState.SETTLED: 1}
    assert [row.lost_owners for row in stores.shards.rows(BATCH_ID)] == [0, 0, 1, 0, 0]


def test_owners_that_were_lost_are_told_from_those_that_gave_back(stores: Stores) -> None:
    """One gave the shard back, two let their leases end, of which one had its lease taken away, and one settled it; a
    repeated write counts once."""
    start_batch(stores.batches, stores.objects, plan({"a": 1}))
    rows = stores.shards
    first = rows.claim(BATCH_ID, 0, "w1", NOW, NOW + 60)
    for _ in range(2):
        rows.release(BATCH_ID, first)
    assert rows.forget_lease(BATCH_ID, rows.claim(BATCH_ID, 0, "w2", NOW, NOW + 60))
    assert [row.lost_owners for row in rows.rows(BATCH_ID)] == [1]
    rows.claim(BATCH_ID, 0, "w3", NOW, NOW + 60)
    assert [row.lost_owners for row in rows.rows(BATCH_ID)] == [1]
    last = rows.claim(BATCH_ID, 0, "w4", NOW + 61, NOW + 120)
    rows.flush(BATCH_ID, last, part_key="p", done=b"\x01", tally=Tally(), lease_until=NOW + 120, settled=True)
    assert [row.lost_owners for row in rows.rows(BATCH_ID)] == [2]


def test_a_live_owner_keeps_what_it_flushes(stores: Stores) -> None:
    """Its flush goes through and stops it, and the next round seals the shard with its part."""
    start_batch(stores.batches, stores.objects, plan({"a": 2}))
    claim = stores.shards.claim(BATCH_ID, 0, "w", NOW, NOW + 60)
    assert run(stores, NOW + 1).live == 1
    assert run(stores, NOW + 3).live == 1
    row = stores.shards.flush(
        BATCH_ID, claim, part_key="p", done=b"\x01", tally=Tally(succeeded=1), lease_until=NOW + 63, settled=False
    )
    assert row.fence is Ending.CANCELLED
    stores.shards.release(BATCH_ID, claim)
    assert run(stores, NOW + 5).drained
    assert [(r.state, r.parts) for r in stores.shards.rows(BATCH_ID)] == [
        (ShardState.SEALED, ("p",)),
        (ShardState.SEALED, ()),
    ]


def test_patience_ends(stores: Stores) -> None:
    """An owner that renews its lease for ever is shut out after `drain_seconds`."""
    start_batch(stores.batches, stores.objects, plan({"a": 1}))
    claim = stores.shards.claim(BATCH_ID, 0, "w", NOW, NOW + 60)
    assert not run(stores, NOW + 59).drained
    stores.shards.heartbeat(BATCH_ID, claim, NOW + 600)
    assert run(stores, NOW + 60).drained
    assert next(stores.shards.rows(BATCH_ID)).state is ShardState.SEALED


def test_a_batch_without_a_plan_has_nothing_to_stop(stores: Stores) -> None:
    """Cancelled while it was validated."""
    create_batch(stores.batches)
    assert run(stores, NOW).drained
