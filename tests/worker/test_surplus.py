"""A worker that its lane does not need: how long the shard that it hands back stays away."""

from __future__ import annotations

from contextlib import closing

from batchyard.adapters.aws.lanes import Counts, LaneView
from batchyard.core.lane_pace import RateChange, WorkerReport, slot_of
from batchyard.core.lanes import LaneId
from batchyard.core.shards import ShardRow
from batchyard.worker.stopping import Stop
from simulation.memory_objects import memory_objects
from simulation.memory_table import memory_shards
from tests.worker.workshop import BATCH_ID, ScriptedProvider, Workshop, after

LANE = LaneId("openai", "m")
NOTHING: dict[int, int] = {}


def test_a_shard_is_not_left_to_a_worker_that_has_just_left() -> None:
    """The worker that the lane needs leaves in the moment in which this one hands its shard back, and a read of the
    lane's row that may be a second old does not know it yet. The shard comes back in seconds, not when the other one's
    work would have ended."""
    shop = Workshop(memory_shards(), memory_objects(), ScriptedProvider(after(1.0)))
    message = shop.message(200)
    now = int(shop.clock())
    shop.lanes.change_rate(LANE, RateChange(5.0, slot_of(now), slot_of(now)))
    stays = WorkerReport(now, now - 100.0, {BATCH_ID: "acct_a"}, now + 600)
    look, release = shop.lanes.look, shop.shards.release
    as_it_was: list[LaneView] = []

    def stays_there(name: str, report: WorkerReport | None) -> None:
        shop.lanes.report(LANE, name, report, Counts(now, NOTHING, NOTHING), [])

    def look_late(lane: LaneId, *, consistent: bool = False) -> LaneView:
        return look(lane) if consistent or not as_it_was else as_it_was[0]

    def release_and_leave(batch_id: str, claim: ShardRow) -> None:
        release(batch_id, claim)
        as_it_was.append(look(LANE))
        stays_there("stays", None)

    shop.lanes.look = look_late  # type: ignore[method-assign]
    shop.shards.release = release_and_leave  # type: ignore[method-assign]
    shop.loop.call_later(0.5, stays_there, "stays", stays)
    with closing(shop):
        assert shop.work(message) == []
    assert shop.meter.shards[Stop.SURPLUS] == 1
    assert shop.queues.sent[-1][1] <= 5
