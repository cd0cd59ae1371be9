"""Lane rows: health and pace of a lane as all workers know them. Each method is one read or one conditional write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from batchyard.adapters.aws.table import Key, Table
from batchyard.core.errors import ConditionFailed
from batchyard.core.health import LaneHealth, LaneState
from batchyard.core.json_types import Row
from batchyard.core.lane_pace import LanePace, RateChange, WorkerReport
from batchyard.core.lanes import LaneId, Mode

_KEPT_SECONDS = 7 * 86_400
"""A row that nobody has written for so long may be forgotten: its lane is closed, or nobody uses it."""


@dataclass(frozen=True, slots=True)
class LaneView:
    """A lane's row."""

    health: LaneHealth
    pace: LanePace


@dataclass(frozen=True, slots=True)
class Counts:
    """Calls of one worker by slot (`core.lane_pace`), as counted at the unix second `at`; and the tokens of the good
    ones, if they are counted."""

    at: int
    good: Mapping[int, int]
    refused: Mapping[int, int]
    tokens: Mapping[int, int] = field(default_factory=dict)


class Lanes:
    """Times are unix seconds."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def health(self, lane: LaneId) -> LaneHealth:
        """What is known of the lane; a lane without a row is closed."""
        row = self._table.get(_row_key(lane))
        return LaneHealth.from_row(row) if row else LaneHealth()

    def look(self, lane: LaneId, *, consistent: bool = False) -> LaneView:
        """What is known of the lane; `consistent`: with all that was written up to now. No worker calls a native lane:
        it has no pace, and is as well as the same lane in realtime, which has the same provider key, and its items if a
        job is given up."""
        if lane.mode is Mode.NATIVE:
            return LaneView(self.health(lane._replace(mode=Mode.REALTIME)), LanePace())
        return _view(self._table.get(_row_key(lane), consistent=consistent) or {})

    def report(
        self, lane: LaneId, name: str, report: WorkerReport | None, counts: Counts, outdated: Sequence[str]
    ) -> LaneView:
        """Worker `name` is there, or leaves if it has no `report`, and its calls went as `counts` say. Takes `outdated`
        attributes away."""
        added = {f"good_{slot}": n for slot, n in counts.good.items()}
        added |= {f"refused_{slot}": n for slot, n in counts.refused.items()}
        added |= {f"tokens_{slot}": n for slot, n in counts.tokens.items()}
        worker = f"worker_{name}"
        there = {} if report is None else {worker: report.to_row()}
        leaving = [worker] if report is None else []
        row = self._table.update(
            _row_key(lane),
            set=there | {"ttl": counts.at + _KEPT_SECONDS},
            add=added,
            remove=[attribute for attribute in (*outdated, *leaving) if attribute not in added | there],
        )
        return _view(row)

    def change_rate(self, lane: LaneId, change: RateChange) -> None:
        """Note the rate of a slot. Nothing changes if another worker has."""
        with suppress(ConditionFailed):
            self._table.update(
                _row_key(lane),
                set=change.to_row(),
                condition="attribute_not_exists(#rate_slot) OR #rate_slot < :slot",
                values={"slot": change.slot},
            )

    def open(self, lane: LaneId, health: LaneHealth, now: int) -> LaneHealth:
        """Enter `health.state`, open or blocked. What stands there afterwards: somebody else may have been first. A
        blocked lane stays blocked when it is found open."""
        changes = {
            "state": str(health.state),
            "reason": health.reason,
            "since": health.since,
            "probes": health.probes,
            "probe_at": health.probe_at,
            "prober": None,
            "probe_until": 0,
        }
        condition = "attribute_not_exists(#state) OR #state = :closed"
        if health.state is LaneState.BLOCKED:
            condition = "attribute_not_exists(#state) OR #state IN (:closed, :open)"
        states = {"closed": "closed"} | ({"open": "open"} if health.state is LaneState.BLOCKED else {})
        return self._change(lane, changes, condition, states, now)

    def claim_probe(self, lane: LaneId, prober: str, now: int, until: int) -> LaneHealth:
        """Take the probe's lease. It is ours if the row that is returned names `prober`."""
        return self._change(
            lane,
            {"prober": prober, "probe_until": until},
            "#state IN (:open, :blocked) AND #probe_at < :later AND #probe_until < :later",
            {"open": "open", "blocked": "blocked", "later": now + 1},
            now,
        )

    def probe_failed(self, lane: LaneId, prober: str, health: LaneHealth, now: int) -> LaneHealth:
        """Give the lease back; `health` says when the next probe is due. Nothing changes if the lease was lost."""
        changes = {
            "state": str(health.state),
            "reason": health.reason,
            "probes": health.probes,
            "probe_at": health.probe_at,
            "prober": None,
            "probe_until": 0,
        }
        return self._change(lane, changes, "#prober = :prober", {"prober": prober}, now)

    def close(self, lane: LaneId, prober: str, now: int) -> LaneHealth:
        """The probe got through: calls pass again. Nothing changes if the lease was lost."""
        changes = {
            "state": str(LaneState.CLOSED),
            "reason": None,
            "since": now,
            "prober": None,
            "probe_until": 0,
        }
        return self._change(lane, changes, "#prober = :prober", {"prober": prober}, now)

    def _change(self, lane: LaneId, changes: Row, condition: str, values: Row, now: int) -> LaneHealth:
        """The row after the write, or as it stands if the condition does not hold."""
        try:
            row = self._table.update(
                _row_key(lane), set=changes | {"ttl": now + _KEPT_SECONDS}, condition=condition, values=values
            )
        except ConditionFailed as error:
            row = error.row or {}
        return LaneHealth.from_row(row)


def _view(row: Row) -> LaneView:
    return LaneView(LaneHealth.from_row(row), LanePace.from_row(row))


def _row_key(lane: LaneId) -> Key:
    mode = "" if lane.mode is Mode.REALTIME else f"#{lane.mode}"
    return Key(f"lane#{lane.provider}#{lane.model}", f"health#{lane.key_owner or ''}{mode}")
